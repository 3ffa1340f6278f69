/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map: builds a whole tree from sorted runs, from the leaves up.  The
 * design is at the top of map.c.
 *
 * The leaves are collected in an array, the nodes above them are built
 * when the last run is known, one level after the other, in the place of
 * their children in that array.  So whatever has been built hangs on the
 * array at any time, and map_free can free it.
 */

#include <stdlib.h>
#include <string.h>
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "base/array.h"
#include "base/bytes.h"
#include "map/load.h"
#include "map/node.h"
#include "map/tree.h"

#ifndef MADV_COLLAPSE           /* Linux 6.1, glibc 2.37 */
#define MADV_COLLAPSE 25
#endif

/* A huge page of all common machines.  On others the advice is useless. */
#define HUGE_PAGE ((uintptr_t) 2 << 20)

/* Children of an inner node; there is room for some more. */
#define FILL (MAP_INNER_MAX - MAP_INNER_MAX / 4)

struct loader {
  struct run last;       /* not stored yet, since the next may go on */
  struct map_totals totals;
  struct node **node;    /* what has been built */
  size_t n, cap;

  /* The leaf that is being filled. */
  struct entry entry[MAP_LEAF_MAX];
  unsigned leaf_n;
};

static int
finish_leaf (struct loader *l)
{
  struct node **node;
  struct leaf *leaf;

  if (l->leaf_n == 0)
    return 0;
  node = array_room (l->node, l->n, &l->cap, sizeof *node, 64);
  if (node == NULL)
    return ENOMEM;
  l->node = node;

  leaf = map_build_leaf (l->entry, l->leaf_n);
  if (leaf == NULL)
    return ENOMEM;
  l->node[l->n++] = &leaf->h;
  l->totals.bytes += node_size (&leaf->h);
  l->leaf_n = 0;
  return 0;
}

static int
store_last (struct loader *l)
{
  const uint64_t max = map_entry_max (l->last.state);
  struct run rest = l->last, piece;
  struct entry e;

  while (rest.count > 0) {
    piece = run_take (&rest, max);
    if (l->leaf_n == MAP_LEAF_MAX
        || (l->leaf_n > 0
            && piece.start - l->entry[0].start >= MAP_LEAF_SPAN)) {
      if (finish_leaf (l) != 0)
        return ENOMEM;
    }
    e = (struct entry) { piece.start, map_pack (&piece) };
    map_count_entry (&l->totals, e.value, true);
    l->entry[l->leaf_n++] = e;
  }
  l->last.count = 0;
  return 0;
}

static bool
is_valid (const struct run *run)
{
  if (run->count == 0 || run->start >= MAP_MAX_SECTOR
      || run->count > MAP_MAX_SECTOR - run->start)
    return false;
  if (run->state == REMAPPED)
    return run->slot < MAP_MAX_SLOT
      && run->count <= MAP_MAX_SLOT - run->slot;
  if (run->state == MAP_NOTE)
    return run->slot < MAP_MAX_SLOT;
  return run->state == LOST || run->state == ZERO ||
    state_is_rescued (run->state);
}

/* Replaces the nodes of the array by the level above them. */
static int
build_level (struct loader *l)
{
  const size_t count = div_up (l->n, FILL);
  size_t i, in = 0, end;

  for (i = 0; i < count; i++) {
    struct inner *inner = map_new_inner (l->node[in]->height + 1);

    if (inner == NULL) {
      /* Close the gap. */
      memmove (&l->node[i], &l->node[in], (l->n - in) * sizeof *l->node);
      l->n -= in - i;
      return ENOMEM;
    }
    for (end = l->n * (i + 1) / count; in < end; in++) {
      inner->key[inner->h.n] = node_first (l->node[in]);
      inner->child[inner->h.n++] = l->node[in];
    }
    l->node[i] = &inner->h;
    l->totals.bytes += node_size (&inner->h);
  }
  l->n = count;
  return 0;
}

static void
advise (uintptr_t start, uintptr_t end)
{
  start = round_up (start, HUGE_PAGE);
  end = round_down (end, HUGE_PAGE);
  if (start >= end)
    return;
  /* At once, or else when the kernel finds the time.  It may refuse both. */
  if (madvise ((void *) start, end - start, MADV_HUGEPAGE) == 0)
    madvise ((void *) start, end - start, MADV_COLLAPSE);
}

/* Where the leaves lie one behind the other, huge pages spare a lookup most
 * of its misses in the TLB.
 */
static void
advise_leaves (const struct loader *l)
{
  uintptr_t start = 0, end = 0, at;
  size_t i;

  for (i = 0; i < l->n; i++) {
    at = (uintptr_t) l->node[i];
    if (at < end || at - end > HUGE_PAGE / 16) {
      advise (start, end);
      start = at;
    }
    end = at + node_size (l->node[i]);
  }
  advise (start, end);
}

void
map_loader_free (struct loader *loader)
{
  size_t i;

  if (loader == NULL)
    return;
  for (i = 0; i < loader->n; i++)
    map_free_tree (loader->node[i]);
  free (loader->node);
  free (loader);
}

int
map_load (struct map *map, const struct run *run)
{
  struct loader *l = map->loader;
  struct run *last;

  assert (map->work.node == NULL && !map->open);
  if (l == NULL) {
    l = map->loader = calloc (1, sizeof *l);
    if (l == NULL)
      return ENOMEM;
  }

  last = &l->last;
  if (!is_valid (run) || run->start < run_end_sector (last))
    return EINVAL;
  if (last->count > 0) {
    struct run next = *run;

    if (!map_has_value (run->state))
      next.slot = last->slot;
    if (map_continues (last, &next)) {
      last->count += run->count;
      return 0;
    }
    if (store_last (l) != 0)
      return ENOMEM;
  }
  *last = *run;
  return 0;
}

int
map_load_end (struct map *map)
{
  struct loader *l = map->loader;

  if (l == NULL)                /* no runs */
    return 0;
  if (store_last (l) != 0 || finish_leaf (l) != 0)
    return ENOMEM;
  advise_leaves (l);
  while (l->n > 1) {
    if (build_level (l) != 0)
      return ENOMEM;
  }

  if (l->n == 1) {
    struct tree *tree = malloc (sizeof *tree);

    if (tree == NULL)
      return ENOMEM;
    map->work.node = l->node[0];
    map->work.totals = l->totals;
    *tree = map->work;
    __atomic_store_n (&map->head.root, tree, __ATOMIC_RELEASE);
    l->n = 0;
  }
  map_loader_free (l);
  map->loader = NULL;
  return 0;
}
