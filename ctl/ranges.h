/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Commands that are requests about a range of sectors.
 *
 * At a terminal a large range is requested in parts, so that the user sees how
 * far it has come; all of it is compared with the disk's size before anything
 * is changed.
 */

#ifndef REMAPCTL_RANGES_H
#define REMAPCTL_RANGES_H

#include "options.h"

extern int command_forget_lost (struct ctl *ctl, int argc, char **argv);
extern int command_remap (struct ctl *ctl, int argc, char **argv);
extern int command_retry (struct ctl *ctl, int argc, char **argv);
extern int command_unmap (struct ctl *ctl, int argc, char **argv);
extern int command_verify (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_RANGES_H */
