/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map command: a picture of the disk.
 */

#ifndef REMAPCTL_PICTURE_PICTURE_H
#define REMAPCTL_PICTURE_PICTURE_H

#include "options.h"

extern int command_map (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_PICTURE_PICTURE_H */
