/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map against models, at random: a small space where everything
 * touches everything, and a huge one with runs around all limits.
 *
 * A second program of the same source has small nodes, so that the tree is
 * higher and nodes are split and merged all the time.
 */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "map-testing.h"
#include "map/tree.h"

/* A small space: the model is an array. */

#define SPACE 768

struct cell {
  enum sector_state state;
  slot_t slot;           /* or the note; NO_SLOT if none */
};

static bool
cells_continue (const struct cell *a, const struct cell *b)
{
  return a->state == b->state
    && (a->state == REMAPPED ? a->slot + 1 == b->slot : a->slot == b->slot);
}

static bool
is_run (const struct run *run, const struct cell *cell, sector_t start,
        uint64_t count)
{
  return run->start == start && run->count == count
    && run->state == cell[start].state && run->slot == cell[start].slot;
}

/* The first sector from START that doesn't continue the one before. */
static sector_t
run_end (const struct cell *cell, sector_t start)
{
  sector_t end = start + 1;

  while (end < SPACE && cells_continue (&cell[end-1], &cell[end]))
    end++;
  return end;
}

/* All runs, as enumerated. */
static bool
same_runs (const struct map *map, bool update, const struct cell *cell)
{
  sector_t at = 0, start, end;
  struct run run;

  for (start = 0; start < SPACE; start = end) {
    end = run_end (cell, start);
    if (cell[start].state == DIRECT)
      continue;
    if (!(update ? map_update_next (map, at, &run)
          : map_next (map, at, &run))
        || !is_run (&run, cell, start, end - start))
      return false;
    at = end;
  }
  return !(update ? map_update_next (map, at, &run)
           : map_next (map, at, &run));
}

/* Any place and length, as a request would look it up. */
static bool
same_lookup (const struct map *map, const struct cell *cell)
{
  const sector_t start = random_below (SPACE);
  const uint64_t count = 1 + random_below (SPACE - start);
  struct run run = map_lookup (map, start, count);
  sector_t end = run_end (cell, start), from = start;
  bool direct = true;
  sector_t i;

  for (i = start; i < start + count; i++)
    direct = direct && cell[i].state == DIRECT;
  if (map_all_direct (map, start, count) != direct)
    return false;
  if (!is_run (&run, cell, start,
               end - start < count ? end - start : count))
    return false;

  /* map_next from within a run gives all of it. */
  if (cell[start].state == DIRECT)
    return true;
  while (from > 0 && cells_continue (&cell[from-1], &cell[from]))
    from--;
  return map_next (map, start, &run) && is_run (&run, cell, from, end - from);
}

static void
random_set (struct map *map, struct cell *cell)
{
  const sector_t start = random_below (SPACE);
  const bool large = random_below (40) == 0;
  uint64_t count = 1 + random_below (large ? SPACE : 12), i;
  struct run run;

  if (count > SPACE - start)
    count = SPACE - start;
  run = make_run (start, count, random_state (true),
                  0);
  if (run.state == REMAPPED)    /* continues its neighbours now and then */
    run.slot = start + 1000 * random_below (2);
  else if (run.state == MAP_NOTE)
    run.slot = random_below (2);

  CU_ASSERT_EQUAL_FATAL (map_set (map, &run), 0);
  for (i = 0; i < count; i++) {
    cell[start+i].state = run.state;
    cell[start+i].slot = run.state == REMAPPED ? run.slot + i : run.slot;
  }
}

static void
test_small_space (void)
{
  struct cell now[SPACE], before[SPACE];
  struct map *map = map_new ();
  unsigned ops = 200000 / test_divide, sets, i;

  CU_ASSERT_PTR_NOT_NULL_FATAL (map);
  for (i = 0; i < SPACE; i++)
    now[i] = (struct cell) { DIRECT, NO_SLOT };

  while (ops > 0) {
    memcpy (before, now, sizeof before);
    map_begin (map);
    for (sets = 1 + random_below (12); sets > 0 && ops > 0; sets--, ops--) {
      random_set (map, now);
      if (random_below (8) == 0)
        CU_ASSERT_FATAL (same_runs (map, true, now));
      CU_ASSERT_FATAL (same_lookup (map, before));
    }
    if (random_below (4) == 0) {
      map_abort (map);
      memcpy (now, before, sizeof now);
    }
    else
      map_publish (map);
    CU_ASSERT_FATAL (same_runs (map, false, now));
    for (i = 0; i < 4; i++)
      CU_ASSERT_FATAL (same_lookup (map, now));
    ASSERT_FINE (check_structure (map));
  }
  map_free (map);
}

