/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The disk as a picture: SVG for a page, a cell for each part of the disk.
 */

#ifndef REMAP_MONITOR_PICTURE_H
#define REMAP_MONITOR_PICTURE_H

#include <stdio.h>
#include <jansson.h>

/* Prints what a server has said to `map CELLS', COLUMNS cells in a row; each
 * cell that isn't all DIRECT says in a title which sectors it stands for, and
 * what they are.  MAP may be NULL, or nonsense.  CLASS is the style's.
 */
extern void picture_print (FILE *fp, const json_t *map, unsigned columns,
                           const char *class);

#endif /* REMAP_MONITOR_PICTURE_H */
