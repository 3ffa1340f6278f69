/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map: replaces a range of entries in the tree of an open update.
 * The design is at the top of map.c.
 *
 * Everything here works on map->work, and is the business of the one
 * thread that has the update open.  An allocation that fails leaves a
 * tree that can be freed: a node is linked into the tree before anything
 * else is allocated, or is freed again.
 */

#include <stdlib.h>
#include <string.h>
#include <assert.h>
#include <errno.h>

#include "base/bytes.h"
#include "map/node.h"
#include "map/replace.h"
#include "map/search.h"
#include "map/tree.h"

/* The way from the root to a leaf, which is child INDEX of the last step;
 * all of these nodes are private.  With no steps, the root is the leaf.
 */
struct path {
  struct { struct inner *node; unsigned index; } step[MAP_MAX_HEIGHT];
  unsigned n;
  sector_t bound;        /* first sector of the next leaf, or NO_SECTOR */
};

static inline bool
is_private (const struct map *map, const struct node *node)
{
  return node->update == map->update;
}

/* A node has joined the tree, or has left it. */
static void
adopt (struct map *map, struct node *node)
{
  node->update = map->update;
  map->work.totals.bytes += node_size (node);
}

static void
release (struct map *map, struct node *node)
{
  map->work.totals.bytes -= node_size (node);
  if (is_private (map, node))
    free (node);
  else {
    node->link = map->garbage;
    map->garbage = node;
  }
}

static inline struct node **
leaf_ref (struct map *map, const struct path *path)
{
  const unsigned n = path->n;

  return n == 0 ? &map->work.node
    : &path->step[n-1].node->child[path->step[n-1].index];
}

/* Makes *REF, an inner node of the tree, private. */
static int
make_inner_private (struct map *map, struct node **ref)
{
  struct inner *copy;

  if (is_private (map, *ref))
    return 0;
  copy = map_new_inner ((*ref)->height);
  if (copy == NULL)
    return ENOMEM;
  map_inner_append (copy, (struct inner *) *ref, 0, (*ref)->n);
  release (map, *ref);
  *ref = &copy->h;
  adopt (map, *ref);
  return 0;
}

/* Makes *REF, a leaf of the tree, private, with room for NEED entries. */
static int
make_leaf_private (struct map *map, struct node **ref, unsigned need)
{
  struct leaf *leaf = (struct leaf *) *ref, *copy;
  unsigned cap;

  if (is_private (map, *ref)) {
    if (need <= leaf->h.cap)
      return 0;
    cap = min_u64 (need + need / 4 + 2, MAP_LEAF_MAX);
  }
  else
    cap = max_u64 (need, leaf->h.n);

  copy = map_new_leaf (cap);
  if (copy == NULL)
    return ENOMEM;
  copy->h.n = leaf->h.n;
  copy->h.reach = leaf->h.reach;
  copy->base = leaf->base;
  memcpy (copy->first, leaf->first, sizeof leaf->first);
  memcpy (copy->key, leaf->key, leaf->h.n * sizeof leaf->key[0]);
  memcpy (leaf_values (copy), leaf_values (leaf),
          leaf->h.n * sizeof (uint64_t));
  release (map, *ref);
  *ref = &copy->h;
  adopt (map, *ref);
  return 0;
}

/* Puts a new root with one child above the root. */
static int
add_root (struct map *map)
{
  struct node *node = map->work.node;
  struct inner *root = map_new_inner (node->height + 1);

  if (root == NULL)
    return ENOMEM;
  root->key[0] = node_first (node);
  root->child[0] = node;
  root->h.n = 1;
  map->work.node = &root->h;
  adopt (map, &root->h);
  return 0;
}

