/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The list command: which servers there are.
 */

#ifndef REMAPCTL_SERVERS_H
#define REMAPCTL_SERVERS_H

#include "options.h"

extern int command_list (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_SERVERS_H */
