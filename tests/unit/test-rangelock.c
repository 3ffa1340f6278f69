/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The lock of byte ranges: who excludes whom, who goes first, and that
 * nobody waits for what they don't need (promises 8 and 24 of
 * remap-promises(7)).  It includes the code under test to see who waits.
 */

#include "base/rangelock.c"

#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "engine-rig.h"

/* A test that hangs has failed. */
#define PATIENCE 120    /* seconds */

static atomic_uint counter;

struct locker {
  struct range_lock *rl;
  bool exclusive;
  uint64_t start, end;
  atomic_bool may_go;
  unsigned got;                 /* 1 for the first one that was granted */
  uint64_t got_end;             /* how far it was */
  pthread_t thread;
};

static void
pause_a_little (void)
{
  const struct timespec ts = { .tv_nsec = 200000 };

  nanosleep (&ts, NULL);
}

static void *
locker_thread (void *arg)
{
  struct locker *l = arg;
  struct exclusive_hold x;
  struct shared_hold s;

  if (l->exclusive)
    l->got_end = range_lock_exclusive (l->rl, &x, l->start, l->end);
  else
    l->got_end = range_lock_shared (l->rl, &s, l->start, l->end);
  l->got = atomic_fetch_add (&counter, 1) + 1;
  while (!atomic_load (&l->may_go))
    pause_a_little ();
  if (l->exclusive)
    range_unlock_exclusive (l->rl, &x);
  else
    range_unlock_shared (l->rl, &s);
  return NULL;
}

/* How many wait in the list. */
static unsigned
waiting (struct range_lock *rl)
{
  unsigned n = 0;

  pthread_mutex_lock (&rl->mutex);
  for (struct range_hold *h = rl->holds; h; h = h->next)
    n += !h->granted;
  pthread_mutex_unlock (&rl->mutex);
  return n;
}

static void
wait_for_waiters (struct range_lock *rl, unsigned n)
{
  while (waiting (rl) != n)
    pause_a_little ();
}

/* Starts somebody who must wait: the Nth who does. */
static void
start_waiter (struct locker *l, struct range_lock *rl, bool exclusive,
              uint64_t start, uint64_t end, unsigned n)
{
  memset (l, 0, sizeof *l);
  l->rl = rl;
  l->exclusive = exclusive;
  l->start = start;
  l->end = end;
  atomic_store (&l->may_go, true);
  CU_ASSERT_EQUAL_FATAL (pthread_create (&l->thread, NULL, locker_thread, l),
                         0);
  wait_for_waiters (rl, n);
}

static void
test_no_overlap (void)
{
  struct range_lock *rl = range_lock_new (1);
  struct exclusive_hold x[3];
  struct shared_hold s[3];

  alarm (PATIENCE);
  range_lock_exclusive (rl, &x[0], 100, 200);
  range_lock_exclusive (rl, &x[1], 200, 300);
  range_lock_exclusive (rl, &x[2], 99, 100);
  range_lock_shared (rl, &s[0], 300, 400);
  range_lock_shared (rl, &s[1], 300, 400);
  range_lock_shared (rl, &s[2], 0, 99);
  CU_ASSERT_EQUAL (waiting (rl), 0);
  for (int i = 0; i < 3; i++) {
    range_unlock_exclusive (rl, &x[i]);
    range_unlock_shared (rl, &s[i]);
  }
  CU_ASSERT_PTR_NULL (rl->holds);
  CU_ASSERT_EQUAL (atomic_load (&rl->nr_exclusive), 0);
  range_lock_free (rl);
}

/* Whoever overlaps a hold waits; by one byte too. */
static void
test_excludes (void)
{
  static const struct { bool held, wanted; } cases[] = {
    { true, true }, { true, false }, { false, true },
  };

  alarm (PATIENCE);
  for (size_t i = 0; i < 3; i++)
    for (int side = 0; side < 2; side++) {
      struct range_lock *rl = range_lock_new (1);
      struct exclusive_hold x;
      struct shared_hold s;
      struct locker l;

      if (cases[i].held)
        range_lock_exclusive (rl, &x, 100, 200);
      else
        range_lock_shared (rl, &s, 100, 200);
      start_waiter (&l, rl, cases[i].wanted, side ? 199 : 100,
                    side ? 300 : 101, 1);
      if (cases[i].held)
        range_unlock_exclusive (rl, &x);
      else
        range_unlock_shared (rl, &s);
      pthread_join (l.thread, NULL);
      CU_ASSERT_PTR_NULL (rl->holds);
      range_lock_free (rl);
    }
}

