/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Shared holds are published in a table of entries, each on a cache line
 * of its own.  Exclusive holds are a list in order of arrival, guarded by
 * a mutex.  The two sides meet as in Dekker's algorithm:
 *
 *   shared:     publish the entry;  then read the number of exclusives
 *   exclusive:  raise the number;   then read the entries
 *
 * All four are sequentially consistent, so at least one side sees the
 * other.  A shared locker that sees an overlapping exclusive one withdraws
 * its entry and waits; an exclusive locker waits until no overlapping
 * entry is left.  If they see each other, the shared one gives way, so
 * neither waits for ever, and a stream of shared ones can't starve an
 * exclusive one.
 *
 * An exclusive locker may read an entry that is being reused.  That is
 * harmless: whoever published after the number was raised sees the
 * exclusive hold and gives way, so only entries published before matter,
 * and those are read whole (start is written before end, end is the flag).
 *
 * When the table is full, a shared hold goes into a list under the mutex.
 */

#include <config.h>

#include <stdlib.h>
#include <stdatomic.h>
#include <pthread.h>

#include "rangelock.h"

#define NR_ENTRIES 256
#define CACHE_LINE 64

struct shared_entry {
  _Alignas (CACHE_LINE) atomic_bool taken;
  _Atomic uint64_t start;
  _Atomic uint64_t end;                 /* 0: not published */
};

struct range_lock {
  struct shared_entry entry[NR_ENTRIES];

  /* Exclusive holds, waiting ones included; raised under the mutex. */
  _Alignas (CACHE_LINE) atomic_uint nr_exclusive;

  /* The mutex guards both lists.  The condition is signalled whenever
   * somebody who waits may have to look again.
   */
  _Alignas (CACHE_LINE) pthread_mutex_t mutex;
  pthread_cond_t cond;
  struct exclusive_hold *exclusives, **exclusives_tail;
  struct shared_hold *overflow;
};

