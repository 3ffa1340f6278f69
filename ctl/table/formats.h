/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Formats of a table.  STATES says which states are listed, a bit (1 << state)
 * for each; in a mapfile or a list of bad blocks: which are bad.
 */

#ifndef REMAPCTL_TABLE_FORMATS_H
#define REMAPCTL_TABLE_FORMATS_H

#include "table/runs.h"

extern void table_print_text (const struct table *t, unsigned states);

/* One reply of a server, with all pages. */
extern void table_print_json (const struct table *t, unsigned states);
extern void table_print_csv (const struct table *t, unsigned states);

/* For GNU ddrescue. */
extern void table_print_mapfile (const struct table *t, unsigned states);

/* For e2fsck, with blocks of BLOCK bytes, a multiple of 512. */
extern void table_print_badblocks (const struct table *t, unsigned states,
                                   uint32_t block);

#endif /* REMAPCTL_TABLE_FORMATS_H */
