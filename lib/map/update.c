/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map: updates.  Here a run becomes the entries that stand for it,
 * joined with what it continues and without what it replaces;
 * replace.c puts these into the tree.  The design is at the top of map.c.
 */

#include <string.h>
#include <assert.h>

#include "map/replace.h"
#include "map/search.h"
#include "map/tree.h"

/* Sets *LEFT and *RIGHT to the pieces at both ends of RUN that have to be
 * written anew with it (count 0: none): what it leaves of entries that it
 * cuts, or whole entries that it continues.  Returns false if the run says
 * what the tree says already.
 */
static bool
look_around (const struct node *node, const struct run *run,
             struct run *left, struct run *right)
{
  const sector_t end = run_end_sector (run);
  struct spot s = { .found = false, .next = NO_SECTOR };
  sector_t entry_end = 0;
  struct run same;

  left->count = right->count = 0;
  if (node != NULL)
    map_find (node, run->start, &s);
  if (s.found)
    entry_end = run_end_sector (&s.entry);

  if (entry_end > run->start) {
    same = run_part (&s.entry, run->start, end);
    if (entry_end >= end && same.state == run->state
        && same.slot == run->slot)
      return false;
  }
  else if (run->state == DIRECT && s.next >= end)
    return false;

  /* The right end first, since the left one may need another search. */
  if (s.next <= end || entry_end > end) {
    struct spot r;

    map_find (node, end, &r);
    if (r.found && run_end_sector (&r.entry) > end) {
      if (r.entry.start < end)
        *right = run_part (&r.entry, end, run_end_sector (&r.entry));
      else if (map_continues (run, &r.entry))
        *right = r.entry;
    }
  }

  if (s.found && s.entry.start == run->start && run->start > 0)
    map_find (node, run->start - 1, &s);
  if (s.found && s.entry.start < run->start) {
    entry_end = run_end_sector (&s.entry);
    if (entry_end > run->start)
      *left = run_part (&s.entry, s.entry.start, run->start);
    else if (map_continues (&s.entry, run))
      *left = s.entry;
  }
  return true;
}

/* map_set for a run that fits in one entry, or is DIRECT. */
static int
set_piece (struct map *map, const struct run *run)
{
  const uint64_t max = map_entry_max (run->state);
  struct run around[3], out[3];
  struct entry e[3];
  sector_t a = run->start, b = run_end_sector (run);
  unsigned n = 0, i;

  if (!look_around (map->work.node, run, &around[0], &around[2]))
    return 0;
  around[1] = *run;
  if (run->state == DIRECT)
    around[1].count = 0;
  if (around[0].count > 0)
    a = around[0].start;
  if (around[2].count > 0)
    b = around[2].start + around[2].count;

  /* Entries that would be too long together stay as they are: so a run
   * that grows at either end leaves full entries behind it.
   */
  for (i = 0; i < 3; i++) {
    if (around[i].count == 0)
      continue;
    if (n > 0 && map_continues (&out[n-1], &around[i])
        && out[n-1].count + around[i].count <= max)
      out[n-1].count += around[i].count;
    else
      out[n++] = around[i];
  }
  for (i = 0; i < n; i++)
    e[i] = (struct entry) { out[i].start, map_pack (&out[i]) };
  return map_replace (map, a, b, e, n);
}

int
map_set (struct map *map, const struct run *run)
{
  const uint64_t max = map_entry_max (run->state);
  struct run rest = *run, piece;
  int r;

  assert (map->open);
  assert (run->start <= MAP_MAX_SECTOR
          && run->count <= MAP_MAX_SECTOR - run->start);
  assert (run->state != REMAPPED
          || (run->slot < MAP_MAX_SLOT
              && run->count <= MAP_MAX_SLOT - run->slot));
  assert (run->state != MAP_NOTE || run->slot < MAP_MAX_SLOT);

  if (!map_has_value (run->state))
    rest.slot = NO_SLOT;
  while (rest.count > 0) {
    piece = run_take (&rest, max);
    r = set_piece (map, &piece);
    if (r != 0)
      return r;
  }
  return 0;
}

bool
map_update_next (const struct map *map, sector_t start, struct run *run)
{
  assert (map->open);
  return map_tree_next (map->work.node, start, run);
}
