/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A lock of byte ranges: shared or exclusive, no effect where ranges don't
 * overlap.
 *
 * A request that writes DIRECT sectors or reads slots holds their range
 * shared.  One that changes the state of sectors, overwrites slots, or
 * reads, modifies and writes a block holds the range exclusively.  Since a
 * request takes the lock before it looks the map up, an exclusive holder
 * knows that nobody acts on what the map said before (promise 8 of
 * remap-promises(7)).
 *
 * A range is granted from its start on, as far as nobody is in the way.
 * How far that is, is returned: the caller holds that part, and asks again
 * for the rest when it has given that part up.  The edges of the parts are
 * multiples of the lock's unit, so a range within one unit is always
 * granted whole.  A large request that has to wait for one sector, perhaps
 * one that is stuck in main, therefore keeps nobody from the others.  Locks
 * are granted in the order in which they were asked for, so nobody starves.
 *
 * A shared lock that meets no exclusive one near by costs a few atomic
 * operations: no mutex, no allocation, no system call (promise 24).
 *
 * Holds are the caller's memory.  A thread that holds a range doesn't ask the
 * same lock for another one: two threads could wait for each other.  It may
 * ask another lock, if all threads take the two in one order.  The engine has
 * two, and takes RANGES before FLUSHES.
 *
 * A tentative hold is for whoever wants to look at many ranges for a long
 * time, and then change all of them in one step.  It keeps nobody out: when
 * anybody else is granted a part of it, it is gone, and range_confirm says so.
 * If it says that the hold is still there, nobody has held any of the range
 * since the hold was granted, and from then on it is an exclusive one.
 * (Whoever only looks has perhaps held some of it, and does so no more.)  Since
 * nobody waits for a tentative hold, a thread may have many of them and ask
 * for more; while one is confirmed, it asks for no more.
 */

#ifndef REMAP_RANGELOCK_H
#define REMAP_RANGELOCK_H

#include <stdatomic.h>
#include <pthread.h>

#include "base/bytes.h"
#include "base/shard.h"

/* What the lock keeps of a hold, all of it guarded by its mutex. */
struct range_hold {
  /* Bytes, END is exclusive.  Of one that waits: the unit that it waits
   * for.
   */
  uint64_t start, end;
  uint64_t asked_end;           /* of an exclusive one: see region */
  bool exclusive, granted;
  bool tentative;               /* keeps nobody out */
  bool looks;                   /* a shared one, which changes nothing */
  bool gone;                    /* it was tentative; not in the list any more */
  struct range_hold *next, **prev;
};

#define RANGE_CACHE_LINE 64

/* A shared hold that is published; on a cache line of its own. */
struct shared_entry {
  _Alignas (RANGE_CACHE_LINE) _Atomic uint64_t end;     /* 0: not published */
  _Atomic uint64_t start;
  atomic_bool taken;
};

struct shared_hold {
  struct shared_entry *entry;           /* NULL: HOLD is in the list */
  struct range_hold hold;
};

struct exclusive_hold {
  struct range_hold hold;
};

/* Only the inline functions below and rangelock.c look inside. */
#define RANGE_ENTRIES 256

/* Exclusive holds are counted by the MiB, of many MiB apart; see rangelock.c.
 */
#define RANGE_REGION_SHIFT 20
#define RANGE_REGIONS 1024U
#define RANGE_WIDE 8U

struct range_lock {
  struct shared_entry entry[RANGE_ENTRIES];
  uint32_t unit;

  /* Exclusive holds, waiting ones included; raised under the mutex.  REGION
   * has those that asked for a part of a MiB, for all MiB whose numbers modulo
   * RANGE_REGIONS are the same; those that asked for more than RANGE_WIDE of
   * them are in NR_WIDE.
   */
  _Alignas (RANGE_CACHE_LINE) atomic_uint nr_exclusive;
  atomic_uint nr_wide;
  _Alignas (RANGE_CACHE_LINE) atomic_uint region[RANGE_REGIONS];