/* Splits child I of PARENT, an inner node; both are private. */
static int
split_inner (struct map *map, struct inner *parent, unsigned i)
{
  struct inner *left = (struct inner *) parent->child[i];
  struct inner *right = map_new_inner (left->h.height);
  struct node *both[2];
  const unsigned keep = left->h.n / 2;

  if (right == NULL)
    return ENOMEM;
  map_inner_append (right, left, keep, left->h.n - keep);
  left->h.n = keep;
  adopt (map, &right->h);
  both[0] = &left->h;
  both[1] = &right->h;
  map_inner_replace (parent, i, both, 2);
  return 0;
}

/* Descends to the leaf where an entry that begins at K is or would be.
 * The inner nodes on the way become private, and get room for MAP_SPREAD
 * more children.
 */
static int
descend (struct map *map, sector_t k, struct path *path)
{
  struct node **ref = &map->work.node;
  struct inner *node, *parent = NULL;
  unsigned i = 0;

  path->n = 0;
  path->bound = NO_SECTOR;
  while ((*ref)->height > 0) {
    if (make_inner_private (map, ref) != 0)
      return ENOMEM;
    node = (struct inner *) *ref;

    if (node->h.n > MAP_INNER_MAX - MAP_SPREAD) {
      if (parent == NULL) {
        if (add_root (map) != 0)
          return ENOMEM;
        continue;               /* with the new root */
      }
      if (split_inner (map, parent, i) != 0)
        return ENOMEM;
      if (k >= parent->key[i+1])
        i++;
      else
        path->bound = parent->key[i+1];
      path->step[path->n-1].index = i;
      node = (struct inner *) parent->child[i];
    }

    parent = node;
    i = count_up_to_64 (node->key, node->h.n, k);
    if (i > 0)                  /* else K is below all keys */
      i--;
    if (i + 1 < node->h.n)
      path->bound = node->key[i+1];
    assert (path->n < MAP_MAX_HEIGHT);
    path->step[path->n].node = node;
    path->step[path->n++].index = i;
    ref = &node->child[i];
  }
  return 0;
}

static bool
leaves_fit (const struct leaf *left, const struct leaf *right)
{
  return right->base + right->key[right->h.n-1] - left->base < MAP_LEAF_SPAN;
}

/* Appends the leaf on the right to *REF. */
static int
append_leaf (struct map *map, struct node **ref, const struct leaf *right)
{
  struct leaf *left;
  unsigned i;

  if (make_leaf_private (map, ref, (*ref)->n + right->h.n) != 0)
    return ENOMEM;
  left = (struct leaf *) *ref;
  for (i = 0; i < right->h.n; i++)
    left->key[left->h.n + i] = right->base + right->key[i] - left->base;
  memcpy (leaf_values (left) + left->h.n, leaf_values (right),
          right->h.n * sizeof (uint64_t));
  left->h.n += right->h.n;
  if (left->h.reach < right->h.reach)
    left->h.reach = right->h.reach;
  leaf_note_blocks (left);
  return 0;
}

/* Merges child I of PARENT with a neighbour if that is worth while. */
static int
merge_child (struct map *map, struct inner *parent, unsigned i)
{
  const bool is_leaf = parent->h.height == 1;
  const unsigned max = is_leaf ? MAP_LEAF_MAX : MAP_INNER_MAX;
  struct node **left, *right;
  unsigned l;

  if (parent->child[i]->n >= max / 4)
    return 0;
  for (l = i > 0 ? i - 1 : 0; l <= i && l + 1 < parent->h.n; l++) {
    left = &parent->child[l];
    right = parent->child[l+1];
    if ((*left)->n + right->n > max - max / 4)
      continue;
    if (is_leaf) {
      if (!leaves_fit ((struct leaf *) *left, (struct leaf *) right))
        continue;
      if (append_leaf (map, left, (struct leaf *) right) != 0)
        return ENOMEM;
    }
    else {
      if (make_inner_private (map, left) != 0)
        return ENOMEM;
      map_inner_append ((struct inner *) *left, (struct inner *) right, 0,
                    right->n);
    }
    parent->key[l] = node_first (*left);
    map_inner_replace (parent, l + 1, NULL, 0);
    release (map, right);
    return 0;
  }
  return 0;
}

