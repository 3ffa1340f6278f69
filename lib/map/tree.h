/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The structs of the map: trees, nodes, and entries in packed form.  Only
 * what is in this directory includes it; the design is at the top of map.c.
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
  struct tree *link;     /* of trees that nobody finds any more */
};

/* What nobody finds any more is freed when there is so much of it, or an eighth
 * of the map: bytes.  A change of one run leaves about five thousand.
 */
#define MAP_OLD_MAX (UINT64_C (4) << 20)

struct loader;

struct map {
  /* What readers see: NULL if it is empty.  Written by map_publish and
   * map_load_end only.
   */
  struct map_head head;
  char pad[64 - sizeof (struct map_head)];

  /* The rest is the writer's. */
  struct tree work;      /* of the open update, else as ROOT */
  struct tree *next;     /* memory for what WORK becomes; NULL: not dirty */
  uint64_t update;       /* number of the open or next update, from 1 */

  struct node *garbage;  /* seen by readers, not in WORK any more */

  /* The same of updates that were published: a reader may still be there. */
  struct node *old_nodes;
  struct tree *old_trees;
  uint64_t old_bytes, old_max;

  struct map_pin *pins;  /* the newest first */
  struct node *kept;     /* old nodes that belong to trees that are pinned */
  bool open, dirty;      /* an update is open; and has changed WORK */
  struct loader *loader; /* between map_load and map_load_end */
};

/* An entry in packed form, as it is in a leaf. */
struct entry {
  sector_t start;
  uint64_t value;
};

/* Do runs in this state carry a value: a slot, or a note? */
static inline bool
map_has_value (enum sector_state state)
{
  return state == REMAPPED || state == MAP_NOTE;
}

/* The longest run that fits in one entry (DIRECT: that takes none). */
static inline uint64_t
map_entry_max (enum sector_state state)
{
  return map_has_value (state) ? UINT64_C (1) << 24 : MAP_MAX_SECTOR;
}

/* A value: from the top, 38 bits slot, 2 bits state - 1, 24 bits number of
 * sectors - 1.  States without a slot keep more of the number there, which
 * leaves the uppermost eight bits: KEPT and WRITTEN say ZERO below, and
 * themselves up there.
 */
#define MAP_KIND_SHIFT 56

_Static_assert (MAP_MAX_SECTOR - 1 <=
                ((UINT64_C (1) << (MAP_KIND_SHIFT - 26 + 24)) - 1), "kinds");

static inline uint64_t
map_pack (const struct run *run)
{
  const uint64_t n = run->count - 1;
  const uint64_t low = n & 0xffffff;

  if (map_has_value (run->state))
    return run->slot << 26 | (uint64_t) (run->state - 1) << 24 | low;
  if (state_is_rescued (run->state))
    return (uint64_t) run->state << MAP_KIND_SHIFT | n >> 24 << 26 |
      (uint64_t) (ZERO - 1) << 24 | low;
  return n >> 24 << 26 | (uint64_t) (run->state - 1) << 24 | low;
}

static inline struct run
map_unpack (sector_t start, uint64_t value)
{
  struct run run = { .start = start, .slot = NO_SLOT };
  const uint64_t n = value & 0xffffff, top = value >> 26;

  run.state = (enum sector_state) ((value >> 24 & 3) + 1);
  if (!map_has_value (run.state)) {
    const uint64_t kind = value >> MAP_KIND_SHIFT;

    run.count = ((top & 0x3fffffff) << 24 | n) + 1;
    if (kind != 0)
      run.state = (enum sector_state) kind;
  }
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
  if (run_end_sector (a) != b->start || a->state != b->state)
    return false;
  if (a->state == REMAPPED)
    return a->slot + a->count == b->slot;
  return a->slot == b->slot;
}

#endif /* REMAP_MAP_TREE_H */
