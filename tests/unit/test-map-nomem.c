/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map at the sizes where it gets another leaf or another level, while
 * memory runs out there; and one into which nothing could be loaded.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "map-testing.h"
#include "map/tree.h"

/* Loads COUNT runs, scattered. */
static int
load (struct map *map, struct model *m, unsigned count)
{
  int err = 0;

  for (unsigned i = 0; i < count && err == 0; i++) {
    const struct run run = make_run (10 * i, 3, REMAPPED, 10 * i);

    err = map_load (map, &run);
    if (m != NULL)
      model_set (m, &run);
  }
  return err ? err : map_load_end (map);
}

/* What is refused leaves an empty map, which can be used. */
static void
test_nothing_loaded (void)
{
  const struct run bad = make_run (0, 0, LOST, 0);
  const struct run run = make_run (5, 2, LOST, 0);
  struct model m = { 0 };
  struct map *map = map_new ();

  CU_ASSERT_PTR_NOT_NULL_FATAL (map);
  CU_ASSERT_EQUAL (map_load (map, &bad), EINVAL);
  CU_ASSERT_EQUAL (map_load_end (map), 0);
  CU_ASSERT (map_all_direct (map, 0, MAP_MAX_SECTOR));
  ASSERT_FINE (check_map (map, &m));
  map_begin (map);
  CU_ASSERT_EQUAL (map_set (map, &run), 0);
  map_publish (map);
  model_set (&m, &run);
  ASSERT_FINE (check_map (map, &m));
  map_free (map);
  model_free (&m);
}

/* One more than fill their leaves: the last one is put into a leaf of its own
 * at the end, for which there may be no memory.
 */
static void
test_load_one_more (void)
{
  for (unsigned leaves = 1; leaves <= 3; leaves++) {
    const unsigned count = MAP_LEAF_MAX * leaves + 1;
    const long live = alloc_live;
    struct model m = { 0 };
    struct map *map;
    unsigned nth;
    int err = ENOMEM;

    for (nth = 1; err; nth++) {
      model_free (&m);
      memset (&m, 0, sizeof m);
      map = map_new ();
      CU_ASSERT_PTR_NOT_NULL_FATAL (map);
      /* The model's memory is not to fail. */
      alloc_countdown = nth;
      err = load (map, NULL, count);
      alloc_countdown = 0;
      if (err) {
        CU_ASSERT_EQUAL_FATAL (err, ENOMEM);
        map_free (map);
        CU_ASSERT_EQUAL (alloc_live, live);
      }
    }
    CU_ASSERT (nth > leaves + 3);
    for (unsigned i = 0; i < count; i++) {
      const struct run run = make_run (10 * i, 3, REMAPPED, 10 * i);

      model_set (&m, &run);
    }
    ASSERT_FINE (check_map (map, &m));
    map_free (map);
    model_free (&m);
  }
}

/* A tree of one full leaf gets two, and a root above them. */
static void
test_first_root (void)
{
  const struct run run = make_run (55, 1, LOST, 0);
  struct model m = { 0 };
  struct map *map = map_new ();
  int err = ENOMEM;
  unsigned nth;
  long live;

  CU_ASSERT_PTR_NOT_NULL_FATAL (map);
  CU_ASSERT_EQUAL (load (map, &m, MAP_LEAF_MAX), 0);
  for (nth = 1; err; nth++) {
    live = alloc_live;
    map_begin (map);
    alloc_countdown = nth;
    err = map_set (map, &run);
    alloc_countdown = 0;
    if (err) {
      CU_ASSERT_EQUAL_FATAL (err, ENOMEM);
      map_abort (map);
      CU_ASSERT_EQUAL (alloc_live, live);
      ASSERT_FINE (check_map (map, &m));
    }
  }
  /* Two leaves and the root. */
  CU_ASSERT (nth - 1 > 3);
  map_publish (map);
  model_set (&m, &run);
  ASSERT_FINE (check_map (map, &m));
  map_free (map);
  model_free (&m);
}

int
main (void)
{
  static const struct test tests[] = {
    { "nothing could be loaded (promise 23)", test_nothing_loaded },
    { "one more than leaves hold (promise 23)", test_load_one_more },
    { "the first root (promise 23)", test_first_root },
  };

  return run_tests ("map-nomem", tests, sizeof tests / sizeof tests[0]);
}
