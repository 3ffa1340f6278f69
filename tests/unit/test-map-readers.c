/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map: readers while it is updated.  Each update moves everything to
 * a new generation, and says so before and after it is published: so a
 * reader knows which generations are legal, and one lookup must be all of
 * one of them (promises 1, 8 and 13 of remap-promises(7): no request sees what
 * was freed, a change before it is durable, or half of it).
 */

#include <config.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <urcu-bp.h>
#include <CUnit/Basic.h>

#include "map-testing.h"
#include "map/tree.h"

#define READERS 2
#define WIDTH 64                /* sectors of the run that moves as one */
#define SINGLES 400             /* sectors that are entries of their own */
#define FIRST_SINGLE 1000
#define DISTANCE 3              /* between them */

/* Slots of a generation.  Odd ones have the singles LOST, even ones ZERO;
 * in every eighth the map is empty.
 */
#define SLOTS UINT64_C (100000)

struct shared {
  struct map *map;
  uint64_t begun;               /* the highest generation being published */
  uint64_t done;                /* the highest that is published */
  bool stop;
  uint64_t lookups[READERS];    /* how many, for the writer to wait for */
  uint64_t wrong;
};

struct reader {
  struct shared *shared;
  unsigned number;
};

static uint64_t
load (const uint64_t *p)
{
  return __atomic_load_n (p, __ATOMIC_SEQ_CST);
}

static void
store (uint64_t *p, uint64_t n)
{
  __atomic_store_n (p, n, __ATOMIC_SEQ_CST);
}

static bool
is_empty_generation (uint64_t g)
{
  return g % 8 == 0;
}

/* A run of WIDTH sectors: all of it at once, and of a generation between
 * LOW and what has begun by now.
 */
static bool
moving_run_is_right (const struct shared *s, uint64_t low)
{
  const struct run run = map_lookup (s->map, 100, WIDTH);
  const uint64_t high = load (&s->begun);
  uint64_t g;

  if (run.start != 100 || run.count != WIDTH)
    return false;
  if (run.state == DIRECT) {
    for (g = low; g <= high; g++) {
      if (is_empty_generation (g))
        return true;
    }
    return false;
  }
  g = run.slot / SLOTS;
  return run.state == REMAPPED && run.slot % SLOTS == 0
    && g >= low && g <= high && !is_empty_generation (g);
}

static bool
single_is_right (const struct shared *s, uint64_t low, uint64_t i)
{
  const struct run run
    = map_lookup (s->map, FIRST_SINGLE + DISTANCE * i, DISTANCE);
  const uint64_t high = load (&s->begun);
  uint64_t g;

  for (g = low; g <= high; g++) {
    if (is_empty_generation (g)
        ? run.state == DIRECT && run.count == DISTANCE
        : run.state == (g % 2 ? LOST : ZERO) && run.count == 1)
      return true;
  }
  return false;
}

static bool
totals_are_right (const struct shared *s)
{
  struct map_totals t;

  map_get_totals (s->map, &t);
  if (t.runs == 0)
    return t.remapped + t.lost + t.zero + t.bytes == 0;
  return t.remapped == WIDTH && t.runs == SINGLES + 1
    && t.lost + t.zero == SINGLES && (t.lost == 0 || t.zero == 0);
}

static bool
next_is_right (const struct shared *s, uint64_t i)
{
  const sector_t at = FIRST_SINGLE + DISTANCE * i;
  struct run run;

  if (!map_next (s->map, at, &run))
    return true;                /* an empty generation */
  return run.start == at && run.count == 1
    && (run.state == LOST || run.state == ZERO)
    && run.slot == NO_SLOT;
}

static void *
reader (void *arg)
{
  const struct reader *r = arg;
  struct shared *s = r->shared;
  uint64_t n = 0, low, i;

  while (!__atomic_load_n (&s->stop, __ATOMIC_SEQ_CST)) {
    i = (n * 7 + r->number) % SINGLES;
    low = load (&s->done);
    if (!moving_run_is_right (s, low))
      __atomic_fetch_add (&s->wrong, 1, __ATOMIC_SEQ_CST);
    low = load (&s->done);
    if (!single_is_right (s, low, i))
      __atomic_fetch_add (&s->wrong, 1, __ATOMIC_SEQ_CST);
    if (!totals_are_right (s) || !next_is_right (s, i))
      __atomic_fetch_add (&s->wrong, 1, __ATOMIC_SEQ_CST);
    if (!map_all_direct (s->map, 0, 100))
      __atomic_fetch_add (&s->wrong, 1, __ATOMIC_SEQ_CST);
    store (&s->lookups[r->number], ++n);
  }
  return NULL;
}

static void
set (struct map *map, sector_t start, uint64_t count,
     enum sector_state state, slot_t slot)
{
  const struct run run = make_run (start, count, state, slot);

  if (map_set (map, &run) != 0)
    abort ();
}

/* Builds generation G in an open update, in steps that would be seen. */
static void
build_generation (struct map *map, uint64_t g)
{
  unsigned i;

  if (is_empty_generation (g)) {
    set (map, 0, MAP_MAX_SECTOR, DIRECT, 0);
    return;
  }
  for (i = 0; i < WIDTH; i++)
    set (map, 100 + i, 1, REMAPPED, g * SLOTS + i);
  for (i = 0; i < SINGLES; i++)
    set (map, FIRST_SINGLE + DISTANCE * i, 1, g % 2 ? LOST : ZERO, 0);
}