/* First come, first served: neither kind starves the other. */
static void
test_order (void)
{
  struct range_lock *rl = range_lock_new (1);
  struct exclusive_hold x;
  struct locker l[6];

  alarm (PATIENCE);
  atomic_store (&counter, 0);
  range_lock_exclusive (rl, &x, 100, 200);
  for (unsigned i = 0; i < 6; i++)
    start_waiter (&l[i], rl, i % 2 == 1, 100, 200, i + 1);
  range_unlock_exclusive (rl, &x);
  for (unsigned i = 0; i < 6; i++) {
    pthread_join (l[i].thread, NULL);
    CU_ASSERT_EQUAL (l[i].got, i + 1);
  }
  range_lock_free (rl);
}

/* Shared holds that had to wait share as well. */
static void
test_shared_waiters (void)
{
  struct range_lock *rl = range_lock_new (1);
  struct exclusive_hold x;
  struct locker l[2];

  alarm (PATIENCE);
  range_lock_exclusive (rl, &x, 100, 200);
  for (unsigned i = 0; i < 2; i++) {
    start_waiter (&l[i], rl, false, 100, 200, i + 1);
    atomic_store (&l[i].may_go, false);
  }
  range_unlock_exclusive (rl, &x);
  wait_for_waiters (rl, 0);
  for (unsigned i = 0; i < 2; i++) {
    atomic_store (&l[i].may_go, true);
    pthread_join (l[i].thread, NULL);
  }
  range_lock_free (rl);
}

/* Promise 8: large requests get what they can have; while they wait for a
 * part of their ranges they hold up only those who need it.
 */
static void
test_no_convoy (void)
{
  for (int kind = 0; kind < 4; kind++) {
    struct range_lock *rl = range_lock_new (1);
    struct exclusive_hold stuck, x;
    struct shared_hold stuck_s, s;
    struct locker large, same;

    alarm (PATIENCE);
    atomic_store (&counter, 0);
    /* What is stuck: exclusive, or (2, 3) shared. */
    if (kind < 2)
      range_lock_exclusive (rl, &stuck, 500, 501);
    else
      range_lock_shared (rl, &stuck_s, 500, 501);
    if (kind != 0) {
      CU_ASSERT_EQUAL (range_lock_exclusive (rl, &x, 0, 1000), 500);
      range_unlock_exclusive (rl, &x);
    }
    else {
      CU_ASSERT_EQUAL (range_lock_shared (rl, &s, 0, 1000), 500);
      range_unlock_shared (rl, &s);
    }
    start_waiter (&large, rl, kind != 0, 500, 1000, 1);
    CU_ASSERT_EQUAL (range_lock_exclusive (rl, &x, 0, 1000), 500);
    CU_ASSERT_EQUAL (range_lock_shared (rl, &s, 501, 1000), 1000);
    CU_ASSERT_EQUAL (waiting (rl), 1);
    start_waiter (&same, rl, true, 500, 501, 2);
    range_unlock_shared (rl, &s);
    range_unlock_exclusive (rl, &x);
    if (kind < 2)
      range_unlock_exclusive (rl, &stuck);
    else
      range_unlock_shared (rl, &stuck_s);
    pthread_join (large.thread, NULL);
    pthread_join (same.thread, NULL);
    CU_ASSERT_EQUAL (large.got, 1);
    CU_ASSERT_EQUAL (large.got_end, 1000);
    CU_ASSERT_EQUAL (same.got, 2);
    range_lock_free (rl);
  }
}

/* Who has to wait is granted as far as possible afterwards, and what came
 * before counts, even if it waits itself.
 */
