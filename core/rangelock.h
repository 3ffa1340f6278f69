/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A lock of byte ranges: shared or exclusive, no effect where ranges don't
 * overlap.
 *
 * Who writes DIRECT sectors or reads slots holds its range shared.  Who
 * changes the state of sectors, overwrites slots, or reads, modifies and
 * writes a block holds it exclusive.  Since a request takes the lock
 * before it looks the map up, an exclusive holder knows that nobody acts
 * on what the map said before (promise 8 of remap-promises(7)).
 *
 * A lock is granted from its start on, as far as nobody is in the way:
 * that much is returned, and is what the caller holds.  The edges within
 * are multiples of the lock's unit, so a range within one unit is always
 * granted whole.  What is left is asked for again.  So a large request
 * holds up nobody because of a part that it waits for, be it for a sector
 * that is stuck in main; and nobody is overtaken by who comes later, so
 * nobody starves.
 *
 * A shared lock that meets no exclusive one costs a few atomic operations:
 * no mutex, no allocation, no system call (promise 24).
 *
 * Holds live on the caller's stack.  A thread takes no other lock of this
 * kind while it holds one.
 */

#ifndef REMAP_RANGELOCK_H
#define REMAP_RANGELOCK_H

#include "sector.h"

struct range_lock;
struct shared_entry;

/* What the lock keeps of a hold, all of it guarded by its mutex. */
struct range_hold {
  /* Bytes, END is exclusive.  Of one that waits: the unit that it waits
   * for.
   */
  uint64_t start, end;
  bool exclusive, granted;
  struct range_hold *next, **prev;
};

struct shared_hold {
  struct shared_entry *entry;           /* NULL: HOLD is in the list */
  struct range_hold hold;
};

struct exclusive_hold {
  struct range_hold hold;
};

/* UNIT: bytes, a power of 2. */
extern struct range_lock *range_lock_new (uint32_t unit);
extern void range_lock_free (struct range_lock *rl);

/* These return where the granted range ends: after START, at most END. */
extern uint64_t range_lock_shared (struct range_lock *rl,
                                   struct shared_hold *h,
                                   uint64_t start, uint64_t end);
extern void range_unlock_shared (struct range_lock *rl,
                                 struct shared_hold *h);
extern uint64_t range_lock_exclusive (struct range_lock *rl,
                                      struct exclusive_hold *h,
                                      uint64_t start, uint64_t end);
extern void range_unlock_exclusive (struct range_lock *rl,
                                    struct exclusive_hold *h);

#endif /* REMAP_RANGELOCK_H */
