/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the tests of the map share: models of it, a checker of its inside,
 * an allocator that fails on command, and a main function.
 */

#ifndef REMAP_MAP_TESTING_H
#define REMAP_MAP_TESTING_H

#include "map/map.h"

/* Randomness.  TEST_SEED=N repeats a run; TEST_DIVIDE=N divides the number
 * of random operations, for tools that slow programs down; under valgrind
 * N is 20 unless it is given.
 */
extern uint64_t test_seed;
extern unsigned test_divide;

extern uint64_t random_u64 (void);
extern uint64_t random_below (uint64_t n);

/* Any state that a map can hold; DIRECT only if it may be that. */
extern enum sector_state random_state (bool direct);

struct test {
  const char *name;
  void (*function) (void);
};

/* Runs N tests; the result is main's. */
extern int run_tests (const char *suite, const struct test *tests, size_t n);

/* Allocation.  Linked with --wrap for malloc, calloc, realloc and free.
 * With a countdown of N > 0, the Nth allocation from now fails, as do all
 * that follow.  LIVE counts what the map has allocated and not freed.
 */
extern long alloc_countdown;
extern long alloc_live;

/* A model: runs that are not DIRECT, ascending, as long as can be. */
struct model {
  struct run *v;
  size_t n, cap;
};

extern void model_set (struct model *m, const struct run *run);
extern void model_copy (struct model *to, const struct model *from);
extern void model_free (struct model *m);

/* Each returns an error message, or NULL if all is well.  The first
 * compares what map_next (or map_update_next) enumerates; the second the
 * totals; the third looks at nodes and entries.
 */
extern const char *compare_runs (const struct map *map, bool update,
                                 const struct model *m);
extern const char *compare_totals (const struct map *map,
                                   const struct model *m);
extern const char *check_structure (const struct map *map);

/* All three, of the published map. */
extern const char *check_map (const struct map *map, const struct model *m);

/* Asserts that a checker has found nothing, and prints what it has. */
#define ASSERT_FINE(expr)                                               \
  do {                                                                  \
    const char *what_is_wrong = (expr);                                 \
                                                                        \
    if (what_is_wrong != NULL)                                          \
      printf ("\n    line %d: %s\n", __LINE__, what_is_wrong);          \
    CU_ASSERT_PTR_NULL_FATAL (what_is_wrong);                           \
  } while (0)

static inline struct run
make_run (sector_t start, uint64_t count, enum sector_state state,
          slot_t slot)
{
  return (struct run) {
    start, count, state,
    state == REMAPPED || state == MAP_NOTE ? slot : NO_SLOT,
  };
}

#endif /* REMAP_MAP_TESTING_H */