static void
test_readers (void)
{
  const uint64_t generations = 400 / test_divide + 20;
  const uint64_t lookups = 2000 / test_divide + 100;
  struct shared s = { .map = map_new () };
  struct reader readers[READERS];
  pthread_t thread[READERS];
  bool enough = false;
  uint64_t g;
  unsigned i;

  CU_ASSERT_PTR_NOT_NULL_FATAL (s.map);
  for (i = 0; i < READERS; i++) {
    readers[i] = (struct reader) { &s, i };
    CU_ASSERT_EQUAL_FATAL (pthread_create (&thread[i], NULL, reader,
                                           &readers[i]), 0);
  }

  for (g = 1; g < generations || !enough; g++) {
    map_begin (s.map);
    build_generation (s.map, g);
    if (g % 3 == 0) {           /* a failed commit: build it again */
      map_abort (s.map);
      map_begin (s.map);
      build_generation (s.map, g);
    }
    store (&s.begun, g);
    map_publish (s.map);
    store (&s.done, g);

    for (i = 0, enough = true; i < READERS; i++)
      enough = enough && load (&s.lookups[i]) >= lookups;
  }

  __atomic_store_n (&s.stop, true, __ATOMIC_SEQ_CST);
  for (i = 0; i < READERS; i++)
    pthread_join (thread[i], NULL);
  CU_ASSERT_EQUAL (s.wrong, 0);
  map_free (s.map);
}

/* Threads come and go while the map changes. */
static void *
short_reader (void *arg)
{
  struct shared *s = arg;
  uint64_t i;

  for (i = 0; i < 50; i++) {
    if (!totals_are_right (s) || !next_is_right (s, i))
      __atomic_fetch_add (&s->wrong, 1, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static void
test_short_threads (void)
{
  struct shared s = { .map = map_new () };
  pthread_t thread[READERS];
  unsigned g, i;

  CU_ASSERT_PTR_NOT_NULL_FATAL (s.map);
  for (g = 1; g < 50; g++) {
    for (i = 0; i < READERS; i++)
      CU_ASSERT_EQUAL_FATAL (pthread_create (&thread[i], NULL, short_reader,
                                             &s), 0);
    map_begin (s.map);
    build_generation (s.map, g);
    map_publish (s.map);
    for (i = 0; i < READERS; i++)
      pthread_join (thread[i], NULL);
  }
  CU_ASSERT_EQUAL (s.wrong, 0);
  map_free (s.map);
}

/* A reader that takes its time: it leaves a while after it was told to. */
static void *
slow_reader (void *arg)
{
  const struct timespec ts = { .tv_nsec = 1000000 };
  struct shared *s = arg;

  urcu_bp_read_lock ();
  store (&s->begun, 1);
  for (int i = 0, told = 0; i < 20000 && told < 50; i++) {
    told += load (&s->wrong) != 0;
    nanosleep (&ts, NULL);
  }
  store (&s->done, 1);
  urcu_bp_read_unlock ();
  return NULL;
}

/* Publishing doesn't wait for it, and what it may see isn't freed before it
 * leaves: with much to be freed, publishing waits.
 */
static void
test_slow_reader (void)
{
  struct shared s = { .map = map_new () };
  const long live = alloc_live;
  pthread_t thread;
  uint64_t g = 1;

  CU_ASSERT_PTR_NOT_NULL_FATAL (s.map);
  map_begin (s.map);
  build_generation (s.map, g);
  map_publish (s.map);
  CU_ASSERT_EQUAL_FATAL (pthread_create (&thread, NULL, slow_reader, &s), 0);
  while (load (&s.begun) == 0)
    sched_yield ();
  while (g < 100) {
    map_begin (s.map);
    build_generation (s.map, ++g | 1);
    map_publish (s.map);
  }
  CU_ASSERT_EQUAL (load (&s.done), 0);
  CU_ASSERT (alloc_live - live > 100);

  s.map->old_max = s.map->old_bytes;
  store (&s.wrong, 1);
  map_begin (s.map);
  build_generation (s.map, 2);
  map_publish (s.map);
  CU_ASSERT_EQUAL (load (&s.done), 1);
  CU_ASSERT_EQUAL (s.map->old_bytes, 0);
  CU_ASSERT (alloc_live - live < 100);
  pthread_join (thread, NULL);
  map_free (s.map);
}

/* What is kept for slow readers has a limit. */
static void
test_old_memory (void)
{
  struct map *map = map_new ();
  uint64_t most = 0, times = 0, before = 0;

  CU_ASSERT_PTR_NOT_NULL_FATAL (map);
  for (uint64_t g = 1; g < 5000; g++) {
    map_begin (map);
    build_generation (map, g | 1);
    map_publish (map);
    times += map->old_bytes < before;
    before = map->old_bytes;
    if (before > most)
      most = before;
  }
  CU_ASSERT (most <= MAP_OLD_MAX);
  CU_ASSERT (times > 0 && times < 50);
  map_free (map);
}

int
main (void)
{
  static const struct test tests[] = {
    { "a slow reader (promise 1)", test_slow_reader },
    { "memory for slow readers", test_old_memory },
    { "readers during updates", test_readers },
    { "short-lived readers", test_short_threads },
  };

  return run_tests ("map, readers", tests,
                    sizeof tests / sizeof tests[0]);
}
