/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map: each function, the limits, and every allocation that can fail.
 * Random tests are in test-map-random.c, threads in test-map-readers.c.
 *
 * A second program of the same source has small nodes.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "map-testing.h"
#include "map/tree.h"

#define M24 (UINT64_C (1) << 24)
#define M32 (UINT64_C (1) << 32)

static struct map *
new_map (void)
{
  struct map *map = map_new ();

  CU_ASSERT_PTR_NOT_NULL_FATAL (map);
  return map;
}

/* One change, published, in the map and its model. */
static void
set (struct map *map, struct model *m, sector_t start, uint64_t count,
     enum sector_state state, slot_t slot)
{
  const struct run run = make_run (start, count, state, slot);

  map_begin (map);
  CU_ASSERT_EQUAL_FATAL (map_set (map, &run), 0);
  map_publish (map);
  model_set (m, &run);
  ASSERT_FINE (check_map (map, m));
}

static bool
is_run (struct run run, sector_t start, uint64_t count,
        enum sector_state state, slot_t slot)
{
  const struct run want = make_run (start, count, state, slot);

  return run.start == want.start && run.count == want.count
    && run.state == want.state && run.slot == want.slot;
}

static uint64_t
count_entries (const struct map *map)
{
  struct map_totals totals;

  map_get_totals (map, &totals);
  return totals.runs;
}

/* A map without entries, promise 24: also what it says about the end. */
static void
test_empty (void)
{
  struct map *map = new_map ();
  struct map_totals totals = { 1, 1, 1, 1, 1, 1, 1 };
  struct run run;

  CU_ASSERT (is_run (map_lookup (map, 0, 1), 0, 1, DIRECT, 0));
  CU_ASSERT (is_run (map_lookup (map, 5, MAP_MAX_SECTOR - 5), 5,
                     MAP_MAX_SECTOR - 5, DIRECT, 0));
  CU_ASSERT (map_all_direct (map, 0, MAP_MAX_SECTOR));
  CU_ASSERT_FALSE (map_next (map, 0, &run));
  map_get_totals (map, &totals);
  CU_ASSERT_EQUAL (totals.remapped + totals.lost + totals.zero, 0);
  CU_ASSERT_EQUAL (totals.runs + totals.bytes, 0);

  map_begin (map);
  CU_ASSERT_FALSE (map_update_next (map, 0, &run));
  map_publish (map);
  map_begin (map);
  map_abort (map);
  CU_ASSERT_EQUAL (map_load_end (map), 0);
  map_free (map);
  map_free (NULL);
}

/* A lookup is cut to what was asked for, and at the edges of runs. */
static void
test_lookup (void)
{
  struct map *map = new_map ();
  struct model m = { 0 };

  set (map, &m, 100, 50, REMAPPED, 7);
  set (map, &m, 150, 10, REMAPPED, 1000);
  set (map, &m, 170, 10, LOST, 0);
  set (map, &m, 180, 10, ZERO, 0);

  CU_ASSERT (is_run (map_lookup (map, 0, 1), 0, 1, DIRECT, 0));
  CU_ASSERT (is_run (map_lookup (map, 0, 101), 0, 100, DIRECT, 0));
  CU_ASSERT (is_run (map_lookup (map, 99, 1), 99, 1, DIRECT, 0));
  CU_ASSERT (is_run (map_lookup (map, 100, 1), 100, 1, REMAPPED, 7));
  CU_ASSERT (is_run (map_lookup (map, 100, 500), 100, 50, REMAPPED, 7));
  CU_ASSERT (is_run (map_lookup (map, 149, 9), 149, 1, REMAPPED, 56));
  CU_ASSERT (is_run (map_lookup (map, 155, 2), 155, 2, REMAPPED, 1005));
  CU_ASSERT (is_run (map_lookup (map, 160, 99), 160, 10, DIRECT, 0));
  CU_ASSERT (is_run (map_lookup (map, 175, 99), 175, 5, LOST, 0));
  CU_ASSERT (is_run (map_lookup (map, 180, 99), 180, 10, ZERO, 0));
  CU_ASSERT (is_run (map_lookup (map, 190, UINT64_MAX), 190,
                     UINT64_MAX - 190, DIRECT, 0));

  CU_ASSERT (map_all_direct (map, 0, 100));
  CU_ASSERT_FALSE (map_all_direct (map, 0, 101));
  CU_ASSERT_FALSE (map_all_direct (map, 149, 1));
  CU_ASSERT (map_all_direct (map, 160, 10));
  CU_ASSERT_FALSE (map_all_direct (map, 160, 11));
  CU_ASSERT_FALSE (map_all_direct (map, 189, 5));
  CU_ASSERT (map_all_direct (map, 190, MAP_MAX_SECTOR - 190));
  map_free (map);
  model_free (&m);
}