static void
test_waits_for_the_first (void)
{
  struct range_lock *rl = range_lock_new (1);
  struct exclusive_hold a, b;
  struct locker first, large, small;

  alarm (PATIENCE);
  atomic_store (&counter, 0);
  range_lock_exclusive (rl, &a, 0, 20);
  range_lock_exclusive (rl, &b, 900, 910);
  start_waiter (&first, rl, true, 15, 30, 1);
  start_waiter (&large, rl, false, 10, 1000, 2);
  start_waiter (&small, rl, true, 10, 11, 3);
  range_unlock_exclusive (rl, &a);
  pthread_join (first.thread, NULL);
  pthread_join (large.thread, NULL);
  pthread_join (small.thread, NULL);
  CU_ASSERT_EQUAL (first.got_end, 30);
  /* Up to the first one's, or to B if that one is done already. */
  CU_ASSERT (large.got_end == 15 || large.got_end == 900);
  CU_ASSERT (large.got < small.got);
  range_unlock_exclusive (rl, &b);
  CU_ASSERT_PTR_NULL (rl->holds);
  range_lock_free (rl);
}

/* Units are granted whole, and waited for as such. */
static void
test_units (void)
{
  for (int kind = 0; kind < 2; kind++) {
    struct range_lock *rl = range_lock_new (16);
    struct exclusive_hold x, y, z;
    struct shared_hold s;
    struct locker l;

    alarm (PATIENCE);
    if (kind == 0)
      range_lock_exclusive (rl, &x, 40, 44);
    else
      range_lock_shared (rl, &s, 40, 44);
    CU_ASSERT_EQUAL (range_lock_exclusive (rl, &y, 4, 48), 32);
    CU_ASSERT_EQUAL (range_lock_exclusive (rl, &z, 44, 100), 100);
    range_unlock_exclusive (rl, &z);
    start_waiter (&l, rl, true, 36, 100, 1);
    CU_ASSERT_EQUAL (range_lock_exclusive (rl, &z, 48, 100), 100);
    range_unlock_exclusive (rl, &z);
    if (kind == 0)
      range_unlock_exclusive (rl, &x);
    else
      range_unlock_shared (rl, &s);
    pthread_join (l.thread, NULL);
    CU_ASSERT_EQUAL (l.got_end, 100);
    range_unlock_exclusive (rl, &y);
    range_lock_free (rl);
  }
}

/* A shared hold that was cut short wakes whoever saw more of it. */
static void
test_cut_short (void)
{
  for (int i = 0; i < 500; i++) {
    struct range_lock *rl = range_lock_new (1);
    struct exclusive_hold x;
    struct shared_hold s;
    struct locker l;

    alarm (PATIENCE);
    range_lock_exclusive (rl, &x, 10, 20);
    memset (&l, 0, sizeof l);
    l.rl = rl;
    l.exclusive = true;
    l.start = 30;
    l.end = 40;
    atomic_store (&l.may_go, true);
    pthread_create (&l.thread, NULL, locker_thread, &l);
    CU_ASSERT_EQUAL (range_lock_shared (rl, &s, 0, 100), 10);
    /* It must not wait for what isn't held. */
    pthread_join (l.thread, NULL);
    range_unlock_shared (rl, &s);
    range_unlock_exclusive (rl, &x);
    range_lock_free (rl);
  }
}

/* More shared holds than the table has entries. */
static void
test_table_full (void)
{
  static struct shared_hold s[RANGE_ENTRIES + 50];
  struct range_lock *rl = range_lock_new (1);
  struct locker l[2];
  const size_t n = sizeof s / sizeof s[0];

  alarm (PATIENCE);
  for (size_t i = 0; i < n; i++)
    range_lock_shared (rl, &s[i], i * 10, i * 10 + 10);
  start_waiter (&l[0], rl, true, 20, 30, 1);
  start_waiter (&l[1], rl, true, (n - 1) * 10 + 9, n * 10 + 100, 2);
  range_unlock_shared (rl, &s[2]);
  pthread_join (l[0].thread, NULL);
  CU_ASSERT_EQUAL (waiting (rl), 1);
  range_unlock_shared (rl, &s[n - 1]);
  pthread_join (l[1].thread, NULL);
  for (size_t i = 0; i < n; i++)
    if (i != 2 && i != n - 1)
      range_unlock_shared (rl, &s[i]);
  CU_ASSERT_PTR_NULL (rl->holds);
  for (size_t i = 0; i < RANGE_ENTRIES; i++)
    CU_ASSERT (!atomic_load (&rl->entry[i].taken));
  range_lock_free (rl);
}

static bool
try_at (struct range_lock *rl, uint64_t start, uint64_t count)
{
  struct shared_entry *entry;
  bool r = range_try_shared (rl, &entry, start, start + count);

  if (r)
    range_leave_shared (rl, entry, start, start + count);
  return r;
}

