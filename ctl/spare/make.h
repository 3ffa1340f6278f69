/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The format command: makes a spare.
 */

#ifndef REMAPCTL_SPARE_MAKE_H
#define REMAPCTL_SPARE_MAKE_H

#include "options.h"

extern int command_format (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_SPARE_MAKE_H */
