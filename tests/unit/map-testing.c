/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the tests of the map share.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "map-testing.h"
#include "map/node.h"

uint64_t test_seed;
unsigned test_divide = 1;

/* splitmix64 */
uint64_t
random_u64 (void)
{
  uint64_t z = test_seed += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

uint64_t
random_below (uint64_t n)
{
  return random_u64 () % n;
}

int
run_tests (const char *name, const struct test *tests, size_t n)
{
  const char *s = getenv ("TEST_SEED"), *divide = getenv ("TEST_DIVIDE");
  CU_pSuite suite;
  unsigned failures;
  size_t i;

  test_seed = s ? strtoull (s, NULL, 0) : (uint64_t) time (NULL);
  printf ("TEST_SEED=%" PRIu64 "\n", test_seed);
  if (divide != NULL && atoi (divide) > 0)
    test_divide = atoi (divide);
  else if (getenv ("REMAP_VALGRIND") != NULL)
    test_divide = 20;

  if (CU_initialize_registry () != CUE_SUCCESS
      || (suite = CU_add_suite (name, NULL, NULL)) == NULL)
    return 1;
  for (i = 0; i < n; i++) {
    if (CU_add_test (suite, tests[i].name, tests[i].function) == NULL)
      return 1;
  }
  CU_basic_set_mode (CU_BRM_VERBOSE);
  CU_basic_run_tests ();
  failures = CU_get_number_of_failures ();
  CU_cleanup_registry ();
  return failures > 0 ? 1 : 0;
}

enum sector_state
random_state (bool direct)
{
  static const enum sector_state states[] = {
    DIRECT, REMAPPED, LOST, ZERO, MAP_NOTE, KEPT, WRITTEN,
  };

  return states[direct ? random_below (7) : 1 + random_below (6)];
}

/* The allocator. */

long alloc_countdown;
long alloc_live;

extern void *__real_malloc (size_t size);
extern void *__real_calloc (size_t n, size_t size);
extern void *__real_realloc (void *p, size_t size);
extern void __real_free (void *p);
extern void *__wrap_malloc (size_t size);
extern void *__wrap_calloc (size_t n, size_t size);
extern void *__wrap_realloc (void *p, size_t size);
extern void __wrap_free (void *p);

static bool
alloc_fails (void)
{
  if (alloc_countdown > 1) {
    alloc_countdown--;
    return false;
  }
  if (alloc_countdown == 1)
    errno = ENOMEM;
  return alloc_countdown == 1;
}

static void *
alloc_count (void *p)
{
  if (p != NULL)
    __atomic_fetch_add (&alloc_live, 1, __ATOMIC_RELAXED);
  return p;
}

void *
__wrap_malloc (size_t size)
{
  return alloc_fails () ? NULL : alloc_count (__real_malloc (size));
}

void *
__wrap_calloc (size_t n, size_t size)
{
  return alloc_fails () ? NULL : alloc_count (__real_calloc (n, size));
}

void *
__wrap_realloc (void *p, size_t size)
{
  void *new;

  if (alloc_fails ())
    return NULL;
  new = __real_realloc (p, size);
  return p == NULL ? alloc_count (new) : new;
}

void
__wrap_free (void *p)
{
  if (p != NULL)
    __atomic_fetch_sub (&alloc_live, 1, __ATOMIC_RELAXED);
  __real_free (p);
}

/* The model. */

static void
model_append (struct model *m, const struct run *run)
{
  struct run *last = m->n > 0 ? &m->v[m->n-1] : NULL;

  if (run->count == 0 || run->state == DIRECT)
    return;
  if (last != NULL && last->state == run->state
      && last->start + last->count == run->start
      && (run->state == REMAPPED ? last->slot + last->count == run->slot
          : last->slot == run->slot)) {
    last->count += run->count;
    return;
  }
  if (m->n == m->cap) {
    m->cap = 2 * m->cap + 64;
    m->v = realloc (m->v, m->cap * sizeof *m->v);
    CU_ASSERT_PTR_NOT_NULL_FATAL (m->v);
  }
  m->v[m->n++] = *run;
}

void
model_set (struct model *m, const struct run *run)
{
  const sector_t end = run->start + run->count;
  struct model out = { 0 };
  bool done = false;
  struct run r;
  size_t i;

  for (i = 0; i < m->n; i++) {
    const sector_t r_end = m->v[i].start + m->v[i].count;

    r = m->v[i];
    if (r.start < run->start) {
      r.count = r_end < run->start ? r.count : run->start - r.start;
      model_append (&out, &r);
    }
    if (r_end > end) {
      if (!done)
        model_append (&out, run);
      done = true;
      r = m->v[i];
      if (r.start < end) {
        if (r.state == REMAPPED)
          r.slot += end - r.start;
        r.start = end;
        r.count = r_end - end;
      }
      model_append (&out, &r);
    }
  }
  if (!done)
    model_append (&out, run);
  free (m->v);
  *m = out;
}

void
model_copy (struct model *to, const struct model *from)
{
  size_t i;

  to->n = 0;
  for (i = 0; i < from->n; i++)
    model_append (to, &from->v[i]);
}

void
model_free (struct model *m)
{
  free (m->v);
  memset (m, 0, sizeof *m);
}

/* The checkers. */

static const char * __attribute__ ((format (printf, 1, 2)))
wrong (const char *fs, ...)
{
  static char text[256];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  return text;
}

const char *
compare_runs (const struct map *map, bool update, const struct model *m)
{
  sector_t at = 0;
  struct run run;
  size_t i;

  for (i = 0; i <= m->n; i++) {
    const struct run *want = i < m->n ? &m->v[i] : NULL;
    const bool found = update ? map_update_next (map, at, &run)
      : map_next (map, at, &run);

    if (!found && want == NULL)
      return NULL;
    if (!found)
      return wrong ("run %zu at %" PRIu64 " is missing", i, want->start);
    if (want == NULL)
      return wrong ("run at %" PRIu64 " should not be", run.start);
    if (run.start != want->start || run.count != want->count
        || run.state != want->state || run.slot != want->slot)
      return wrong ("run %zu is %" PRIu64 "+%" PRIu64 " state %d slot %"
                    PRIu64 " instead of %" PRIu64 "+%" PRIu64
                    " state %d slot %" PRIu64, i, run.start, run.count,
                    (int) run.state, run.slot, want->start, want->count,
                    (int) want->state, want->slot);
    at = run.start + run.count;
  }
  return wrong ("impossible");
}

const char *
compare_totals (const struct map *map, const struct model *m)
{
  struct map_totals totals, want = { 0 };
  size_t i;

  for (i = 0; i < m->n; i++) {
    if (m->v[i].state == REMAPPED)
      want.remapped += m->v[i].count;
    else if (m->v[i].state == LOST)
      want.lost += m->v[i].count;
    else if (m->v[i].state == ZERO)
      want.zero += m->v[i].count;
    else if (m->v[i].state == KEPT)
      want.kept += m->v[i].count;
    else if (m->v[i].state == WRITTEN)
      want.written += m->v[i].count;
  }
  map_get_totals (map, &totals);
  if (totals.remapped != want.remapped || totals.lost != want.lost
      || totals.zero != want.zero || totals.kept != want.kept
      || totals.written != want.written)
    return wrong ("totals are %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                  " %" PRIu64 " instead of %" PRIu64 " %" PRIu64 " %" PRIu64
                  " %" PRIu64 " %" PRIu64,
                  totals.remapped, totals.lost, totals.zero, totals.kept,
                  totals.written, want.remapped, want.lost, want.zero,
                  want.kept, want.written);
  if (totals.runs < m->n || (m->n == 0) != (totals.bytes == 0))
    return wrong ("%" PRIu64 " entries and %" PRIu64 " bytes for %zu runs",
                  totals.runs, totals.bytes, m->n);
  return NULL;
}

/* Where the structure checker is, and what it has counted. */
struct walk {
  struct map_totals totals;
  struct run last;       /* count 0: none */
};

static const char *
walk_leaf (const struct leaf *leaf, struct walk *w)
{
  unsigned i;

  for (i = 0; i < leaf->h.n; i++) {
    const struct run run = leaf_entry (leaf, i);

    if (run.count == 0 || run.count > map_entry_max (run.state))
      return wrong ("entry at %" PRIu64 " of %" PRIu64 " sectors",
                    run.start, run.count);
    if (leaf->h.reach < MAP_REACH_ANY && leaf->h.reach < run.count)
      return wrong ("entry at %" PRIu64 " is longer than its leaf says",
                    run.start);
    if (w->last.count > 0) {
      if (run.start < w->last.start + w->last.count)
        return wrong ("entries at %" PRIu64 " and %" PRIu64 " overlap",
                      w->last.start, run.start);
      if (map_continues (&w->last, &run) && !map_has_value (run.state))
        return wrong ("entries at %" PRIu64 " and %" PRIu64
                      " should be one", w->last.start, run.start);
    }
    w->last = run;
    map_count_entry (&w->totals, leaf_values (leaf)[i], true);
  }
  for (i = 0; i < MAP_LEAF_BLOCKS; i++)
    if (leaf->first[i] != (MAP_BLOCK * (i + 1) < leaf->h.n
                           ? leaf->key[MAP_BLOCK * (i + 1)] : MAP_NO_KEY))
      return wrong ("the leaf at %" PRIu64 " doesn't know where its block %u"
                    " begins", leaf->base, i + 1);
  return NULL;
}

static const char *
walk (const struct map *map, const struct node *node, unsigned height,
      bool root, struct walk *w)
{
  const struct inner *inner = (const struct inner *) node;
  const char *r;
  unsigned i;

  w->totals.bytes += node_size (node);
  if (node->height != height)
    return wrong ("height %u instead of %u", node->height, height);
  if (node->n == 0 || node->n > node->cap
      || node->cap > (height > 0 ? MAP_INNER_MAX : MAP_LEAF_MAX + 1))
    return wrong ("%u of %u in a node", node->n, node->cap);
  if (node->update == map->update)
    return wrong ("a private node has been published");
  if (height == 0)
    return walk_leaf ((const struct leaf *) node, w);

  if (root && node->n == 1)
    return wrong ("the root has one child");
  for (i = 0; i < node->n; i++) {
    if (i > 0 && inner->key[i] <= inner->key[i-1])
      return wrong ("keys don't ascend");
    if (inner->key[i] != node_first (inner->child[i]))
      return wrong ("key %" PRIu64 " isn't its child's", inner->key[i]);
    r = walk (map, inner->child[i], height - 1, false, w);
    if (r != NULL)
      return r;
  }
  return NULL;
}

const char *
check_structure (const struct map *map)
{
  struct walk w = { 0 };
  struct map_totals totals;
  const char *r;

  if (map->head.root != NULL) {
    const struct node *node = map->head.root->node;

    if (node == NULL)
      return wrong ("a root without a node");
    r = walk (map, node, node->height, true, &w);
    if (r != NULL)
      return r;
  }
  map_get_totals (map, &totals);
  if (memcmp (&totals, &w.totals, sizeof totals) != 0)
    return wrong ("totals aren't those of the nodes");
  return NULL;
}

const char *
check_map (const struct map *map, const struct model *m)
{
  const char *r = compare_runs (map, false, m);

  if (r == NULL)
    r = compare_totals (map, m);
  if (r == NULL)
    r = check_structure (map);
  return r;
}
