/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The status command: of one server or of all, once or again and again.
 */

#ifndef REMAPCTL_STATUS_STATUS_H
#define REMAPCTL_STATUS_STATUS_H

#include "options.h"

extern int command_status (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_STATUS_STATUS_H */
