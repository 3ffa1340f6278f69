/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Moving a disk to a copy while it is in use: remapctl rescue WORD.
 */

#ifndef REMAPCTL_RESCUE_H
#define REMAPCTL_RESCUE_H

#include "options.h"

extern int command_rescue (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_RESCUE_H */
