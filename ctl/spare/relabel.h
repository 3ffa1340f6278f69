/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The relabel command: gives a spare to a copy of its disk.
 */

#ifndef REMAPCTL_SPARE_RELABEL_H
#define REMAPCTL_SPARE_RELABEL_H

#include "options.h"

extern int command_relabel (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_SPARE_RELABEL_H */