static void
test_next (void)
{
  struct map *map = new_map ();
  struct model m = { 0 };
  struct run run;

  set (map, &m, 10, 5, REMAPPED, 50);
  set (map, &m, 20, 5, LOST, 0);

  CU_ASSERT (map_next (map, 0, &run));
  CU_ASSERT (is_run (run, 10, 5, REMAPPED, 50));
  CU_ASSERT (map_next (map, 14, &run));         /* whole */
  CU_ASSERT (is_run (run, 10, 5, REMAPPED, 50));
  CU_ASSERT (map_next (map, 15, &run));
  CU_ASSERT (is_run (run, 20, 5, LOST, 0));
  CU_ASSERT_FALSE (map_next (map, 25, &run));
  map_free (map);
  model_free (&m);
}

/* Runs are joined when they continue each other, and only then. */
static void
test_joining (void)
{
  struct map *map = new_map ();
  struct model m = { 0 };

  set (map, &m, 10, 5, REMAPPED, 100);
  set (map, &m, 15, 5, REMAPPED, 105);
  CU_ASSERT_EQUAL (count_entries (map), 1);
  set (map, &m, 5, 5, REMAPPED, 95);
  CU_ASSERT_EQUAL (count_entries (map), 1);
  set (map, &m, 20, 5, REMAPPED, 111);
  CU_ASSERT_EQUAL (count_entries (map), 2);
  set (map, &m, 30, 5, LOST, 0);
  set (map, &m, 40, 5, LOST, 0);
  CU_ASSERT_EQUAL (count_entries (map), 4);
  set (map, &m, 35, 5, LOST, 0);                /* the gap between */
  CU_ASSERT_EQUAL (count_entries (map), 3);
  set (map, &m, 45, 5, ZERO, 0);
  CU_ASSERT_EQUAL (count_entries (map), 4);
  set (map, &m, 45, 2, LOST, 0);
  CU_ASSERT_EQUAL (count_entries (map), 4);
  set (map, &m, 60, 1, MAP_NOTE, 3);
  set (map, &m, 61, 1, MAP_NOTE, 3);
  CU_ASSERT_EQUAL (count_entries (map), 5);
  set (map, &m, 62, 1, MAP_NOTE, 4);
  CU_ASSERT_EQUAL (count_entries (map), 6);
  CU_ASSERT (is_run (map_lookup (map, 60, 9), 60, 2, MAP_NOTE, 3));
  CU_ASSERT (is_run (map_lookup (map, 61, 9), 61, 1, MAP_NOTE, 3));

  /* RESCUED: those of a kind are one run, the two kinds are not, and neither
   * is ZERO, whose bits they share.
   */
  set (map, &m, 70, 5, KEPT, 0);
  set (map, &m, 80, 5, KEPT, 0);
  set (map, &m, 75, 5, KEPT, 0);
  CU_ASSERT_EQUAL (count_entries (map), 7);
  set (map, &m, 85, 5, WRITTEN, 0);
  set (map, &m, 90, 5, ZERO, 0);
  set (map, &m, 95, 5, WRITTEN, 0);
  CU_ASSERT_EQUAL (count_entries (map), 10);
  CU_ASSERT (is_run (map_lookup (map, 70, 99), 70, 15, KEPT, 0));
  CU_ASSERT (is_run (map_lookup (map, 85, 99), 85, 5, WRITTEN, 0));
  set (map, &m, 90, 5, WRITTEN, 0);
  CU_ASSERT (is_run (map_lookup (map, 85, 99), 85, 15, WRITTEN, 0));
  CU_ASSERT_EQUAL (count_entries (map), 8);
  map_free (map);
  model_free (&m);
}