/* Without waiting: only while nobody holds anything near it exclusively, and
 * nobody the thread's entry.
 */
static void
test_at_once (void)
{
  struct range_lock *rl = range_lock_new (1);
  struct shared_entry *entry, *another;
  struct exclusive_hold x;
  struct shared_hold s;
  struct locker l;

  alarm (PATIENCE);
  range_home = -1;
  CU_ASSERT_FATAL (range_try_shared (rl, &entry, 0, 10));
  CU_ASSERT (range_home >= 0);
  range_leave_shared (rl, entry, 0, 10);
  range_lock_shared (rl, &s, 0, 10);
  CU_ASSERT_PTR_EQUAL ((char *) s.entry, (char *) rl->entry + range_home);
  CU_ASSERT_FALSE (range_try_shared (rl, &entry, 0, 10));
  range_unlock_shared (rl, &s);

  CU_ASSERT_FATAL (range_try_shared (rl, &entry, 0, 10));
  CU_ASSERT_FALSE (range_try_shared (rl, &another, 20, 30));
  start_waiter (&l, rl, true, 5, 15, 1);
  range_leave_shared (rl, entry, 0, 10);
  pthread_join (l.thread, NULL);
  CU_ASSERT_EQUAL (l.got_end, 15);

  range_lock_exclusive (rl, &x, 100, 200);
  CU_ASSERT_FALSE (range_try_shared (rl, &entry, 0, 10));
  range_unlock_exclusive (rl, &x);
  CU_ASSERT_FATAL (range_try_shared (rl, &entry, 0, 10));
  range_leave_shared (rl, entry, 0, 10);

  /* Elsewhere; of many MiB; where the numbers of MiB look alike; at an edge. */
  range_lock_exclusive (rl, &x, 5 << 20, (5 << 20) + 1);
  CU_ASSERT (try_at (rl, (5 << 20) - 1, 1));
  CU_ASSERT (!try_at (rl, (5 << 20) - 1, 2));
  CU_ASSERT (!try_at (rl, (6 << 20) - 1, 1));
  CU_ASSERT (try_at (rl, 6 << 20, 1 << 20));
  CU_ASSERT (try_at (rl, 6 << 20, 8 << 20));
  CU_ASSERT (!try_at (rl, 0, 8 << 20));
  CU_ASSERT (!try_at (rl, 6 << 20, 9 << 20));
  CU_ASSERT (!try_at (rl, ((uint64_t) RANGE_REGIONS << 20) + (5 << 20), 1));
  CU_ASSERT_EQUAL (range_lock_shared (rl, &s, 6 << 20, 7 << 20), 7 << 20);
  CU_ASSERT_PTR_NOT_NULL (s.entry);
  range_unlock_shared (rl, &s);
  range_unlock_exclusive (rl, &x);
  range_lock_exclusive (rl, &x, 50 << 20, 60 << 20);
  CU_ASSERT (!try_at (rl, 100, 1));
  range_unlock_exclusive (rl, &x);
  range_lock_exclusive (rl, &x, 50 << 20, 58 << 20);
  CU_ASSERT (try_at (rl, 100, 1));
  CU_ASSERT (try_at (rl, 58 << 20, 1));
  CU_ASSERT (!try_at (rl, (58 << 20) - 1, 1));
  range_unlock_exclusive (rl, &x);
  CU_ASSERT (try_at (rl, 50 << 20, 1));
  for (unsigned i = 0; i < RANGE_REGIONS; i++)
    CU_ASSERT_EQUAL (atomic_load (&rl->region[i]), 0);
  CU_ASSERT_EQUAL (atomic_load (&rl->nr_wide), 0);

  /* One that waits far away is woken. */
  range_lock_shared (rl, &s, 20 << 20, (20 << 20) + 10);
  start_waiter (&l, rl, true, 19 << 20, (20 << 20) + 5, 0);
  pthread_join (l.thread, NULL);
  CU_ASSERT_EQUAL (l.got_end, 20 << 20);
  start_waiter (&l, rl, true, 20 << 20, (20 << 20) + 5, 1);
  range_unlock_shared (rl, &s);
  pthread_join (l.thread, NULL);
  range_lock_free (rl);
}

/* A tentative hold keeps nobody out, and is gone where it overlaps what anybody
 * was granted; one that was confirmed is like any exclusive one.
 */
