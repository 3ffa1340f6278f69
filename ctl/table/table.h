/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The table command.
 */

#ifndef REMAPCTL_TABLE_TABLE_H
#define REMAPCTL_TABLE_TABLE_H

#include "options.h"

extern int command_table (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_TABLE_TABLE_H */
