/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A disk as cells: parts of the same size, but for rounding.  Cell I of N
 * begins at sector SECTORS * I / N, rounded down.  N is at least 1 and at most
 * SECTORS: so no cell is empty.
 */

#ifndef REMAP_CELLS_H
#define REMAP_CELLS_H

#include "base/sector.h"

/* CELL may be N: where the last one ends. */
static inline sector_t
cell_start (uint64_t sectors, uint64_t n, uint64_t cell)
{
  return (unsigned __int128) sectors * cell / n;
}

/* The cell that holds a sector.  The quotient may be one too low, since the
 * first sectors of cells are rounded down.
 */
static inline uint64_t
cell_of (uint64_t sectors, uint64_t n, sector_t sector)
{
  uint64_t cell = (unsigned __int128) sector * n / sectors;

  while (cell + 1 < n && cell_start (sectors, n, cell + 1) <= sector)
    cell++;
  return cell;
}

#endif /* REMAP_CELLS_H */