static void
test_tentative (void)
{
  struct range_lock *rl = range_lock_new (10);
  struct exclusive_hold t[5], x;
  struct shared_entry *entry;
  struct shared_hold s;
  struct locker l;

  alarm (PATIENCE);
  for (int i = 0; i < 5; i++)
    CU_ASSERT_EQUAL (range_lock_tentative (rl, &t[i], 100 * i, 100 * i + 50),
                     100 * i + 50);
  CU_ASSERT (!range_try_shared (rl, &entry, 0, 10));
  CU_ASSERT_EQUAL (range_lock_shared (rl, &s, 50, 100), 100);
  range_unlock_shared (rl, &s);
  CU_ASSERT_EQUAL (range_lock_shared (rl, &s, 40, 100), 100);
  CU_ASSERT_EQUAL (range_lock_exclusive (rl, &x, 140, 201), 201);
  range_unlock_exclusive (rl, &x);
  CU_ASSERT (!range_confirm (rl, &t[0]));
  CU_ASSERT (!range_confirm (rl, &t[1]));
  CU_ASSERT (!range_confirm (rl, &t[2]));
  CU_ASSERT (range_confirm (rl, &t[3]));
  CU_ASSERT_EQUAL (atomic_load (&rl->nr_exclusive), 2);

  /* What one that waits is granted in the end counts, and no more. */
  start_waiter (&l, rl, true, 349, 360, 1);
  range_unlock_exclusive (rl, &t[3]);
  pthread_join (l.thread, NULL);
  CU_ASSERT_EQUAL (l.got_end, 360);
  CU_ASSERT_EQUAL (range_lock_tentative (rl, &t[3], 300, 350), 350);
  CU_ASSERT_EQUAL (range_lock_exclusive (rl, &x, 200, 300), 300);
  range_unlock_exclusive (rl, &x);
  CU_ASSERT (range_confirm (rl, &t[3]));

  /* A tentative one waits as an exclusive one does, and then keeps nobody out;
   * an exclusive one that becomes tentative lets go those that wait for it.
   */
  CU_ASSERT (range_confirm (rl, &t[4]));
  start_waiter (&l, rl, false, 430, 440, 1);
  range_relax (rl, &t[4]);
  pthread_join (l.thread, NULL);
  CU_ASSERT_EQUAL (l.got_end, 440);
  CU_ASSERT (!range_confirm (rl, &t[4]));
  for (int i = 0; i < 5; i++)
    range_unlock_exclusive (rl, &t[i]);
  range_unlock_shared (rl, &s);
  CU_ASSERT_PTR_NULL (rl->holds);
  CU_ASSERT_EQUAL (atomic_load (&rl->nr_exclusive), 0);
  CU_ASSERT (try_at (rl, 0, 500));
  range_lock_free (rl);
}

/* Whoever only looks leaves a tentative hold as it is, and is waited for by
 * nobody: as long as somebody looks it can't be confirmed.
 */
static void
test_looking (void)
{
  for (int full = 0; full < 2; full++) {
    struct range_lock *rl = range_lock_new (1);
    struct exclusive_hold t[3];
    struct shared_hold s;

    alarm (PATIENCE);
    for (size_t i = 0; full && i < RANGE_ENTRIES; i++)
      CU_ASSERT (range_take (&rl->entry[i]));
    for (int i = 0; i < 3; i++)
      CU_ASSERT_EQUAL (range_lock_tentative (rl, &t[i], 100 * i,
                                             100 * i + 50), 100 * i + 50);
    CU_ASSERT_EQUAL (range_lock_looking (rl, &s, 0, 10), 10);
    CU_ASSERT_EQUAL (s.entry == NULL, full);
    range_unlock_shared (rl, &s);
    CU_ASSERT (range_confirm (rl, &t[0]));
    CU_ASSERT_EQUAL (range_lock_looking (rl, &s, 140, 160), 160);
    CU_ASSERT (range_confirm (rl, &t[2]));
    CU_ASSERT (!range_confirm (rl, &t[1]));
    CU_ASSERT_EQUAL (atomic_load (&rl->nr_exclusive), 2);
    range_unlock_shared (rl, &s);
    CU_ASSERT (!range_confirm (rl, &t[1]));
    /* As far as there is no exclusive one. */
    CU_ASSERT_EQUAL (range_lock_looking (rl, &s, 190, 210), 200);
    range_unlock_shared (rl, &s);
    for (int i = 0; i < 3; i++)
      range_unlock_exclusive (rl, &t[i]);
    CU_ASSERT_PTR_NULL (rl->holds);
    CU_ASSERT_EQUAL (atomic_load (&rl->nr_exclusive), 0);
    range_lock_free (rl);
  }
}

