/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A table from a spare that no server holds.
 */

#ifndef REMAPCTL_TABLE_FROM_SPARE_H
#define REMAPCTL_TABLE_FROM_SPARE_H

#include "table/runs.h"

/* Fills T with the runs of COUNT sectors (0: to the end) from START on.  The
 * spare begins at byte OFFSET of PATH.  False after a message; then there is
 * nothing to free, and *STATUS is the program's exit status.
 */
extern bool table_from_spare (struct table *t, const char *path,
                              uint64_t offset, sector_t start,
                              uint64_t count, int *status);

#endif /* REMAPCTL_TABLE_FROM_SPARE_H */