/* A huge space. */

static uint64_t
near (uint64_t n, uint64_t spread)
{
  const uint64_t d = random_below (2 * spread + 1);

  return n + d < spread ? 0 : n + d - spread;
}

static struct run
random_huge_run (void)
{
  static const uint64_t lengths[] = {
    1, 8, 100, 1 << 24, 2 << 24, UINT64_C (1) << 32, UINT64_C (1) << 40,
    MAP_MAX_SECTOR,
  };
  sector_t start;
  uint64_t count, most;
  struct run run;

  switch (random_below (5)) {
  case 0: start = random_below (4000); break;
  case 1: start = near (random_below (20) << 24, 4); break;
  case 2: start = near (random_below (20) << 32, 4); break;
  case 3: start = random_below (MAP_MAX_SECTOR); break;
  default: start = near (MAP_MAX_SECTOR - 2000, 1999); break;
  }
  count = near (lengths[random_below (random_below (20) ? 4 : 8)], 3);
  run = make_run (start, count, random_state (true), 0);

  most = MAP_MAX_SECTOR - start;
  if (run.state == REMAPPED || run.state == MAP_NOTE) {
    if (most > UINT64_C (5) << 24)
      most = UINT64_C (5) << 24;
    run.slot = run.state == MAP_NOTE ? MAP_MAX_SLOT - 1 - random_below (2)
      : start % (MAP_MAX_SLOT - (UINT64_C (5) << 24));
  }
  if (run.count > most)
    run.count = most;
  if (run.count == 0)
    run.count = 1;
  return run;
}

static void
test_huge_space (void)
{
  struct model now = { 0 }, before = { 0 };
  struct map *map = map_new ();
  unsigned ops = 60000 / test_divide, sets;
  struct run run, got;
  size_t i;

  CU_ASSERT_PTR_NOT_NULL_FATAL (map);
  while (ops > 0) {
    model_copy (&before, &now);
    map_begin (map);
    for (sets = 1 + random_below (30); sets > 0 && ops > 0; sets--, ops--) {
      run = random_huge_run ();
      CU_ASSERT_EQUAL_FATAL (map_set (map, &run), 0);
      model_set (&now, &run);
    }
    ASSERT_FINE (compare_runs (map, true, &now));
    if (random_below (4) == 0) {
      map_abort (map);
      model_copy (&now, &before);
    }
    else
      map_publish (map);
    ASSERT_FINE (check_map (map, &now));

    /* Gaps reach from run to run. */
    for (i = 0; i + 1 < now.n; i++) {
      const sector_t end = now.v[i].start + now.v[i].count;

      got = map_lookup (map, end, UINT64_MAX);
      CU_ASSERT_FATAL (now.v[i+1].start == end
                       || (got.state == DIRECT
                           && got.count == now.v[i+1].start - end));
    }
  }
  map_free (map);
  model_free (&now);
  model_free (&before);
}

/* Grows to many entries and shrinks again, so that nodes are split and
 * merged on every level.
 */