  /* The mutex guards the list.  The condition is signalled whenever
   * somebody who waits may have to look again.
   */
  _Alignas (RANGE_CACHE_LINE) pthread_mutex_t mutex;
  pthread_cond_t cond;
  struct range_hold *holds, **holds_tail;
};

/* UNIT: bytes, a power of 2. */
extern struct range_lock *range_lock_new (uint32_t unit);
extern void range_lock_free (struct range_lock *rl);

/* These return where the granted range ends: after START, at most END. */
extern uint64_t range_lock_shared (struct range_lock *rl,
                                   struct shared_hold *h,
                                   uint64_t start, uint64_t end);
/* The same for whoever changes nothing: tentative holds stay. */
extern uint64_t range_lock_looking (struct range_lock *rl,
                                    struct shared_hold *h,
                                    uint64_t start, uint64_t end);
extern void range_unlock_shared (struct range_lock *rl,
                                 struct shared_hold *h);
extern uint64_t range_lock_exclusive (struct range_lock *rl,
                                      struct exclusive_hold *h,
                                      uint64_t start, uint64_t end);
extern void range_unlock_exclusive (struct range_lock *rl,
                                    struct exclusive_hold *h);

/* A tentative hold; or an exclusive one becomes tentative.  It ends with
 * range_unlock_exclusive, confirmed or not, gone or not.
 */
extern uint64_t range_lock_tentative (struct range_lock *rl,
                                      struct exclusive_hold *h,
                                      uint64_t start, uint64_t end);
extern void range_relax (struct range_lock *rl, struct exclusive_hold *h);

/* True: H is exclusive from now on.  False: it is gone, or was until now and
 * somebody is looking at a part of it.
 */
extern bool range_confirm (struct range_lock *rl, struct exclusive_hold *h);

/* The rest is for callers that count instructions. */

/* Where the thread's search for an entry begins, see base/shard.h. */
extern _Thread_local intptr_t range_home;
extern intptr_t range_choose_home (void);

/* There are exclusive holds: is one of them perhaps near this range? */
extern bool range_excluded (const struct range_lock *rl, uint64_t start,
                            uint64_t end);

/* Wakes all that wait: a shared hold may have been in the way. */
extern void range_wake (struct range_lock *rl);

static inline bool
range_take (struct shared_entry *entry)
{
  return !atomic_exchange_explicit (&entry->taken, true,
                                    memory_order_acquire);
}

static inline void
range_publish (struct shared_entry *entry, uint64_t start, uint64_t end)
{
  atomic_store_explicit (&entry->start, start, memory_order_relaxed);
  atomic_store (&entry->end, end);
}

/* START and END as they were asked for. */
static inline void
range_leave_shared (struct range_lock *rl, struct shared_entry *entry,
                    uint64_t start, uint64_t end)
{
  atomic_store (&entry->end, 0);
  atomic_store_explicit (&entry->taken, false, memory_order_release);
  if (atomic_load (&rl->nr_exclusive) > 0 && range_excluded (rl, start, end))
    range_wake (rl);
}

/* A shared lock of the whole range and at once, or not at all: false.  It
 * may fail whenever anybody holds a range near it exclusively;
 * range_lock_shared is for that case.
 */
static inline bool
range_try_shared (struct range_lock *rl, struct shared_entry **entry,
                  uint64_t start, uint64_t end)
{
  intptr_t home = range_home;

  if (home < 0)
    home = range_choose_home ();
  *entry = (struct shared_entry *) ((char *) rl->entry + home);
  if (!range_take (*entry))
    return false;
  range_publish (*entry, start, end);
  if (atomic_load (&rl->nr_exclusive) == 0 || !range_excluded (rl, start, end))
    return true;
  range_leave_shared (rl, *entry, start, end);
  return false;
}

#endif /* REMAP_RANGELOCK_H */
