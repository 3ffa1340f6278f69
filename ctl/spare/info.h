/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The info command: what a spare is.
 */

#ifndef REMAPCTL_SPARE_INFO_H
#define REMAPCTL_SPARE_INFO_H

#include "options.h"

extern int command_info (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_SPARE_INFO_H */
