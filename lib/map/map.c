/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map: readers, publishing, memory.  A change of a run begins in
 * update.c, replace.c puts it into the tree, load.c builds a whole map in
 * linear time, search.h finds things, and node.h has the nodes.
 *
 * What the map has to be good at, in this order: (1) a disk without bad
 * sectors must not notice it; (2) lookups come from every thread, all the
 * time, and must not wait for a change that is being written to the spare
 * (promises 8 and 24 of remap-promises(7)); (3) ten million remapped
 * sectors that are scattered, each an entry of its own, must fit in memory;
 * (4) a change must be ready, allocations and all, before it is made
 * durable, and take effect in one step afterwards (promise 13).
 *
 * So the map is a B+ tree whose nodes don't change once readers can see
 * them.  An update copies the nodes on its way from the root to a leaf,
 * once; changes the copies as often as it likes; and is published by one
 * store of a pointer.  Aborting it means to free the copies.  Readers load
 * that pointer once within an RCU read-side section (liburcu, flavour bp,
 * so that threads needn't be told of it), and so see one tree from
 * beginning to end.  An empty map is a NULL pointer, and costs its readers
 * that one load.
 *
 * The nodes that an update has replaced are freed after a grace period: a
 * reader would find another sector's slot in them (promise 1).  On a busy
 * machine that takes milliseconds, because a reader that was preempted is
 * waited for, and a client's write waits for its change of the map.  So what
 * has been replaced is collected over many updates, and there is one grace
 * period for all of it; what belongs to a tree that is pinned is collected
 * apart until it is unpinned.  Nothing but memory needs the grace period:
 * slots are free at once, spare/batch.h says why.
 *
 * A node's "update" number says whether the open update made it (then it
 * is private and may be changed or freed at once) or whether readers may
 * know it.  The number goes up with each map_publish, which so turns all
 * private nodes into public ones without visiting them.  A private node
 * hangs on private nodes only: to abort, it suffices to descend from the
 * root of the update as long as nodes are private.
 *
 * An entry is one run.  In a leaf it takes 12 bytes: the first sector as
 * 32 bits relative to the leaf's base (a leaf spans 2^32 sectors, or 2 TiB,
 * at most), and one 64-bit value with state, length and slot.  The length
 * has 24 bits (8 GiB); a longer REMAPPED or MAP_NOTE run takes several
 * entries, which readers join again; all others need no slot and use its bits
 * for the length, so that they are always one entry.  Keys and
 * values are separate arrays, since a search reads many keys and at most one
 * value: most lookups end between two entries, and a leaf knows its longest
 * entry, so that the value before the gap is read only if it matters.  In a
 * large map a lookup costs what its cache misses cost, and little else.
 *
 * Public leaves that came from one change each have no slack.  A leaf that
 * grows again within the same update gets a quarter more room than it needs,
 * so that a large update (the replay of a log) doesn't copy a leaf for each
 * entry.  Leaves are split when they are full, and merged with a neighbour
 * when they are less than a quarter full and the result is at most three
 * quarters full, so that changes to and fro cost nothing extra.
 *
 * Keys of inner nodes are the exact first sectors of what is below them.
 * So a search that ends in a gap knows, from the nodes on its way, where
 * the gap ends, and never visits a second leaf.
 *
 * Forking: liburcu-bp's list of reader threads would be wrong in a child.
 * Nothing looks up a map before the server has forked, so no thread is
 * registered by then.
 */

/* This is GPL code, which may use liburcu's inline functions.  Sanitizers
 * complain about these (liburcu 0.13 misaligns its own structs).
 */
#if !defined (__SANITIZE_THREAD__) && !defined (__SANITIZE_ADDRESS__)
#define _LGPL_SOURCE
#endif

#include <stdlib.h>
#include <string.h>
#include <assert.h>

#include "base/bytes.h"
#include "map/load.h"
#include "map/node.h"
#include "map/readers.h"
#include "map/search.h"
#include "map/tree.h"

static void
free_old (struct map *map)
{
  struct node *node;
  struct tree *tree;

  while ((node = map->old_nodes) != NULL) {
    map->old_nodes = node->link;
    free (node);
  }
  while ((tree = map->old_trees) != NULL) {
    map->old_trees = tree->link;
    free (tree);
  }
  map->old_bytes = 0;
}

/* Nobody finds OLD any more, and what the update has replaced in it. */
static void
put_aside (struct map *map, struct tree *old)
{
  struct node *node;

  while ((node = map->garbage) != NULL) {
    map->garbage = node->link;
    if (map->pins != NULL && node->update < map->pins->update) {
      node->link = map->kept;
      map->kept = node;
    }
    else {
      node->link = map->old_nodes;
      map->old_nodes = node;
      map->old_bytes += node_size (node);
    }
  }
  old->link = map->old_trees;
  map->old_trees = old;
  map->old_bytes += sizeof *old;
}

/* Pairs with the store in publish: what that thread wrote into the nodes
 * before is seen through this pointer.
 */
static inline const struct tree *
get_root (const struct map *map)
{
  return __atomic_load_n (&map->head.root, __ATOMIC_ACQUIRE);
}

