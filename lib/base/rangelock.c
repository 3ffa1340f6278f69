/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Shared holds are published in a table of entries, each on a cache line
 * of its own.  Exclusive holds, and shared ones that had to wait, are a
 * list in order of arrival, guarded by a mutex.  The two sides meet as in
 * Dekker's algorithm:
 *
 *   shared:     publish the entry;  then read the number of exclusives
 *   exclusive:  raise the number;   then read the entries
 *
 * All four are sequentially consistent, so at least one side sees the
 * other.  A shared locker that sees an exclusive one which keeps it out
 * withdraws its entry and queues up; an exclusive locker waits until no
 * overlapping entry is left.  If they see each other, the shared one gives
 * way, so neither waits for ever.
 *
 * A shared locker that sees that there are exclusive ones needs to know only
 * of those that are near: a hot sector, or the blocks that an operator's
 * request has gathered, must not send all writes of the disk through one mutex
 * and a list. So exclusive holds are counted by the MiB as well, and the
 * argument is the same for each of these counters: of a shared and an
 * exclusive locker that overlap, both use the counter of a MiB in which they
 * do, or the one of wide holds.  A shared hold that ends wakes those that wait
 * by the same rule.
 *
 * An exclusive locker may read an entry that is being reused.  That is
 * harmless: a locker that published after the number was raised takes the
 * mutex, sees the exclusive hold in the list and decides then.  So only
 * entries published before matter, and those are read whole (start is
 * written before end, and end is the flag).
 *
 * A locker gets what it can have from its start on, in whole units, and
 * waits only if that is nothing; then for its first unit alone, which is
 * all that others have to wait for because of it, in the order of arrival.
 * So nobody waits for a unit that they don't need, and as only what came
 * before counts, nobody starves.  Those that wait for each other do so in
 * the order of the list, and those that were granted wait for no other hold
 * of this lock: so there is no deadlock.
 *
 * A tentative hold is an exclusive one until it is granted, and stays in the
 * list, and in the number of exclusives, as long as it lasts: so whoever comes
 * takes the mutex and finds it there, and takes it off where they overlap.  One
 * who only looks leaves it: then it can't become exclusive before that is over,
 * and as nobody waits for that either, it is given up instead.
 *
 * When the table is full, a shared hold goes into the list as well.
 */

#include <config.h>

#include <stdlib.h>

#include "base/bytes.h"
#include "base/rangelock.h"

_Thread_local intptr_t range_home = SHARD_UNKNOWN;

/* The mutex is held.  An exclusive hold comes (STEP 1) or goes (-1). */
static void
count_exclusive (struct range_lock *rl, const struct range_hold *h, int step)
{
  const uint64_t first = h->start >> RANGE_REGION_SHIFT;
  const uint64_t last = (h->asked_end - 1) >> RANGE_REGION_SHIFT;

  atomic_fetch_add (&rl->nr_exclusive, step);
  if (last - first >= RANGE_WIDE)
    atomic_fetch_add (&rl->nr_wide, step);
  else
    for (uint64_t i = first; i <= last; i++)
      atomic_fetch_add (&rl->region[i % RANGE_REGIONS], step);
}

/* The mutex is held. */
static void
append (struct range_lock *rl, struct range_hold *h, uint64_t start,
        uint64_t end, bool exclusive)
{
  *h = (struct range_hold) {
    .start = start, .end = end, .asked_end = end, .exclusive = exclusive,
    .prev = rl->holds_tail
  };
  *rl->holds_tail = h;
  rl->holds_tail = &h->next;
}

/* The mutex is held. */
static void
take_off (struct range_lock *rl, struct range_hold *h)
{
  *h->prev = h->next;
  if (h->next)
    h->next->prev = h->prev;
  else
    rl->holds_tail = h->prev;
}

/* How far H could reach from its start, to END at most, if it were not for
 * a hold of the range from X_START to X_END.
 */
static inline uint64_t
cut (const struct range_lock *rl, const struct range_hold *h, uint64_t end,
     uint64_t x_start, uint64_t x_end)
{
  if (x_start >= end || x_end <= h->start)
    return end;
  x_start = round_down (x_start, rl->unit);
  return max_u64 (x_start, h->start);
}

/* The mutex is held, and H is in the list.  How far it may have what it
 * wants, from its start to END; its start if it has to wait.
 */
static uint64_t
reach (struct range_lock *rl, struct range_hold *h, uint64_t end)
{
  struct range_hold *x;
  bool before = true;
  uint64_t x_end;

  for (x = rl->holds; x; x = x->next) {
    if (x == h)
      before = false;
    else if (x->tentative)
      continue;
    else if ((x->exclusive || h->exclusive) && (x->granted || before))
      end = cut (rl, h, end, x->start, x->end);
  }
  for (size_t i = 0; i < RANGE_ENTRIES && h->exclusive; i++) {
    x_end = atomic_load (&rl->entry[i].end);
    if (x_end != 0)
      end = cut (rl, h, end, atomic_load (&rl->entry[i].start), x_end);
  }
  return end;
}