/* What a change cuts keeps its value; what it covers is gone. */
static void
test_cutting (void)
{
  struct map *map = new_map ();
  struct model m = { 0 };
  unsigned i;

  set (map, &m, 100, 100, REMAPPED, 0);
  set (map, &m, 140, 20, DIRECT, 0);            /* the middle */
  CU_ASSERT (is_run (map_lookup (map, 160, 9), 160, 9, REMAPPED, 60));
  set (map, &m, 90, 20, LOST, 0);               /* the beginning */
  CU_ASSERT (is_run (map_lookup (map, 110, 9), 110, 9, REMAPPED, 10));
  set (map, &m, 190, 20, ZERO, 0);              /* the end */
  set (map, &m, 120, 1, REMAPPED, 500);         /* another slot within */
  CU_ASSERT (is_run (map_lookup (map, 121, 9), 121, 9, REMAPPED, 21));
  set (map, &m, 120, 1, REMAPPED, 20);          /* and the old one again */
  set (map, &m, 140, 20, REMAPPED, 40);
  CU_ASSERT (is_run (map_lookup (map, 110, 200), 110, 80, REMAPPED, 10));
  CU_ASSERT_EQUAL (count_entries (map), 3);

  for (i = 0; i < 1000; i++)                    /* many at once */
    set (map, &m, 1000 + 2 * i, 1, REMAPPED, 10000 - i);
  set (map, &m, 1001, 1990, ZERO, 0);
  CU_ASSERT_EQUAL (count_entries (map), 9);
  set (map, &m, 0, MAP_MAX_SECTOR, DIRECT, 0);
  CU_ASSERT_EQUAL (count_entries (map), 0);
  map_free (map);
  model_free (&m);
}

/* Leaves that become small are merged with the next, which has longer
 * entries: lookups must still find where these end.
 */
static void
test_merging (void)
{
  const unsigned n = 4 * MAP_LEAF_MAX;
  struct map *map = new_map ();
  struct model m = { 0 };
  struct map_totals totals;
  unsigned i;

  for (i = 0; i < n; i++)
    set (map, &m, 20 * i, i == n - 1 ? 10 : 1, REMAPPED, 7 * i);
  for (i = 0; i < n - 1; i++) {
    set (map, &m, 20 * i, 1, DIRECT, 0);
    CU_ASSERT (is_run (map_lookup (map, 20 * (n - 1) + 9, 5),
                       20 * (n - 1) + 9, 1, REMAPPED, 7 * (n - 1) + 9));
    CU_ASSERT_FALSE (map_all_direct (map, 20 * (n - 1) + 9, 1));
  }
  map_get_totals (map, &totals);
  CU_ASSERT_EQUAL (totals.runs, 1);

  for (i = 0; i < n; i++)                       /* from the other end */
    set (map, &m, 20 * i, i == 0 ? 10 : 1, LOST, 0);
  for (i = n - 1; i > 0; i--) {
    set (map, &m, 20 * i, 10, DIRECT, 0);
    CU_ASSERT (is_run (map_lookup (map, 9, 5), 9, 1, LOST, 0));
  }
  map_free (map);
  model_free (&m);
}

/* A change that changes nothing costs nothing. */
static void
test_no_change (void)
{
  static const struct run runs[] = {
    { 12, 3, LOST, NO_SLOT }, { 30, 5, DIRECT, NO_SLOT },
    { 21, 2, REMAPPED, 101 }, { 12, 0, ZERO, NO_SLOT },
  };
  struct map *map = new_map ();
  struct model m = { 0 };
  size_t i;

  set (map, &m, 10, 10, LOST, 0);
  set (map, &m, 20, 10, REMAPPED, 100);
  map_begin (map);
  alloc_countdown = 1;                          /* no allocation */
  for (i = 0; i < sizeof runs / sizeof runs[0]; i++)
    CU_ASSERT_EQUAL (map_set (map, &runs[i]), 0);
  alloc_countdown = 0;
  map_publish (map);
  ASSERT_FINE (check_map (map, &m));
  map_free (map);
  model_free (&m);
}

