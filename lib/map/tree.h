/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The inside of the map: nodes, entries, and how they are searched.  Only
 * map.c (readers, publishing) and the other map-*.c include this; the
 * design is at the top of map.c.
 */

#ifndef REMAP_MAP_TREE_H
#define REMAP_MAP_TREE_H

#include "map/map.h"

/* Entries of a leaf and children of an inner node.  The tests build the
 * map with small nodes as well.
 */
#ifndef MAP_LEAF_MAX
#define MAP_LEAF_MAX 128
#endif
#ifndef MAP_INNER_MAX
#define MAP_INNER_MAX 128
#endif

/* Replacing a range puts at most three entries into one leaf, which then
 * becomes at most seven (split for number once or twice, for distance up
 * to four times).  An inner node always has room for that when an update
 * has passed through it.
 */
#define MAP_SPREAD 8

/* No map that fits in memory is that high. */
#define MAP_MAX_HEIGHT 16

/* Keys of a leaf are 32 bits wide, and this one is no key. */
#define MAP_NO_KEY UINT32_MAX
#define MAP_LEAF_SPAN UINT64_C (0xffffffff)

/* A search looks for the right block of so many keys first.  The number of
 * blocks is even, for the alignment of what follows.
 */
#define MAP_BLOCK 16
#define MAP_LEAF_BLOCKS (2 * ((MAP_LEAF_MAX + 2 * MAP_BLOCK - 1) \
                              / (2 * MAP_BLOCK)))

/* "There is no further entry". */
#define NO_SECTOR UINT64_MAX

/* What an inner node and a leaf begin with. */
struct node {
  struct node *link;     /* garbage list; the writer's only */
  uint64_t update;       /* number of the update that made it */
  uint16_t n;            /* entries or children in use */
  uint16_t cap;          /* room for so many; even in a leaf */
  uint16_t height;       /* 0 for a leaf */
  uint16_t reach;        /* leaf: no entry is longer, see leaf_reach */
};

/* The entries' first sectors relative to BASE, ascending.  An array of as
 * many packed values (see map_pack) follows KEY[cap].  FIRST has the first
 * key of each block but the zeroth, and then MAP_NO_KEY: so a search needs
 * the beginning of the leaf and one block, not a cache line of each block.
 */
struct leaf {
  struct node h;
  sector_t base;
  uint32_t first[MAP_LEAF_BLOCKS];
  uint32_t key[];
};

/* KEY[i] is the first sector of the first entry below CHILD[i], exactly. */
struct inner {
  struct node h;
  sector_t key[MAP_INNER_MAX];
  struct node *child[MAP_INNER_MAX];
};

/* A tree and its totals. */
struct tree {
  struct node *node;     /* NULL: empty */
  struct map_totals totals;
};

struct loader;

struct map {
  /* What readers see: NULL if it is empty, or one of TREES.  Written by
   * map_publish and map_load_end only.
   */
  struct map_head head;
  char pad[64 - sizeof (struct map_head)];

  /* The rest is the writer's.  The tree that is not ROOT is free for the
   * next map_publish, since a grace period has passed since it was ROOT.
   */
  struct tree trees[2];
  struct tree work;      /* of the open update, else as ROOT */
  uint64_t update;       /* number of the open or next update, from 1 */
  struct node *garbage;  /* seen by readers, not in WORK any more */
  bool open, dirty;      /* an update is open; and has changed WORK */
  struct loader *loader; /* between map_load and map_load_end */
};

/* An entry in packed form, as it is in a leaf. */
struct entry {
  sector_t start;
  uint64_t value;
};

/* Where a search ended. */
struct spot {
  bool found;            /* an entry begins at or before the sector */
  struct run entry;      /* if found: the last such entry */
  const struct leaf *leaf;
  unsigned pos;          /* if found: where the entry is */
  sector_t next;         /* first sector of the following entry */
};

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

