/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include "map/search.h"

/* Joins to RUN, whose first entry is S, the entries before it that it
 * continues, as far as that goes.
 */
static void
join_backward (const struct node *node, struct spot *s, struct run *run)
{
  while ((run->state == REMAPPED || run->state == MAP_NOTE)
         && run->start > 0) {
    if (s->pos > 0) {
      s->pos--;
      s->entry = leaf_entry (s->leaf, s->pos);
    }
    else
      map_find (node, run->start - 1, s);
    if (!s->found || !map_continues (&s->entry, run))
      break;
    run->start = s->entry.start;
    run->count += s->entry.count;
    run->slot = s->entry.slot;
  }
}

bool
map_tree_next (const struct node *node, sector_t start, struct run *run)
{
  struct spot s, first;

  if (node == NULL)
    return false;
  map_find (node, start, &s);
  if (!s.found || run_end_sector (&s.entry) <= start) {
    if (s.next == NO_SECTOR)
      return false;
    map_find (node, s.next, &s);
  }

  first = s;
  *run = s.entry;
  map_join_forward (node, &s, run, UINT64_MAX);
  join_backward (node, &first, run);
  return true;
}