static struct run
tree_lookup (const struct node *node, sector_t start, uint64_t count)
{
  struct spot s;
  struct run run;
  uint64_t skip;

  if (!map_find_holder (node, start, true, &s))
    return (struct run) {
      .start = start, .state = DIRECT, .slot = NO_SLOT,
      .count = min_u64 (s.next - start, count),
    };

  skip = start - s.entry.start;
  run = (struct run) {
    .start = start, .count = s.entry.count - skip, .state = s.entry.state,
    .slot = s.entry.state == REMAPPED ? s.entry.slot + skip : s.entry.slot,
  };
  if (run.count < count)
    map_join_forward (node, &s, &run, count);
  if (run.count > count)
    run.count = count;
  return run;
}

/* Frees the nodes that only the open update knows. */
static void
free_private (const struct map *map, struct node *node)
{
  unsigned i;

  if (node == NULL || node->update != map->update)
    return;
  if (node->height > 0) {
    for (i = 0; i < node->n; i++)
      free_private (map, ((struct inner *) node)->child[i]);
  }
  free (node);
}

struct map *
map_new (void)
{
  struct map *map = calloc (1, sizeof *map);

  if (map != NULL) {
    map->update = 1;
    map->old_max = MAP_OLD_MAX;
  }
  return map;
}

void
map_free (struct map *map)
{
  if (map == NULL)
    return;
  assert (!map->open);
  map_loader_free (map->loader);
  while (map->pins != NULL)
    map_unpin (map, map->pins);
  map_free_tree (map->work.node);
  free_old (map);
  free (map->head.root);
  free (map);
}

struct run
map_lookup (const struct map *map, sector_t start, uint64_t count)
{
  struct run run = {
    .start = start, .count = count, .state = DIRECT, .slot = NO_SLOT,
  };
  const struct tree *root;

  if (map_is_empty (map))
    return run;

  read_lock ();
  root = get_root (map);
  if (root != NULL)
    run = tree_lookup (root->node, start, count);
  read_unlock ();
  return run;
}

bool
map_search_all_direct (const struct map *map, sector_t start, uint64_t count)
{
  const struct tree *root;
  bool r = true;

  read_lock ();
  root = get_root (map);
  if (root != NULL) {
    struct spot s;

    r = !map_find_holder (root->node, start, false, &s) &&
      s.next - start >= count;
  }
  read_unlock ();
  return r;
}

bool
map_next (const struct map *map, sector_t start, struct run *run)
{
  const struct tree *root;
  bool r = false;

  if (map_is_empty (map))
    return false;

  read_lock ();
  root = get_root (map);
  if (root != NULL)
    r = map_tree_next (root->node, start, run);
  read_unlock ();
  return r;
}

void
map_get_totals (const struct map *map, struct map_totals *totals)
{
  const struct tree *root;

  memset (totals, 0, sizeof *totals);
  if (map_is_empty (map))
    return;

  read_lock ();
  root = get_root (map);
  if (root != NULL)
    *totals = root->totals;
  read_unlock ();
}

void
map_begin (struct map *map)
{
  assert (!map->open && map->loader == NULL);
  map->open = true;
}

void
map_publish (struct map *map)
{
  struct tree *old = map->head.root, *new = NULL;

  assert (map->open);
  map->open = false;
  if (!map->dirty)
    return;
  map->dirty = false;

  if (map->work.node != NULL) {
    new = map->next;
    *new = map->work;
  }
  else
    free (map->next);
  map->next = NULL;
  __atomic_store_n (&map->head.root, new, __ATOMIC_RELEASE);
  map->update++;
  if (old != NULL)              /* or else nobody holds anything */
    put_aside (map, old);
  if (map->old_bytes > max_u64 (map->old_max, map->work.totals.bytes / 8)) {
    wait_for_readers ();
    free_old (map);
  }
}

void
map_abort (struct map *map)
{
  assert (map->open);
  free_private (map, map->work.node);
  if (map->head.root != NULL)
    map->work = *map->head.root;
  else
    memset (&map->work, 0, sizeof map->work);
  map->garbage = NULL;          /* these are in ROOT, and stay */
  free (map->next);
  map->next = NULL;
  map->open = map->dirty = false;
}

void
map_pin (struct map *map, struct map_pin *pin)
{
  assert (!map->open);
  *pin = (struct map_pin) {
    .next = map->pins, .tree = map->work.node, .update = map->update,
  };
  map->pins = pin;
}

bool
map_pinned_next (const struct map_pin *pin, sector_t start, struct run *run)
{
  return map_tree_next (pin->tree, start, run);
}

void
map_unpin (struct map *map, struct map_pin *pin)
{
  struct map_pin **p = &map->pins;
  struct node **n = &map->kept, *node;

  while (*p != pin)
    p = &(*p)->next;
  *p = pin->next;
  /* What the newest of the others doesn't have, the older ones don't.  A
   * reader may still be there.
   */
  while ((node = *n) != NULL)
    if (map->pins != NULL && node->update < map->pins->update)
      n = &node->link;
    else {
      *n = node->link;
      node->link = map->old_nodes;
      map->old_nodes = node;
      map->old_bytes += node_size (node);
    }
}