/* The ends of the space, of slots, and of what an entry and a leaf hold. */
static void
test_limits (void)
{
  const sector_t last = MAP_MAX_SECTOR - 1;
  struct map *map = new_map ();
  struct model m = { 0 };
  sector_t at;
  struct run run;

  set (map, &m, 0, 1, REMAPPED, 0);
  set (map, &m, last, 1, REMAPPED, MAP_MAX_SLOT - 1);
  CU_ASSERT (is_run (map_lookup (map, 0, 2), 0, 1, REMAPPED, 0));
  CU_ASSERT (is_run (map_lookup (map, last, 2), last, 1, REMAPPED,
                     MAP_MAX_SLOT - 1));
  CU_ASSERT (is_run (map_lookup (map, 1, MAP_MAX_SECTOR), 1, last - 1,
                     DIRECT, 0));
  CU_ASSERT (map_next (map, 1, &run));
  CU_ASSERT_EQUAL (run.start, last);
  CU_ASSERT_FALSE (map_next (map, last + 1, &run));
  CU_ASSERT (map_all_direct (map, last + 1, 1));

  for (at = M24 - 2; at <= M24 + 2; at++)
    set (map, &m, at, 1, REMAPPED, 2 * at);
  for (at = M32 - 2; at <= M32 + 2; at++)
    set (map, &m, at, 1, REMAPPED, at);
  for (at = 3 * M32; at < MAP_MAX_SECTOR / 2; at *= 3)
    set (map, &m, at, 1, at % 2 ? LOST : ZERO, 0);
  set (map, &m, M32 - 2, M32 + 4, MAP_NOTE, MAP_MAX_SLOT - 1);
  set (map, &m, 0, MAP_MAX_SECTOR, LOST, 0);
  CU_ASSERT_EQUAL (count_entries (map), 1);
  CU_ASSERT (is_run (map_lookup (map, 0, UINT64_MAX), 0, MAP_MAX_SECTOR,
                     LOST, 0));
  set (map, &m, 0, MAP_MAX_SECTOR, KEPT, 0);
  set (map, &m, 1, MAP_MAX_SECTOR - 1, WRITTEN, 0);
  CU_ASSERT_EQUAL (count_entries (map), 2);
  CU_ASSERT (is_run (map_lookup (map, 0, UINT64_MAX), 0, 1, KEPT, 0));
  CU_ASSERT (is_run (map_lookup (map, 1, UINT64_MAX), 1, MAP_MAX_SECTOR - 1,
                     WRITTEN, 0));
  map_free (map);
  model_free (&m);
}

/* Runs longer than an entry look like one. */
static void
test_long_runs (void)
{
  struct map *map = new_map ();
  struct model m = { 0 };
  struct run run;
  unsigned i;

  set (map, &m, 1000, 5 * M24 + 5, REMAPPED, 70);
  CU_ASSERT_EQUAL (count_entries (map), 6);
  CU_ASSERT (is_run (map_lookup (map, 1000, UINT64_MAX), 1000, 5 * M24 + 5,
                     REMAPPED, 70));
  CU_ASSERT (is_run (map_lookup (map, 1010 + M24, 3 * M24), 1010 + M24,
                     3 * M24, REMAPPED, 80 + M24));
  CU_ASSERT (map_next (map, 1000 + 4 * M24, &run));     /* whole */
  CU_ASSERT (is_run (run, 1000, 5 * M24 + 5, REMAPPED, 70));
  set (map, &m, 1000 + 2 * M24, 1, LOST, 0);
  set (map, &m, 1000 + 2 * M24, 1, REMAPPED, 70 + 2 * M24);
  CU_ASSERT (is_run (map_lookup (map, 1000, UINT64_MAX), 1000, 5 * M24 + 5,
                     REMAPPED, 70));

  /* Growing at both ends, sector by sector, leaves full entries. */
  set (map, &m, 0, MAP_MAX_SECTOR, DIRECT, 0);
  set (map, &m, 1000, M24, REMAPPED, 1000);
  for (i = 0; i < 100; i++) {
    set (map, &m, 999 - i, 1, REMAPPED, 999 - i);
    set (map, &m, 1000 + M24 + i, 1, REMAPPED, 1000 + M24 + i);
  }
  CU_ASSERT_EQUAL (count_entries (map), 3);
  CU_ASSERT (is_run (map_lookup (map, 900, UINT64_MAX), 900, M24 + 200,
                     REMAPPED, 900));

  set (map, &m, 2 * M24, 3 * M24, MAP_NOTE, 9);
  CU_ASSERT (is_run (map_lookup (map, 3 * M24 + 1, UINT64_MAX),
                     3 * M24 + 1, 2 * M24 - 1, MAP_NOTE, 9));
  map_free (map);
  model_free (&m);
}

