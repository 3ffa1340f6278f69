/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A picture of the disk in the terminal.
 */

#ifndef REMAPCTL_PICTURE_PRINT_H
#define REMAPCTL_PICTURE_PRINT_H

#include "picture/cells.h"

/* Columns before the cells. */
#define PICTURE_LABEL 10

/* Prints COLUMNS cells a line. */
extern void picture_print (const struct picture *p, unsigned columns);

#endif /* REMAPCTL_PICTURE_PRINT_H */