struct range_lock *
range_lock_new (void)
{
  struct range_lock *rl;

  rl = aligned_alloc (CACHE_LINE, sizeof *rl);
  if (rl == NULL)
    return NULL;
  for (size_t i = 0; i < NR_ENTRIES; i++) {
    atomic_init (&rl->entry[i].taken, false);
    atomic_init (&rl->entry[i].start, 0);
    atomic_init (&rl->entry[i].end, 0);
  }
  atomic_init (&rl->nr_exclusive, 0);
  pthread_mutex_init (&rl->mutex, NULL);
  pthread_cond_init (&rl->cond, NULL);
  rl->exclusives = NULL;
  rl->exclusives_tail = &rl->exclusives;
  rl->overflow = NULL;
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

static inline bool
overlaps (uint64_t a_start, uint64_t a_end, uint64_t b_start, uint64_t b_end)
{
  return a_start < b_end && b_start < a_end;
}

/* The mutex is held.  Does an exclusive hold, up to but not including
 * LAST, overlap the range?
 */
static bool
exclusive_overlaps (struct range_lock *rl, uint64_t start, uint64_t end,
                    const struct exclusive_hold *last)
{
  for (struct exclusive_hold *x = rl->exclusives; x && x != last; x = x->next)
    if (overlaps (start, end, x->start, x->end))
      return true;
  return false;
}

/* The mutex is held. */
static bool
shared_overlaps (struct range_lock *rl, uint64_t start, uint64_t end)
{
  for (size_t i = 0; i < NR_ENTRIES; i++) {
    uint64_t e = atomic_load (&rl->entry[i].end);

    if (e != 0 && overlaps (start, end, atomic_load (&rl->entry[i].start), e))
      return true;
  }
  for (struct shared_hold *s = rl->overflow; s; s = s->next)
    if (overlaps (start, end, s->start, s->end))
      return true;
  return false;
}

/* A free entry, or NULL.  Each thread begins its search elsewhere, and
 * where it found one the last time, so threads don't share cache lines.
 */
static struct shared_entry *
take_entry (struct range_lock *rl)
{
  static atomic_uint next_thread;
  static _Thread_local unsigned home;

  if (home == 0)
    home = 1 + atomic_fetch_add_explicit (&next_thread, 1,
                                          memory_order_relaxed)
      % NR_ENTRIES;

  for (unsigned i = 0; i < NR_ENTRIES; i++) {
    struct shared_entry *entry = &rl->entry[(home - 1 + i) % NR_ENTRIES];

    if (!atomic_load_explicit (&entry->taken, memory_order_relaxed) &&
        !atomic_exchange_explicit (&entry->taken, true,
                                   memory_order_acquire))
      return entry;
  }
  return NULL;
}

static inline void
publish (struct shared_entry *entry, uint64_t start, uint64_t end)
{
  atomic_store_explicit (&entry->start, start, memory_order_relaxed);
  atomic_store (&entry->end, end);
}

static void
wake (struct range_lock *rl)
{
  pthread_mutex_lock (&rl->mutex);
  pthread_cond_broadcast (&rl->cond);
  pthread_mutex_unlock (&rl->mutex);
}

/* The slow half of range_lock_shared: there are exclusive holds, or the
 * table is full.  The entry, if there is one, is published.
 */
static void __attribute__ ((noinline))
lock_shared_slow (struct range_lock *rl, struct shared_hold *h)
{
  pthread_mutex_lock (&rl->mutex);
  if (exclusive_overlaps (rl, h->start, h->end, NULL)) {
    if (h->entry) {
      atomic_store (&h->entry->end, 0);
      /* Somebody may have been waiting for just this entry. */
      pthread_cond_broadcast (&rl->cond);
    }
    do
      pthread_cond_wait (&rl->cond, &rl->mutex);
    while (exclusive_overlaps (rl, h->start, h->end, NULL));
    /* No exclusive hold can come before the mutex is released. */
    if (h->entry)
      publish (h->entry, h->start, h->end);
  }
  if (!h->entry) {
    h->next = rl->overflow;
    h->prev = &rl->overflow;
    if (h->next)
      h->next->prev = &h->next;
    rl->overflow = h;
  }
  pthread_mutex_unlock (&rl->mutex);
}

void
range_lock_shared (struct range_lock *rl, struct shared_hold *h,
                   uint64_t start, uint64_t end)
{
  h->start = start;
  h->end = end;
  h->entry = take_entry (rl);
  if (h->entry) {
    publish (h->entry, start, end);
    if (atomic_load (&rl->nr_exclusive) == 0)
      return;
  }
  lock_shared_slow (rl, h);
}

void
range_unlock_shared (struct range_lock *rl, struct shared_hold *h)
{
  if (h->entry) {
    atomic_store (&h->entry->end, 0);
    atomic_store_explicit (&h->entry->taken, false, memory_order_release);
    if (atomic_load (&rl->nr_exclusive) != 0)
      wake (rl);
    return;
  }

  pthread_mutex_lock (&rl->mutex);
  *h->prev = h->next;
  if (h->next)
    h->next->prev = h->prev;
  pthread_cond_broadcast (&rl->cond);
  pthread_mutex_unlock (&rl->mutex);
}

void
range_lock_exclusive (struct range_lock *rl, struct exclusive_hold *h,
                      uint64_t start, uint64_t end)
{
  h->start = start;
  h->end = end;
  h->next = NULL;

  pthread_mutex_lock (&rl->mutex);
  h->prev = rl->exclusives_tail;
  *rl->exclusives_tail = h;
  rl->exclusives_tail = &h->next;
  atomic_fetch_add (&rl->nr_exclusive, 1);
  while (exclusive_overlaps (rl, start, end, h) ||
         shared_overlaps (rl, start, end))
    pthread_cond_wait (&rl->cond, &rl->mutex);
  pthread_mutex_unlock (&rl->mutex);
}

void
range_unlock_exclusive (struct range_lock *rl, struct exclusive_hold *h)
{
  pthread_mutex_lock (&rl->mutex);
  *h->prev = h->next;
  if (h->next)
    h->next->prev = h->prev;
  else
    rl->exclusives_tail = h->prev;
  atomic_fetch_sub (&rl->nr_exclusive, 1);
  pthread_cond_broadcast (&rl->cond);
  pthread_mutex_unlock (&rl->mutex);
}
