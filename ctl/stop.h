/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The stop command: ends a server that create has started.
 */

#ifndef REMAPCTL_STOP_H
#define REMAPCTL_STOP_H

#include "options.h"

extern int command_stop (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_STOP_H */
