/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Nodes of the map: what is in one, making and freeing them.
 *
 * A node belongs to the tree that it hangs on.  A new one belongs to the
 * caller until it is linked into a tree; its update number is 0.
 */

#ifndef REMAP_MAP_NODE_H
#define REMAP_MAP_NODE_H

#include "base/bytes.h"
#include "map/tree.h"

static inline uint64_t *
leaf_values (const struct leaf *leaf)
{
  return (uint64_t *) (leaf->key + leaf->h.cap);
}

static inline size_t
node_size (const struct node *node)
{
  return node->height > 0 ? sizeof (struct inner)
    : sizeof (struct leaf)
      + node->cap * (sizeof (uint32_t) + sizeof (uint64_t));
}

static inline sector_t
node_first (const struct node *node)
{
  const struct leaf *leaf = (const struct leaf *) node;

  return node->height > 0 ? ((const struct inner *) node)->key[0]
    : leaf->base + leaf->key[0];
}

static inline struct run
leaf_entry (const struct leaf *leaf, unsigned pos)
{
  return map_unpack (leaf->base + leaf->key[pos], leaf_values (leaf)[pos]);
}

/* The length of a leaf's longest entry, or this if it is longer.  A lookup
 * between two entries, the most frequent one, need not load the value of the
 * entry before it if no entry of the leaf can reach so far.
 */
#define MAP_REACH_ANY UINT16_MAX

/* A value has been put into the leaf. */
static inline void
leaf_reach (struct leaf *leaf, uint64_t value)
{
  const uint64_t count = map_unpack (0, value).count;

  if (count > leaf->h.reach)
    leaf->h.reach = min_u64 (count, MAP_REACH_ANY);
}

/* After its keys have changed. */
static inline void
leaf_note_blocks (struct leaf *leaf)
{
  for (unsigned i = 0; i < MAP_LEAF_BLOCKS; i++)
    leaf->first[i] = MAP_BLOCK * (i + 1) < leaf->h.n
      ? leaf->key[MAP_BLOCK * (i + 1)] : MAP_NO_KEY;
}

/* Adds an entry to the totals of a tree, or takes it out. */
static inline void
map_count_entry (struct map_totals *totals, uint64_t value, bool add)
{
  const struct run run = map_unpack (0, value);
  const uint64_t sectors = add ? run.count : -run.count;

  totals->runs += add ? 1 : -1;
  if (run.state == REMAPPED)
    totals->remapped += sectors;
  else if (run.state == LOST)
    totals->lost += sectors;
  else if (run.state == ZERO)
    totals->zero += sectors;
  else if (run.state == KEPT)
    totals->kept += sectors;
  else if (run.state == WRITTEN)
    totals->written += sectors;
}

/* An empty node with room for CAP entries, or for MAP_INNER_MAX children.
 * NULL: out of memory.
 */
extern struct leaf *map_new_leaf (unsigned cap);
extern struct inner *map_new_inner (unsigned height);

/* A leaf with these N entries, which must fit into one, and no room for
 * more.  NULL: out of memory.
 */
extern struct leaf *map_build_leaf (const struct entry *e, unsigned n);

/* Puts COUNT children in place of child I.  There is room for them. */
extern void map_inner_replace (struct inner *inner, unsigned i,
                               struct node *const *child, unsigned count);

/* Appends COUNT children of FROM, from child FIRST on.  There is room. */
extern void map_inner_append (struct inner *to, const struct inner *from,
                              unsigned first, unsigned count);

/* Frees a node and all that is below it.  NODE may be NULL. */
extern void map_free_tree (struct node *node);

#endif /* REMAP_MAP_NODE_H */
