/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Where a server that is created writes, beside its run-time directory: the log
 * file, one for each name, to which each start appends; and the state folder,
 * host/state.h.
 */

#ifndef REMAPCTL_CREATE_LOG_H
#define REMAPCTL_CREATE_LOG_H

#include <stdio.h>

#include "create/internal.h"

/* Sets the path of the log, and makes its directory unless it is a dry run.
 * Returns 0, or an exit status after a message.
 */
extern int create_choose_log (struct create *c);

/* The same for the state folder. */
extern int create_choose_state (struct create *c);

/* Opens the log for appending; NULL after a message. */
extern FILE *create_open_log (const struct create *c);

#endif /* REMAPCTL_CREATE_LOG_H */
