/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Replacing entries in the tree of an open update.
 */

#ifndef REMAP_MAP_REPLACE_H
#define REMAP_MAP_REPLACE_H

#include "map/tree.h"

/* Puts N (at most three) entries in place of those that begin in A .. B-1.
 * None of these, nor of the new ones, reaches out of that range.  Returns 0,
 * or ENOMEM: then the update can only be aborted.
 */
extern int map_replace (struct map *map, sector_t a, sector_t b,
                        const struct entry *e, unsigned n);

#endif /* REMAP_MAP_REPLACE_H */