static void
test_totals (void)
{
  struct map *map = new_map ();
  struct model m = { 0 };
  struct map_totals totals;

  set (map, &m, 0, 100, REMAPPED, 0);
  set (map, &m, 200, 10, LOST, 0);
  set (map, &m, 300, 30, ZERO, 0);
  set (map, &m, 400, 40, MAP_NOTE, 1);
  set (map, &m, 50, 155, LOST, 0);
  set (map, &m, 500, 3, KEPT, 0);
  set (map, &m, 503, 5, WRITTEN, 0);
  map_get_totals (map, &totals);
  CU_ASSERT_EQUAL (totals.kept, 3);
  CU_ASSERT_EQUAL (totals.written, 5);
  CU_ASSERT_EQUAL (totals.remapped, 50);
  CU_ASSERT_EQUAL (totals.lost, 160);
  CU_ASSERT_EQUAL (totals.zero, 30);
  CU_ASSERT_EQUAL (totals.runs, 6);
  CU_ASSERT (totals.bytes >= 6 * 12);

  map_begin (map);
  CU_ASSERT_EQUAL (map_set (map, &(struct run) { 0, 50, DIRECT, NO_SLOT }),
                   0);
  map_get_totals (map, &totals);                /* of what is published */
  CU_ASSERT_EQUAL (totals.remapped, 50);
  map_publish (map);
  map_get_totals (map, &totals);
  CU_ASSERT_EQUAL (totals.remapped, 0);
  map_free (map);
  model_free (&m);
}

/* Nobody sees an update before it is published, everything of it after
 * that, and nothing of it after an abort.
 */
static void
test_publish_and_abort (void)
{
  struct map *map = new_map ();
  struct model before = { 0 }, after = { 0 };
  struct run run;
  int round;
  unsigned i;

  for (round = 0; round < 3; round++) {         /* the first time: empty */
    model_copy (&after, &before);
    map_begin (map);
    for (i = 0; i < 500; i++) {
      run = make_run (random_below (3000), 1 + random_below (9),
                      random_state (true),
                      random_below (100));
      CU_ASSERT_EQUAL_FATAL (map_set (map, &run), 0);
      model_set (&after, &run);
    }
    ASSERT_FINE (compare_runs (map, true, &after));
    ASSERT_FINE (check_map (map, &before));
    if (round == 1)
      map_publish (map);
    else
      map_abort (map);
    if (round == 1)
      model_copy (&before, &after);
    ASSERT_FINE (check_map (map, &before));
  }

  /* To nothing, and back. */
  map_begin (map);
  run = make_run (0, MAP_MAX_SECTOR, DIRECT, 0);
  CU_ASSERT_EQUAL (map_set (map, &run), 0);
  CU_ASSERT_FALSE (map_update_next (map, 0, &run));
  ASSERT_FINE (check_map (map, &before));
  map_abort (map);
  ASSERT_FINE (check_map (map, &before));
  map_free (map);
  model_free (&before);
  model_free (&after);
}

static void
load_runs (struct map *map, struct model *m, unsigned n)
{
  sector_t at = 0;
  unsigned i;

  for (i = 0; i < n; i++) {
    const struct run run = make_run (
      at, 1 + random_below (i % 100 ? 9 : 3 * M24),
      random_state (false), at % MAP_MAX_SLOT);

    CU_ASSERT_EQUAL_FATAL (map_load (map, &run), 0);
    model_set (m, &run);
    at = run.start + run.count
      + random_below (i % 300 ? 3 : UINT64_C (1) << 34);
  }
  CU_ASSERT_EQUAL_FATAL (map_load_end (map), 0);
}