/* After a change below the first STEPS steps of the path: puts keys
 * right, removes empty nodes, merges small ones, lowers the tree.
 */
static int
rebalance (struct map *map, const struct path *path, unsigned steps)
{
  struct node *node;

  while (steps-- > 0) {
    struct inner *parent = path->step[steps].node;
    const unsigned i = path->step[steps].index;

    node = parent->child[i];
    if (node->n == 0) {
      map_inner_replace (parent, i, NULL, 0);
      release (map, node);
      continue;
    }
    parent->key[i] = node_first (node);
    if (merge_child (map, parent, i) != 0)
      return ENOMEM;
  }

  /* The root had two children at least, and has lost one at most. */
  while ((node = map->work.node)->height > 0 && node->n == 1) {
    map->work.node = ((struct inner *) node)->child[0];
    release (map, node);
  }
  return 0;
}

/* The leaf on the path has no entries left. */
static int
remove_leaf (struct map *map, const struct path *path)
{
  struct node *leaf = *leaf_ref (map, path);
  const unsigned n = path->n;

  if (n == 0)
    map->work.node = NULL;
  else
    map_inner_replace (path->step[n-1].node, path->step[n-1].index, NULL, 0);
  release (map, leaf);
  return n == 0 ? 0 : rebalance (map, path, n - 1);
}

/* How many of N entries go into one leaf, if a leaf takes MAX. */
static unsigned
take_entries (const struct entry *e, unsigned n, unsigned max)
{
  unsigned i;

  for (i = 1; i < n && i < max; i++) {
    if (e[i].start - e[0].start >= MAP_LEAF_SPAN)
      break;
  }
  return i;
}

/* Puts new leaves with N > 0 entries in place of the leaf on the path, or
 * into an empty tree.  APPENDED: the last of them is new, and more are
 * likely to follow behind it, so the leaves before are filled up.
 */
static int
rebuild_leaf (struct map *map, struct path *path, const struct entry *e,
              unsigned n, bool appended)
{
  const unsigned max = n <= MAP_LEAF_MAX || appended ? MAP_LEAF_MAX
    : (n + 1) / 2;
  struct node *new[MAP_SPREAD], *old = *leaf_ref (map, path);
  unsigned count = 0, i = 0, take;

  do {
    take = take_entries (e + i, n - i, max);
    assert (count < MAP_SPREAD);
    new[count] = (struct node *) map_build_leaf (e + i, take);
    if (new[count] == NULL)
      goto nomem;
    count++;
    i += take;
  } while (i < n);

  if (path->n == 0 && count > 1) {
    struct inner *root = map_new_inner (1);

    if (root == NULL)
      goto nomem;
    adopt (map, &root->h);
    map->work.node = &root->h;
    path->step[0].node = root;
    path->step[0].index = 0;
    path->n = 1;
    root->h.n = 1;              /* for a moment, to be replaced */
  }

  if (old != NULL)
    release (map, old);
  for (i = 0; i < count; i++)
    adopt (map, new[i]);
  if (path->n == 0)
    map->work.node = new[0];
  else
    map_inner_replace (path->step[path->n-1].node,
                   path->step[path->n-1].index, new, count);
  return rebalance (map, path, path->n);

 nomem:
  while (count > 0)
    free (new[--count]);
  return ENOMEM;
}