/* Everything at once: each cell knows who is in it. */
#define CELLS 64
#define THREADS 6

struct stress {
  struct range_lock *rl;
  atomic_int cell[CELLS];       /* -1: exclusive; else shared holds */
  unsigned value[CELLS];        /* not atomic: TSan sees who is wrong */
  atomic_uint wrong;
};

static void *
stress_thread (void *arg)
{
  static atomic_uint next_seed;
  struct stress *st = arg;
  uint64_t seed = atomic_fetch_add (&next_seed, 1);

  for (int i = 0; i < 4000; i++) {
    uint64_t rnd = memdev_random (&seed);
    unsigned start = rnd % CELLS, len = 1 + (rnd >> 8) % 8, sum = 0, c;
    struct shared_entry *entry = NULL;
    struct exclusive_hold x;
    struct shared_hold s;
    bool at_once = false;

    if (start + len > CELLS)
      len = CELLS - start;
    if ((rnd >> 16) % 3 == 0) {
      if (rnd >> 20 & 1) {
        len = range_lock_tentative (st->rl, &x, start, start + len) - start;
        if (rnd >> 21 & 1)
          pause_a_little ();
        if (!range_confirm (st->rl, &x)) {
          range_unlock_exclusive (st->rl, &x);
          continue;
        }
      }
      else
        len = range_lock_exclusive (st->rl, &x, start, start + len) - start;
      for (c = start; c < start + len; c++) {
        int expected = 0;

        if (!atomic_compare_exchange_strong (&st->cell[c], &expected, -1))
          atomic_fetch_add (&st->wrong, 1);
        st->value[c]++;
      }
      for (c = start; c < start + len; c++)
        atomic_store (&st->cell[c], 0);
      range_unlock_exclusive (st->rl, &x);
    }
    else {
      if (rnd >> 20 & 1)
        at_once = range_try_shared (st->rl, &entry, start, start + len);
      if (!at_once)
        len = range_lock_shared (st->rl, &s, start, start + len) - start;
      for (c = start; c < start + len; c++) {
        if (atomic_fetch_add (&st->cell[c], 1) < 0)
          atomic_fetch_add (&st->wrong, 1);
        sum += st->value[c];
      }
      if (sum == UINT_MAX)
        pause_a_little ();
      for (c = start; c < start + len; c++)
        atomic_fetch_sub (&st->cell[c], 1);
      if (at_once)
        range_leave_shared (st->rl, entry, start, start + len);
      else
        range_unlock_shared (st->rl, &s);
    }
  }
  return NULL;
}

static void
test_stress (void)
{
  static struct stress st;
  pthread_t t[THREADS];

  alarm (PATIENCE);
  st.rl = range_lock_new (1);
  for (int i = 0; i < THREADS; i++)
    CU_ASSERT_EQUAL_FATAL (pthread_create (&t[i], NULL, stress_thread, &st),
                           0);
  for (int i = 0; i < THREADS; i++)
    pthread_join (t[i], NULL);
  CU_ASSERT_EQUAL (atomic_load (&st.wrong), 0);
  CU_ASSERT_PTR_NULL (st.rl->holds);
  CU_ASSERT_EQUAL (atomic_load (&st.rl->nr_exclusive), 0);
  range_lock_free (st.rl);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "no overlap", test_no_overlap },
    { "overlap excludes", test_excludes },
    { "first come, first served", test_order },
    { "shared ones that waited", test_shared_waiters },
    { "nobody waits for others' parts (promise 8)", test_no_convoy },
    { "what came before counts", test_waits_for_the_first },
    { "units", test_units },
    { "a shared hold is cut short", test_cut_short },
    { "the table is full", test_table_full },
    { "at once (promise 24)", test_at_once },
    { "tentative", test_tentative },
    { "looking", test_looking },
    { "stress", test_stress },
    { NULL }
  };

  return run_tests (argc, argv, "rangelock", tests);
}