/* The mutex is held, and H is in the list and can have nothing yet.  Waits
 * until it can, and returns how far.
 */
static uint64_t
wait_for_turn (struct range_lock *rl, struct range_hold *h, uint64_t end)
{
  uint64_t got, unit_end = round_down (h->start, rl->unit) + rl->unit;

  h->end = min_u64 (unit_end, end);
  do {
    pthread_cond_wait (&rl->cond, &rl->mutex);
    got = reach (rl, h, end);
  } while (got == h->start);
  return got;
}

/* The mutex is held.  A tentative hold ends. */
static void
give_up (struct range_lock *rl, struct range_hold *h)
{
  take_off (rl, h);
  count_exclusive (rl, h, -1);
  h->gone = true;
}

/* The mutex is held, and H is about to be granted up to END: tentative holds
 * that overlap are gone.
 */
static void
take_tentative (struct range_lock *rl, const struct range_hold *h,
                uint64_t end)
{
  struct range_hold *x, *next;

  for (x = h->looks ? NULL : rl->holds; x; x = next) {
    next = x->next;
    if (x != h && x->tentative && x->start < end && x->end > h->start)
      give_up (rl, x);
  }
}

/* The mutex is held. */
static void
grant (struct range_lock *rl, struct range_hold *h, uint64_t end)
{
  take_tentative (rl, h, end);
  h->end = end;
  h->granted = true;
}

/* An entry for the caller alone, or NULL if all are taken. */
static struct shared_entry *
take_entry (struct range_lock *rl)
{
  struct shared_entry *entry;
  unsigned first;

  if (range_home < 0)
    range_choose_home ();
  first = range_home / sizeof *entry;
  for (unsigned i = 0; i < RANGE_ENTRIES; i++) {
    entry = &rl->entry[(first + i) % RANGE_ENTRIES];
    if (!atomic_load_explicit (&entry->taken, memory_order_relaxed) &&
        range_take (entry))
      return entry;
  }
  return NULL;
}

/* There are exclusive holds, or the table is full.  The entry, if there is
 * one, is published.
 */
static uint64_t
lock_shared_slow (struct range_lock *rl, struct shared_hold *h,
                  uint64_t start, uint64_t end, bool looks)
{
  uint64_t got;

  pthread_mutex_lock (&rl->mutex);
  append (rl, &h->hold, start, end, false);
  h->hold.looks = looks;
  got = reach (rl, &h->hold, end);
  if (h->entry && got > start) {
    take_tentative (rl, &h->hold, got);
    take_off (rl, &h->hold);
    atomic_store (&h->entry->end, got);
  }
  else if (h->entry) {
    atomic_store (&h->entry->end, 0);
    atomic_store_explicit (&h->entry->taken, false, memory_order_release);
    h->entry = NULL;
  }
  /* Somebody may have seen more of the entry than it is now. */
  if (got < end)
    pthread_cond_broadcast (&rl->cond);
  if (got == start)
    got = wait_for_turn (rl, &h->hold, end);
  grant (rl, &h->hold, got);
  pthread_mutex_unlock (&rl->mutex);
  return got;
}

/* The mutex is held.  An exclusive hold. */
static uint64_t
lock_exclusive (struct range_lock *rl, struct range_hold *h, uint64_t start,
                uint64_t end)
{
  uint64_t got;

  append (rl, h, start, end, true);
  count_exclusive (rl, h, 1);
  got = reach (rl, h, end);
  if (got == start)
    got = wait_for_turn (rl, h, end);
  grant (rl, h, got);
  return got;
}

struct range_lock *
range_lock_new (uint32_t unit)
{
  struct range_lock *rl;

  rl = aligned_alloc (RANGE_CACHE_LINE, sizeof *rl);
  if (rl == NULL)
    return NULL;
  for (size_t i = 0; i < RANGE_ENTRIES; i++) {
    atomic_init (&rl->entry[i].taken, false);
    atomic_init (&rl->entry[i].start, 0);
    atomic_init (&rl->entry[i].end, 0);
  }
  atomic_init (&rl->nr_exclusive, 0);
  atomic_init (&rl->nr_wide, 0);
  for (size_t i = 0; i < RANGE_REGIONS; i++)
    atomic_init (&rl->region[i], 0);
  rl->unit = unit;
  pthread_mutex_init (&rl->mutex, NULL);
  pthread_cond_init (&rl->cond, NULL);
  rl->holds = NULL;
  rl->holds_tail = &rl->holds;
  return rl;
}

void
range_lock_free (struct range_lock *rl)
{
  if (rl == NULL)
    return;
  pthread_cond_destroy (&rl->cond);
  pthread_mutex_destroy (&rl->mutex);
  free (rl);
}