/* The longest run that fits in one entry (DIRECT: that takes none). */
static inline uint64_t
map_entry_max (enum sector_state state)
{
  return state == REMAPPED || state == MAP_NOTE ? UINT64_C (1) << 24
    : MAP_MAX_SECTOR;
}

/* A value: from the top, 38 bits slot, 2 bits state - 1, 24 bits number of
 * sectors - 1.  States without a slot keep more of the number there.
 */
static inline uint64_t
map_pack (const struct run *run)
{
  const uint64_t n = run->count - 1;
  const uint64_t top = run->state == LOST || run->state == ZERO ? n >> 24
    : run->slot;

  return top << 26 | (uint64_t) (run->state - 1) << 24 | (n & 0xffffff);
}

static inline struct run
map_unpack (sector_t start, uint64_t value)
{
  struct run run = { .start = start, .slot = NO_SLOT };
  const uint64_t n = value & 0xffffff, top = value >> 26;

  run.state = (enum sector_state) ((value >> 24 & 3) + 1);
  if (run.state == LOST || run.state == ZERO)
    run.count = (top << 24 | n) + 1;
  else {
    run.count = n + 1;
    run.slot = top;
  }
  return run;
}

/* True if B goes on where A ends. */
static inline bool
map_continues (const struct run *a, const struct run *b)
{
  if (a->start + a->count != b->start || a->state != b->state)
    return false;
  if (a->state == REMAPPED)
    return a->slot + a->count == b->slot;
  return a->slot == b->slot;
}

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

/* After its keys have changed. */
static inline void
leaf_note_blocks (struct leaf *leaf)
{
  for (unsigned i = 0; i < MAP_LEAF_BLOCKS; i++)
    leaf->first[i] = MAP_BLOCK * (i + 1) < leaf->h.n
      ? leaf->key[MAP_BLOCK * (i + 1)] : MAP_NO_KEY;
}

/* How many of N ascending keys are less than or equal to K, in two steps as
 * well.  Compilers make vectors of the step above, but not of this one:
 * the oldest processors compare no 64-bit numbers so.  They subtract them,
 * though, and with sectors the sign says which is larger.
 */
typedef uint64_t two_keys
  __attribute__ ((vector_size (16), aligned (8), may_alias));

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

static inline struct run
leaf_entry (const struct leaf *leaf, unsigned pos)
{
  return map_unpack (leaf->base + leaf->key[pos], leaf_values (leaf)[pos]);
}

/* A lookup between two entries, the most frequent one, need not load the
 * value of the entry before it if no entry of the leaf can reach so far.
 */
#define MAP_REACH_ANY UINT16_MAX

static inline void
leaf_reach (struct leaf *leaf, uint64_t value)
{
  const uint64_t count = map_unpack (0, value).count;

  if (count > leaf->h.reach)
    leaf->h.reach = count < MAP_REACH_ANY ? count : MAP_REACH_ANY;
}

static inline bool
leaf_may_reach (const struct leaf *leaf, unsigned pos, sector_t k)
{
  return k - (leaf->base + leaf->key[pos]) < leaf->h.reach
    || leaf->h.reach == MAP_REACH_ANY;
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
}

/* map.c */
extern void map_find (const struct node *node, sector_t k, struct spot *s);
extern bool map_tree_next (const struct node *node, sector_t start,
                           struct run *run);
extern void map_free_tree (struct node *node);
extern struct leaf *map_new_leaf (unsigned cap);
extern struct inner *map_new_inner (unsigned height);

/* map-replace.c: puts N (at most three) entries in place of those that
 * begin in A .. B-1, in the tree of the open update.  None of these, nor of
 * the new ones, reaches out of that range.  Returns 0 or ENOMEM.
 */
extern int map_replace (struct map *map, sector_t a, sector_t b,
                        const struct entry *e, unsigned n);

/* map-load.c */
extern void map_loader_free (struct loader *loader);

#endif /* REMAP_MAP_TREE_H */
