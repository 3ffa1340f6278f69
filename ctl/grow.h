/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The grow command: enlarges a spare, a server's or one that no server holds.
 */

#ifndef REMAPCTL_GROW_H
#define REMAPCTL_GROW_H

#include "options.h"

extern int command_grow (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_GROW_H */