static void
test_grow_and_shrink (void)
{
  const unsigned n = 20000 / test_divide;
  struct map *map = map_new ();
  struct map_totals totals;
  struct run run;
  unsigned i, round;

  for (round = 0; round < 3; round++) {
    map_begin (map);
    for (i = 0; i < n; i++) {   /* 7919 is prime to all that N may be */
      run = make_run (UINT64_C (3) * ((i * UINT64_C (7919)) % n), 1,
                      round == 1 ? LOST : REMAPPED, 2 * i);
      CU_ASSERT_EQUAL_FATAL (map_set (map, &run), 0);
      if (i % 1000 == 999) {
        map_publish (map);
        ASSERT_FINE (check_structure (map));
        map_begin (map);
      }
    }
    map_publish (map);
    map_get_totals (map, &totals);
    CU_ASSERT_EQUAL (totals.remapped, round == 1 ? 0 : n);
    CU_ASSERT_EQUAL (totals.lost, round == 1 ? n : 0);
    CU_ASSERT_EQUAL (totals.runs, n);

    map_begin (map);
    for (i = 0; i < n; i++) {
      run = make_run (UINT64_C (3) * ((i * UINT64_C (5003)) % n), 1, DIRECT,
                      0);
      CU_ASSERT_EQUAL_FATAL (map_set (map, &run), 0);
      if (i % 1000 == 999 || i + 10 >= n) {
        map_publish (map);
        ASSERT_FINE (check_structure (map));
        map_begin (map);
      }
    }
    map_publish (map);
    CU_ASSERT_FALSE (map_next (map, 0, &run));
    CU_ASSERT (map_all_direct (map, 0, MAP_MAX_SECTOR));
    map_get_totals (map, &totals);
    CU_ASSERT_EQUAL (totals.bytes, 0);
  }
  map_free (map);
}

/* The first key of the right half of some inner node that an update would
 * split, or NO_SECTOR.
 */
static sector_t
find_full_inner (const struct node *node)
{
  const struct inner *inner = (const struct inner *) node;
  sector_t key;
  unsigned i;

  if (node->height == 0)
    return NO_SECTOR;
  if (node->n > MAP_INNER_MAX - MAP_SPREAD)
    return inner->key[node->n/2];
  for (i = 0; i < node->n; i++) {
    key = find_full_inner (inner->child[i]);
    if (key != NO_SECTOR)
      return key;
  }
  return NO_SECTOR;
}

/* Takes away the first entry of what has just been split off. */
static void
test_split_and_delete (void)
{
  const unsigned n = MAP_LEAF_MAX * 160;
  struct map *map = map_new ();
  struct run run;
  unsigned i, splits;
  sector_t key;

  for (i = 0; i < n; i++) {
    run = make_run (UINT64_C (3) * i, 1, LOST, 0);
    CU_ASSERT_EQUAL_FATAL (map_load (map, &run), 0);
  }
  CU_ASSERT_EQUAL_FATAL (map_load_end (map), 0);

  for (splits = 0;; splits++) {
    key = find_full_inner (map->head.root->node);
    if (key == NO_SECTOR)
      break;
    map_begin (map);
    run = make_run (key, 1, DIRECT, 0);
    CU_ASSERT_EQUAL_FATAL (map_set (map, &run), 0);
    map_publish (map);
    ASSERT_FINE (check_structure (map));
    CU_ASSERT (map_all_direct (map, key, 1));
    CU_ASSERT_FALSE (map_all_direct (map, key + 3, 1));
  }
  CU_ASSERT (splits > 0 || MAP_INNER_MAX > 20);
  map_free (map);
}

/* A third of the tree: in the program with small nodes, one inner node. */
#define THIRD (15 * MAP_LEAF_MAX)

static struct map *
load_three_thirds (struct model *m)
{
  struct map *map = map_new ();
  struct run run;
  unsigned i;

  for (i = 0; i < 3 * THIRD; i++) {
    run = make_run (3 * i, 1, REMAPPED, 2 * i);
    CU_ASSERT_EQUAL_FATAL (map_load (map, &run), 0);
    model_set (m, &run);
  }
  CU_ASSERT_EQUAL_FATAL (map_load_end (map), 0);
  return map;
}

static int
delete (struct map *map, struct model *m, unsigned entry, unsigned entries)
{
  const struct run run = make_run (3 * entry, 3 * entries, DIRECT, 0);

  if (m != NULL)
    model_set (m, &run);
  return map_set (map, &run);
}

