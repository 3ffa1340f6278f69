/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The backup command: a copy of a server's spare, or of one that no server
 * holds.
 */

#ifndef REMAPCTL_BACKUP_H
#define REMAPCTL_BACKUP_H

#include "options.h"

extern int command_backup (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_BACKUP_H */
