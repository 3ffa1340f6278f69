/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A table from a server, page by page.  Nothing that the server says is
 * trusted: runs must be in order and within what was asked for, and each page
 * goes on where the last one ended.
 */

#ifndef REMAPCTL_TABLE_FROM_SERVER_H
#define REMAPCTL_TABLE_FROM_SERVER_H

#include "options.h"
#include "table/runs.h"

/* Fills T with the runs of COUNT sectors (0: to the end) from START on.
 * False after a message; then there is nothing to free, and *STATUS is the
 * program's exit status.
 */
extern bool table_from_server (struct table *t, struct ctl *ctl,
                               sector_t start, uint64_t count, int *status);

#endif /* REMAPCTL_TABLE_FROM_SERVER_H */