static void
test_load (void)
{
  static const unsigned sizes[] = {
    0, 1, 2, 4, 5, 16, 20, 21, 127, 128, 129, 2000,
  };
  struct model m = { 0 };
  struct map *map;
  size_t i, j;

  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    m.n = 0;
    map = new_map ();
    load_runs (map, &m, sizes[i]);
    ASSERT_FINE (check_map (map, &m));
    for (j = 0; j < 50; j++)                    /* goes on as usual */
      set (map, &m, random_below (5000), 1 + random_below (5),
           random_state (true), random_below (1000));
    map_free (map);
  }

  /* One run, given in pieces. */
  map = new_map ();
  for (i = 0; i < 100; i++)
    CU_ASSERT_EQUAL (map_load (map, &(struct run) { 7 + i, 1, LOST, i }), 0);
  CU_ASSERT_EQUAL (map_load_end (map), 0);
  CU_ASSERT_EQUAL (count_entries (map), 1);
  CU_ASSERT (is_run (map_lookup (map, 0, 7), 0, 7, DIRECT, 0));
  CU_ASSERT (is_run (map_lookup (map, 7, 999), 7, 100, LOST, 0));
  map_free (map);
  model_free (&m);
}

/* What a damaged spare may ask to be loaded, promise 23. */
static void
test_load_refuses (void)
{
  static const struct run bad[] = {
    { 100, 0, LOST, NO_SLOT },                  /* empty */
    { 100, 1, DIRECT, NO_SLOT },
    { 100, 1, (enum sector_state) 7, 0 },
    { 100, 1, (enum sector_state) -1, 0 },
    { 19, 5, LOST, NO_SLOT },                   /* overlaps */
    { 5, 1, LOST, NO_SLOT },                    /* out of order */
    { 10, 1, LOST, NO_SLOT },
    { MAP_MAX_SECTOR, 1, LOST, NO_SLOT },
    { MAP_MAX_SECTOR - 1, 2, LOST, NO_SLOT },
    { 100, UINT64_MAX, LOST, NO_SLOT },
    { UINT64_MAX, 2, LOST, NO_SLOT },
    { 100, 1, REMAPPED, MAP_MAX_SLOT },
    { 100, 2, REMAPPED, MAP_MAX_SLOT - 1 },
    { 100, 1, REMAPPED, NO_SLOT },
    { 100, 1, MAP_NOTE, MAP_MAX_SLOT },
  };
  size_t i;

  for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct map *map = new_map ();

    CU_ASSERT_EQUAL (map_load (map, &(struct run) { 10, 10, LOST, NO_SLOT }),
                     0);
    CU_ASSERT_EQUAL (map_load (map, &bad[i]), EINVAL);
    map_free (map);
  }
}

/* Every allocation of an update fails once; then it is aborted. */
static void
test_update_without_memory (void)
{
  struct model before = { 0 };
  struct map *map = new_map ();
  const uint64_t seed = test_seed;
  unsigned nth, i;
  struct run run;
  int r;

  load_runs (map, &before, 1000);
  for (nth = 1;; nth++) {
    const long live = alloc_live;

    test_seed = seed;
    map_begin (map);
    alloc_countdown = nth;
    for (i = r = 0; i < 120 && r == 0; i++) {
      run = make_run (before.v[random_below (before.n)].start
                      + random_below (9),
                      1 + random_below (i % 40 ? 5 : 3 * M24),
                      random_state (true),
                      random_below (1000));
      r = map_set (map, &run);
    }
    for (i = 0; i < before.n && r == 0; i++) {  /* merges leaves */
      if (i % 16 == 0)
        continue;
      run = before.v[i];
      run.state = DIRECT;
      r = map_set (map, &run);
    }
    alloc_countdown = 0;
    if (r == 0)
      break;
    CU_ASSERT_EQUAL_FATAL (r, ENOMEM);
    map_abort (map);
    CU_ASSERT_EQUAL_FATAL (alloc_live, live);
    ASSERT_FINE (check_map (map, &before));
  }
  map_publish (map);
  ASSERT_FINE (check_structure (map));
  CU_ASSERT (nth > 10);
  map_free (map);
  model_free (&before);
}

