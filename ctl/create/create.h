/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The create command: from key=value arguments to a running server, as
 * dm-remap's remap_create_safe.sh sets out to make a device.
 */

#ifndef REMAPCTL_CREATE_CREATE_H
#define REMAPCTL_CREATE_CREATE_H

#include "options.h"

/* Returns an exit status of its own: enum create_status. */
extern int command_create (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_CREATE_CREATE_H */
