/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/cells.h"
#include "picture/cells.h"
#include "text.h"
#include "units.h"

/* The higher, the worse. */
static const uint8_t badness[] = {
  [DIRECT] = 0, [KEPT] = 1, [WRITTEN] = 2, [ZERO] = 3, [REMAPPED] = 4,
  [LOST] = 5,
};

struct picture
picture_new (uint64_t main_size, uint64_t ncells)
{
  struct picture p = {
    .main_size = main_size, .sectors = bytes_to_sectors (main_size),
  };

  p.ncells = min_u64 (ncells, p.sectors);
  p.cell = allocate (p.ncells, 1);
  p.totals[DIRECT] = p.sectors;
  return p;
}

void
picture_add (struct picture *p, uint64_t cell, enum sector_state state)
{
  if (badness[state] > badness[p->cell[cell]])
    p->cell[cell] = state;
}

struct picture
picture_of (const struct table *t, uint64_t ncells)
{
  struct picture p = picture_new (t->main_size, ncells);

  for (size_t i = 0; i < t->n; i++) {
    const struct run *r = &t->v[i].run;
    const uint64_t last = cell_of (p.sectors, p.ncells,
                                   run_end_sector (r) - 1);

    p.totals[r->state] += r->count;
    p.totals[DIRECT] -= r->count;
    for (uint64_t c = cell_of (p.sectors, p.ncells, r->start); c <= last; c++)
      picture_add (&p, c, r->state);
  }
  return p;
}

void
picture_free (struct picture *p)
{
  free (p->cell);
}

uint64_t
picture_cell_start (const struct picture *p, uint64_t cell)
{
  return cell_start (p->sectors, p->ncells, cell) << SECTOR_SHIFT;
}

bool
picture_explains (const struct picture *p, enum sector_state state)
{
  return !state_is_rescued (state) || p->totals[state] > 0;
}

const char *
picture_state_name (enum sector_state state)
{
  return state == LOST ? "LOST" : sector_state_name (state);
}

void
picture_scale (const struct picture *p, char *text, size_t size)
{
  snprintf (text, size, "%s; a cell is %s, in the worst state of its sectors",
            show_bytes (p->main_size).s,
            show_bytes (p->sectors / p->ncells << SECTOR_SHIFT).s);
}
