/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Pictures of the disk as files, drawn by cairo.
 */

#ifndef REMAPCTL_PICTURE_DRAW_H
#define REMAPCTL_PICTURE_DRAW_H

#include "picture/cells.h"

/* Cells that a picture in a file has. */
#define PICTURE_FILE_CELLS (128 * 64)

/* Writes an SVG or PNG file.  False after a message. */
extern bool picture_write (const struct picture *p, const char *title,
                           const char *path, bool svg);

#endif /* REMAPCTL_PICTURE_DRAW_H */
