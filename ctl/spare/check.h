/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The check command: verifies everything of a spare that can be verified, in
 * the order in which one thing rests on another.  Nothing is written, and
 * nothing is taken from the page cache.
 */

#ifndef REMAPCTL_SPARE_CHECK_H
#define REMAPCTL_SPARE_CHECK_H

#include "options.h"

/* Returns an exit status of its own: 0 sound, 1 damaged, 2 unusable, 3 not
 * looked at.
 */
extern int command_check (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_SPARE_CHECK_H */