/* The same, within the leaf: there is room in number and in distance. */
static int
change_leaf (struct map *map, struct path *path, unsigned pos,
             unsigned remove, const struct entry *e, unsigned n,
             sector_t base)
{
  struct node **ref = leaf_ref (map, path);
  struct leaf *leaf;
  uint64_t *values;
  unsigned rest, i;

  if (make_leaf_private (map, ref, (*ref)->n - remove + n) != 0)
    return ENOMEM;
  leaf = (struct leaf *) *ref;
  values = leaf_values (leaf);

  rest = leaf->h.n - pos - remove;
  memmove (leaf->key + pos + n, leaf->key + pos + remove,
           rest * sizeof leaf->key[0]);
  memmove (values + pos + n, values + pos + remove,
           rest * sizeof values[0]);
  leaf->h.n += n;
  leaf->h.n -= remove;

  if (base != leaf->base) {
    for (i = 0; i < leaf->h.n; i++)
      leaf->key[i] += leaf->base - base;
    leaf->base = base;
  }
  for (i = 0; i < n; i++) {
    leaf->key[pos+i] = e[i].start - base;
    values[pos+i] = e[i].value;
    leaf_reach (leaf, e[i].value);
  }
  leaf_note_blocks (leaf);
  return rebalance (map, path, path->n);
}

/* In the leaf on the path: takes REMOVE entries from POS, and puts N (at
 * most three) in their place.
 */
static int
splice (struct map *map, struct path *path, unsigned pos, unsigned remove,
        const struct entry *e, unsigned n)
{
  struct leaf *leaf = (struct leaf *) *leaf_ref (map, path);
  struct entry all[MAP_LEAF_MAX + 3];
  const unsigned total = leaf->h.n - remove + n;
  sector_t base = leaf->base, last;
  unsigned i, count;

  for (i = 0; i < remove; i++)
    map_count_entry (&map->work.totals, leaf_values (leaf)[pos+i], false);
  for (i = 0; i < n; i++)
    map_count_entry (&map->work.totals, e[i].value, true);

  if (total == 0)
    return remove_leaf (map, path);

  if (n > 0 && e[0].start < base)
    base = e[0].start;
  last = pos + remove < leaf->h.n ? leaf->base + leaf->key[leaf->h.n-1]
    : n > 0 ? e[n-1].start : leaf->base + leaf->key[pos-1];
  if (total <= MAP_LEAF_MAX && last - base < MAP_LEAF_SPAN)
    return change_leaf (map, path, pos, remove, e, n, base);

  for (i = count = 0; i < pos; i++, count++)
    all[count] = (struct entry) { leaf->base + leaf->key[i],
                                  leaf_values (leaf)[i] };
  for (i = 0; i < n; i++, count++)
    all[count] = e[i];
  for (i = pos + remove; i < leaf->h.n; i++, count++)
    all[count] = (struct entry) { leaf->base + leaf->key[i],
                                  leaf_values (leaf)[i] };
  return rebuild_leaf (map, path, all, total,
                       path->bound == NO_SECTOR
                       && pos + remove == leaf->h.n);
}

int
map_replace (struct map *map, sector_t a, sector_t b, const struct entry *e,
             unsigned n)
{
  const struct leaf *leaf;
  struct path path = { .n = 0 };
  unsigned pos, remove, i;

  if (map->next == NULL) {
    map->next = malloc (sizeof *map->next);
    if (map->next == NULL)
      return ENOMEM;
  }
  map->dirty = true;
  if (map->work.node == NULL) {
    for (i = 0; i < n; i++)
      map_count_entry (&map->work.totals, e[i].value, true);
    return n == 0 ? 0 : rebuild_leaf (map, &path, e, n, false);
  }

  for (;;) {
    if (descend (map, a, &path) != 0)
      return ENOMEM;
    if (path.bound >= b)
      break;

    /* Entries to be removed begin in the following leaf. */
    if (descend (map, path.bound, &path) != 0)
      return ENOMEM;
    leaf = (const struct leaf *) *leaf_ref (map, &path);
    remove = leaf_count_up_to (leaf, b - 1, false);
    if (splice (map, &path, 0, remove, NULL, 0) != 0)
      return ENOMEM;
  }

  leaf = (const struct leaf *) *leaf_ref (map, &path);
  pos = a == 0 ? 0 : leaf_count_up_to (leaf, a - 1, false);
  remove = leaf_count_up_to (leaf, b - 1, false) - pos;
  return splice (map, &path, pos, remove, e, n);
}