/* And of map_new and map_load. */
static void
test_load_without_memory (void)
{
  const unsigned entries = MAP_LEAF_MAX * 160;  /* three levels */
  const long live = alloc_live;
  unsigned nth, i;
  struct map *map;
  struct run run;
  int r;

  for (nth = 1;; nth++) {
    alloc_countdown = nth;
    errno = 0;
    map = map_new ();
    if (map == NULL) {
      CU_ASSERT_EQUAL (errno, ENOMEM);
      alloc_countdown = 0;
      continue;
    }
    for (i = r = 0; i < entries && r == 0; i++) {
      run = make_run (2 * i, 1, REMAPPED, i);
      r = map_load (map, &run);
    }
    if (r == 0)
      r = map_load_end (map);
    alloc_countdown = 0;
    if (r == 0)
      break;
    CU_ASSERT_EQUAL_FATAL (r, ENOMEM);
    map_free (map);
    CU_ASSERT_EQUAL_FATAL (alloc_live, live);
  }
  CU_ASSERT_EQUAL (count_entries (map), entries);
  ASSERT_FINE (check_structure (map));
  map_free (map);
  CU_ASSERT_EQUAL (alloc_live, live);
}

/* Random updates, published or not. */
static void
change_some (struct map *map, struct model *m)
{
  struct model old = { 0 };
  struct run run;

  model_copy (&old, m);
  map_begin (map);
  for (unsigned i = 0; i < 30; i++) {
    run = make_run (random_below (3000), 1 + random_below (9),
                    random_state (true),
                    random_below (100));
    CU_ASSERT_EQUAL_FATAL (map_set (map, &run), 0);
    model_set (m, &run);
  }
  if (random_below (4) == 0) {
    map_abort (map);
    model_copy (m, &old);
  }
  else
    map_publish (map);
  model_free (&old);
}

static const char *
compare_pinned (const struct map_pin *pin, const struct model *m)
{
  sector_t at = 0;
  struct run run;

  for (size_t i = 0; i < m->n; i++, at = run.start + run.count) {
    const struct run *want = &m->v[i];

    if (!map_pinned_next (pin, at, &run) || run.start != want->start
        || run.count != want->count || run.state != want->state
        || run.slot != want->slot)
      return "the pinned map isn't what it was";
  }
  return map_pinned_next (pin, at, &run) ? "more is pinned than was" : NULL;
}

/* What is pinned stays as it was, whatever happens to the map; nothing is
 * kept after that.  There may be several pins, which end in any order.
 */
static void
test_pin (void)
{
  const long live = alloc_live;
  struct map *map = new_map ();
  struct model now = { 0 }, then = { 0 }, long_ago = { 0 };
  struct map_pin pin, old;

  for (unsigned round = 0; round < 20; round++) {
    if (round == 5) {
      model_copy (&long_ago, &now);
      map_pin (map, &old);
      change_some (map, &now);
    }
    model_copy (&then, &now);
    map_pin (map, &pin);
    for (unsigned i = 0; i < 10; i++) {
      change_some (map, &now);
      ASSERT_FINE (compare_pinned (&pin, &then));
      ASSERT_FINE (check_map (map, &now));
      if (round >= 5 && round <= 15)
        ASSERT_FINE (compare_pinned (&old, &long_ago));
    }
    if (round == 15)
      map_unpin (map, &old);
    if (round == 19)
      break;                    /* pinned to the end */
    map_unpin (map, &pin);
    CU_ASSERT ((map->kept == NULL) == (round < 5 || round >= 15));
    change_some (map, &now);
  }
  map_free (map);
  model_free (&now);
  model_free (&then);
  model_free (&long_ago);
  CU_ASSERT_EQUAL (alloc_live, live);
}

int
main (void)
{
  static const struct test tests[] = {
    { "an empty map", test_empty },
    { "lookups", test_lookup },
    { "the next run", test_next },
    { "joining runs", test_joining },
    { "cutting runs", test_cutting },
    { "merging leaves", test_merging },
    { "changes that change nothing", test_no_change },
    { "limits", test_limits },
    { "long runs", test_long_runs },
    { "totals", test_totals },
    { "publishing and aborting", test_publish_and_abort },
    { "pinning", test_pin },
    { "loading", test_load },
    { "what can't be loaded", test_load_refuses },
    { "updating without memory", test_update_without_memory },
    { "loading without memory", test_load_without_memory },
  };

  return run_tests ("map", tests, sizeof tests / sizeof tests[0]);
}