/* So much that the leaves get huge pages: 5 MiB in a row, and then a gap. */
static void
test_load_much (void)
{
  const unsigned n = 600000 / test_divide;
  struct map *map = map_new ();
  struct map_totals totals;
  void *gap[2] = { NULL };
  unsigned i;

  for (i = 0; i < n; i++) {
    const struct run run = make_run (3 * i, 1, REMAPPED, 2 * i);

    if (i == n / 2) {
      gap[0] = malloc (100000);
      gap[1] = malloc (100000);
    }
    CU_ASSERT_EQUAL_FATAL (map_load (map, &run), 0);
  }
  CU_ASSERT_EQUAL_FATAL (map_load_end (map), 0);
  free (gap[0]);
  free (gap[1]);
  ASSERT_FINE (check_structure (map));
  map_get_totals (map, &totals);
  CU_ASSERT_EQUAL (totals.remapped, n);
  for (i = 0; i < n; i += 97) {
    CU_ASSERT_EQUAL (map_lookup (map, 3 * i, 1).slot, 2 * i);
    CU_ASSERT_EQUAL (map_lookup (map, 3 * i + 1, 1).state, DIRECT);
  }
  map_free (map);
}

/* The middle of the tree disappears, between full neighbours that its
 * nodes can't be merged with.
 */
static void
test_delete_middle (void)
{
  struct model m = { 0 };
  struct map *map = load_three_thirds (&m);
  unsigned i;

  for (i = 0; i < THIRD; i++) {
    map_begin (map);
    CU_ASSERT_EQUAL_FATAL (delete (map, &m, THIRD + i, 1), 0);
    map_publish (map);
    if (i % 8 == 0 || THIRD - i < 20)
      ASSERT_FINE (check_map (map, &m));
  }
  ASSERT_FINE (check_map (map, &m));
  CU_ASSERT (map_all_direct (map, 3 * THIRD - 2, 3 * THIRD + 2));

  map_begin (map);              /* all that is left, at once */
  CU_ASSERT_EQUAL_FATAL (delete (map, &m, 1, 3 * THIRD - 2), 0);
  map_publish (map);
  ASSERT_FINE (check_map (map, &m));
  map_begin (map);
  CU_ASSERT_EQUAL_FATAL (delete (map, &m, 0, 3 * THIRD), 0);
  map_publish (map);
  ASSERT_FINE (check_map (map, &m));
  map_free (map);
  model_free (&m);
}

/* Merging with nodes that readers know takes memory.  All allocations of
 * deletions fail once, of single entries and of many.
 */
static void
test_delete_without_memory (void)
{
  struct model m = { 0 };
  struct map *map = load_three_thirds (&m);
  unsigned nth, failures = 0, i;
  bool at_once;
  int r;

  map_begin (map);              /* thin it out */
  for (i = 0; i < 3 * THIRD; i++) {
    if (i % 5 >= 2)
      CU_ASSERT_EQUAL_FATAL (delete (map, &m, i, 1), 0);
  }
  CU_ASSERT_EQUAL_FATAL (delete (map, &m, THIRD / 2, THIRD / 2), 0);
  map_publish (map);

  for (at_once = false, nth = 1;; nth++) {
    const long live = alloc_live;

    map_begin (map);
    alloc_countdown = nth;
    r = 0;
    if (at_once)
      r = delete (map, NULL, THIRD / 4, 2 * THIRD);
    else {
      for (i = 2 * THIRD - 1; i >= THIRD && r == 0; i--)
        r = delete (map, NULL, i, 1);
    }
    alloc_countdown = 0;
    map_abort (map);
    CU_ASSERT_EQUAL_FATAL (alloc_live, live);
    ASSERT_FINE (check_map (map, &m));
    if (r == 0) {
      failures += nth - 1;
      if (at_once)
        break;
      at_once = true;
      nth = 0;
    }
  }
  CU_ASSERT (failures > 4);
  map_free (map);
  model_free (&m);
}

int
main (void)
{
  static const struct test tests[] = {
    { "a small space", test_small_space },
    { "a huge space", test_huge_space },
    { "growing and shrinking", test_grow_and_shrink },
    { "splitting and deleting", test_split_and_delete },
    { "loading much", test_load_much },
    { "deleting the middle", test_delete_middle },
    { "deleting without memory", test_delete_without_memory },
  };

  return run_tests ("map, at random", tests,
                    sizeof tests / sizeof tests[0]);
}
