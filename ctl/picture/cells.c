/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "picture/cells.h"
#include "text.h"
#include "units.h"

/* The higher, the worse. */
static const uint8_t badness[] = {
  [DIRECT] = 0, [ZERO] = 1, [REMAPPED] = 2, [LOST] = 3,
};

static sector_t
first_sector (const struct picture *p, uint64_t cell)
{
  return (unsigned __int128) p->sectors * cell / p->ncells;
}

/* The cell that holds a sector.  The quotient may be one too low, since the
 * first sectors of cells are rounded down.
 */
static uint64_t
cell_of (const struct picture *p, sector_t sector)
{
  uint64_t cell = (unsigned __int128) sector * p->ncells / p->sectors;

  while (cell + 1 < p->ncells && first_sector (p, cell + 1) <= sector)
    cell++;
  return cell;
}

struct picture
picture_of (const struct table *t, uint64_t ncells)
{
  struct picture p = {
    .main_size = t->main_size, .sectors = bytes_to_sectors (t->main_size),
  };

  p.ncells = min_u64 (ncells, p.sectors);
  p.cell = allocate (p.ncells, 1);
  p.totals[DIRECT] = p.sectors;
  for (size_t i = 0; i < t->n; i++) {
    const struct run *r = &t->v[i].run;
    const uint64_t last = cell_of (&p, run_end_sector (r) - 1);

    p.totals[r->state] += r->count;
    p.totals[DIRECT] -= r->count;
    for (uint64_t c = cell_of (&p, r->start); c <= last; c++)
      if (badness[r->state] > badness[p.cell[c]])
        p.cell[c] = r->state;
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
  return first_sector (p, cell) << SECTOR_SHIFT;
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
