/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Commands for the servers that create has started: list and stop.
 */

#ifndef REMAPCTL_SERVERS_H
#define REMAPCTL_SERVERS_H

#include "options.h"

extern int command_list (struct ctl *ctl, int argc, char **argv);
extern int command_stop (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_SERVERS_H */
