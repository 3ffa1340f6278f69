/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Searching a tree of the map.
 *
 * The caller makes sure that the nodes stay: it is within an RCU read-side
 * section, or is the one thread that has an update open.  All that a lookup
 * needs is inline, so that a struct spot is in registers: that, and the
 * vectors of count_up_to_64, spare a lookup an eighth of its time.
 */

#ifndef REMAP_MAP_SEARCH_H
#define REMAP_MAP_SEARCH_H

#include "map/node.h"
#include "map/tree.h"

/* Where a search ended. */
struct spot {
  bool found;            /* an entry begins at or before the sector */
  struct run entry;      /* if found: the last such entry */
  const struct leaf *leaf;
  unsigned pos;          /* if found: where the entry is */
  sector_t next;         /* first sector of the following entry */
};

/* How many of the entries of a leaf begin at or before K, relative to its
 * base.  Unlike a binary search, this has two steps instead of seven that
 * wait for each other: the loads within a step don't, and their cache
 * misses overlap.  If a value is wanted, those of the block are fetched
 * along with its keys.
 */
static inline unsigned
leaf_count (const struct leaf *leaf, uint32_t k, bool want_value)
{
  unsigned block = 0, count = 0, n, i;
  const uint32_t *key;

  for (i = 0; i < MAP_LEAF_BLOCKS; i++)
    block += leaf->first[i] <= k;
  if (want_value) {
    __builtin_prefetch (leaf_values (leaf) + MAP_BLOCK * block);
    __builtin_prefetch (leaf_values (leaf) + MAP_BLOCK * block
                        + MAP_BLOCK / 2);
  }
  key = leaf->key + MAP_BLOCK * block;
  n = leaf->h.n - MAP_BLOCK * block;
  if (n >= MAP_BLOCK) {         /* as a rule */
    for (i = 0; i < MAP_BLOCK; i++)
      count += key[i] <= k;
  }
  else {
    for (i = 0; i < n; i++)
      count += key[i] <= k;
  }
  return MAP_BLOCK * block + count;
}

typedef uint64_t two_keys
  __attribute__ ((vector_size (16), aligned (8), may_alias));

/* How many of N ascending keys are less than or equal to K, in two steps as
 * well.  Compilers make vectors of the step above, but not of this one:
 * the oldest processors can't compare vectors of 64-bit numbers.  They
 * subtract them, though, and as sectors have less than 63 bits, the sign of
 * the difference says which is larger.
 */
static inline unsigned
count_up_to_64 (const uint64_t *key, unsigned n, uint64_t k)
{
  unsigned block = 0, count = 0, i;

  for (i = 16; i < n; i += 16)
    block += key[i] <= k;
  key += 16 * block;
  n -= 16 * block;
  if (n >= 16) {                /* as a rule */
    const two_keys *v = (const two_keys *) key;
    two_keys larger = { 0, 0 }, larger_2 = { 0, 0 };

#pragma GCC unroll 4
    for (i = 0; i < 8; i += 2) {
      larger += (k - v[i]) >> 63;
      larger_2 += (k - v[i+1]) >> 63;
    }
    larger += larger_2;
    count = 16 - (larger[0] + larger[1]);
  }
  else {
    for (i = 0; i < n; i++)
      count += key[i] <= k;
  }
  return 16 * block + count;
}

/* How many entries of a leaf begin at or before sector K. */
static inline unsigned
leaf_count_up_to (const struct leaf *leaf, sector_t k, bool want_value)
{
  if (k < leaf->base)
    return 0;
  if (k - leaf->base >= MAP_LEAF_SPAN)
    return leaf->h.n;
  return leaf_count (leaf, (uint32_t) (k - leaf->base), want_value);
}

/* False if no entry of the leaf is long enough to get from POS to K. */
static inline bool
leaf_may_reach (const struct leaf *leaf, unsigned pos, sector_t k)
{
  return k - (leaf->base + leaf->key[pos]) < leaf->h.reach
    || leaf->h.reach == MAP_REACH_ANY;
}

/* Finds the last entry that begins at or before K, and the beginning of
 * the one that follows.  NODE is the root of a tree, not NULL.  S->entry is
 * not set here.  WANT_VALUE: the caller is going to read the entry.
 */
static inline __attribute__ ((always_inline)) void
map_find_position (const struct node *node, sector_t k, bool want_value,
                   struct spot *s)
{
  const struct leaf *leaf;
  unsigned i;

  s->found = false;
  s->next = NO_SECTOR;
  while (node->height > 0) {
    const struct inner *inner = (const struct inner *) node;

    i = count_up_to_64 (inner->key, node->n, k);
    if (i < node->n)
      s->next = inner->key[i];
    if (i == 0)
      return;
    node = inner->child[i-1];
  }

  leaf = (const struct leaf *) node;
  i = leaf_count_up_to (leaf, k, want_value);
  if (i < node->n)
    s->next = leaf->base + leaf->key[i];
  if (i == 0)
    return;
  s->found = true;
  s->leaf = leaf;
  s->pos = i - 1;
}

/* The same, and sets S->entry. */
static inline void
map_find (const struct node *node, sector_t k, struct spot *s)
{
  map_find_position (node, k, true, s);
  if (s->found)
    s->entry = leaf_entry (s->leaf, s->pos);
}

/* Returns whether the entry holds K, and sets S->entry only then. */
static inline bool
map_find_holder (const struct node *node, sector_t k, bool want_value,
                 struct spot *s)
{
  map_find_position (node, k, want_value, s);
  if (!s->found || !leaf_may_reach (s->leaf, s->pos, k))
    return false;
  s->entry = leaf_entry (s->leaf, s->pos);
  return k - s->entry.start < s->entry.count;
}

/* True if a longer run than the entry may begin there. */
static inline bool
map_may_continue (const struct spot *s)
{
  return s->entry.start + s->entry.count == s->next
    && map_has_value (s->entry.state);
}

/* Appends to RUN, whose last entry is S, the entries that continue it
 * until it has at least COUNT sectors.
 */
static inline void
map_join_forward (const struct node *node, struct spot *s, struct run *run,
                  uint64_t count)
{
  while (run->count < count && map_may_continue (s)) {
    map_find (node, s->next, s);
    if (!map_continues (run, &s->entry))
      break;
    run->count += s->entry.count;
  }
}

/* The first run that ends after START, whole: see map_next in map.h.  NODE
 * may be NULL.
 */
extern bool map_tree_next (const struct node *node, sector_t start,
                           struct run *run);

#endif /* REMAP_MAP_SEARCH_H */
