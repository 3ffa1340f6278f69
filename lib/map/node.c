/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "map/node.h"

struct leaf *
map_new_leaf (unsigned cap)
{
  struct leaf *leaf;

  cap += cap & 1;               /* values are 8 bytes, aligned */
  leaf = malloc (sizeof *leaf
                 + cap * (sizeof (uint32_t) + sizeof (uint64_t)));
  if (leaf != NULL) {
    memset (&leaf->h, 0, sizeof leaf->h);
    leaf->h.cap = cap;
  }
  return leaf;
}

struct inner *
map_new_inner (unsigned height)
{
  struct inner *inner = malloc (sizeof *inner);

  if (inner != NULL) {
    memset (&inner->h, 0, sizeof inner->h);
    inner->h.cap = MAP_INNER_MAX;
    inner->h.height = height;
  }
  return inner;
}

struct leaf *
map_build_leaf (const struct entry *e, unsigned n)
{
  struct leaf *leaf = map_new_leaf (n);
  unsigned i;

  if (leaf == NULL)
    return NULL;
  leaf->h.n = n;
  leaf->base = e[0].start;
  for (i = 0; i < n; i++) {
    leaf->key[i] = e[i].start - e[0].start;
    leaf_values (leaf)[i] = e[i].value;
    leaf_reach (leaf, e[i].value);
  }
  leaf_note_blocks (leaf);
  return leaf;
}

void
map_inner_replace (struct inner *inner, unsigned i,
                   struct node *const *child, unsigned count)
{
  const unsigned rest = inner->h.n - (i + 1);
  unsigned j;

  assert (inner->h.n - 1 + count <= MAP_INNER_MAX);
  memmove (&inner->key[i+count], &inner->key[i+1],
           rest * sizeof inner->key[0]);
  memmove (&inner->child[i+count], &inner->child[i+1],
           rest * sizeof inner->child[0]);
  for (j = 0; j < count; j++) {
    inner->key[i+j] = node_first (child[j]);
    inner->child[i+j] = child[j];
  }
  inner->h.n += count;
  inner->h.n--;
}

void
map_inner_append (struct inner *to, const struct inner *from, unsigned first,
                  unsigned count)
{
  memcpy (&to->key[to->h.n], &from->key[first], count * sizeof to->key[0]);
  memcpy (&to->child[to->h.n], &from->child[first],
          count * sizeof to->child[0]);
  to->h.n += count;
}

void
map_free_tree (struct node *node)
{
  unsigned i;

  if (node == NULL)
    return;
  if (node->height > 0) {
    for (i = 0; i < node->n; i++)
      map_free_tree (((struct inner *) node)->child[i]);
  }
  free (node);
}
