/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The disk as cells: equal parts, each in the worst state of its sectors, so
 * that one LOST sector of a 100 TB disk is seen.
 */

#ifndef REMAPCTL_PICTURE_CELLS_H
#define REMAPCTL_PICTURE_CELLS_H

#include "table/runs.h"

/* More than this a server doesn't count. */
#define PICTURE_MAX_CELLS 16384

struct picture {
  uint64_t main_size;                   /* bytes */
  uint64_t sectors;
  uint64_t ncells;
  uint64_t totals[NR_SECTOR_STATES];    /* sectors, by state */
  uint8_t *cell;                        /* enum sector_state; owned */
};

/* All of it is DIRECT.  The disk isn't empty. */
extern struct picture picture_new (uint64_t main_size, uint64_t ncells);

/* The cell has a sector in this state. */
extern void picture_add (struct picture *p, uint64_t cell,
                         enum sector_state state);

/* At most NCELLS cells: none is less than a sector. */
extern struct picture picture_of (const struct table *t, uint64_t ncells);
extern void picture_free (struct picture *p);

/* The byte of the disk with which a cell begins. */
extern uint64_t picture_cell_start (const struct picture *p, uint64_t cell);

/* Is the state in the legend?  Those of a copy only where there is one. */
extern bool picture_explains (const struct picture *p,
                              enum sector_state state);

/* What a legend says: the name of a state, and in a line how large the disk
 * and its cells are.
 */
extern const char *picture_state_name (enum sector_state state);
extern void picture_scale (const struct picture *p, char *text, size_t size);

#endif /* REMAPCTL_PICTURE_CELLS_H */