intptr_t
range_choose_home (void)
{
  static atomic_uint nr_threads;

  range_home = shard_choose (&nr_threads, RANGE_ENTRIES,
                             sizeof (struct shared_entry));
  return range_home;
}

bool
range_excluded (const struct range_lock *rl, uint64_t start, uint64_t end)
{
  const uint64_t first = start >> RANGE_REGION_SHIFT;
  const uint64_t last = (end - 1) >> RANGE_REGION_SHIFT;

  if (atomic_load (&rl->nr_wide) > 0 || last - first >= RANGE_WIDE)
    return true;
  for (uint64_t i = first; i <= last; i++)
    if (atomic_load (&rl->region[i % RANGE_REGIONS]) > 0)
      return true;
  return false;
}

void
range_wake (struct range_lock *rl)
{
  pthread_mutex_lock (&rl->mutex);
  pthread_cond_broadcast (&rl->cond);
  pthread_mutex_unlock (&rl->mutex);
}

static inline uint64_t
lock_shared (struct range_lock *rl, struct shared_hold *h, uint64_t start,
             uint64_t end, bool looks)
{
  h->entry = take_entry (rl);
  if (h->entry) {
    h->hold.start = start;
    h->hold.asked_end = end;
    range_publish (h->entry, start, end);
    if (atomic_load (&rl->nr_exclusive) == 0 ||
        !range_excluded (rl, start, end))
      return end;
  }
  return lock_shared_slow (rl, h, start, end, looks);
}

uint64_t
range_lock_shared (struct range_lock *rl, struct shared_hold *h,
                   uint64_t start, uint64_t end)
{
  return lock_shared (rl, h, start, end, false);
}

uint64_t
range_lock_looking (struct range_lock *rl, struct shared_hold *h,
                    uint64_t start, uint64_t end)
{
  return lock_shared (rl, h, start, end, true);
}

void
range_unlock_shared (struct range_lock *rl, struct shared_hold *h)
{
  if (h->entry) {
    range_leave_shared (rl, h->entry, h->hold.start, h->hold.asked_end);
    return;
  }
  pthread_mutex_lock (&rl->mutex);
  take_off (rl, &h->hold);
  pthread_cond_broadcast (&rl->cond);
  pthread_mutex_unlock (&rl->mutex);
}

uint64_t
range_lock_exclusive (struct range_lock *rl, struct exclusive_hold *h,
                      uint64_t start, uint64_t end)
{
  uint64_t got;

  pthread_mutex_lock (&rl->mutex);
  got = lock_exclusive (rl, &h->hold, start, end);
  pthread_mutex_unlock (&rl->mutex);
  return got;
}

void
range_unlock_exclusive (struct range_lock *rl, struct exclusive_hold *h)
{
  pthread_mutex_lock (&rl->mutex);
  if (!h->hold.gone) {
    take_off (rl, &h->hold);
    count_exclusive (rl, &h->hold, -1);
    pthread_cond_broadcast (&rl->cond);
  }
  pthread_mutex_unlock (&rl->mutex);
}

uint64_t
range_lock_tentative (struct range_lock *rl, struct exclusive_hold *h,
                      uint64_t start, uint64_t end)
{
  uint64_t got;

  pthread_mutex_lock (&rl->mutex);
  got = lock_exclusive (rl, &h->hold, start, end);
  h->hold.tentative = true;
  /* Others may have come while it waited. */
  pthread_cond_broadcast (&rl->cond);
  pthread_mutex_unlock (&rl->mutex);
  return got;
}

void
range_relax (struct range_lock *rl, struct exclusive_hold *h)
{
  pthread_mutex_lock (&rl->mutex);
  h->hold.tentative = true;
  pthread_cond_broadcast (&rl->cond);
  pthread_mutex_unlock (&rl->mutex);
}

/* The mutex is held.  Who is looking at a part of a tentative hold is in the
 * list, or published; whoever does more has taken the hold, or is about to.
 */
static bool
is_looked_at (struct range_lock *rl, const struct range_hold *h)
{
  uint64_t end;

  for (const struct range_hold *x = rl->holds; x; x = x->next)
    if (x->looks && x->granted && ranges_overlap (x->start, x->end, h->start,
                                                  h->end))
      return true;
  for (size_t i = 0; i < RANGE_ENTRIES; i++) {
    end = atomic_load (&rl->entry[i].end);
    if (end != 0 && ranges_overlap (atomic_load (&rl->entry[i].start), end,
                                    h->start, h->end))
      return true;
  }
  return false;
}

bool
range_confirm (struct range_lock *rl, struct exclusive_hold *h)
{
  bool there;

  pthread_mutex_lock (&rl->mutex);
  if (h->hold.tentative && !h->hold.gone && is_looked_at (rl, &h->hold))
    give_up (rl, &h->hold);
  there = !h->hold.gone;
  h->hold.tentative = false;
  pthread_mutex_unlock (&rl->mutex);
  return there;
}
