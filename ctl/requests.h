/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Commands that are one request and one reply.
 */

#ifndef REMAPCTL_REQUESTS_H
#define REMAPCTL_REQUESTS_H

#include "options.h"

extern int command_background (struct ctl *ctl, int argc, char **argv);
extern int command_clear_stats (struct ctl *ctl, int argc, char **argv);
extern int command_ping (struct ctl *ctl, int argc, char **argv);
extern int command_set_auto_remap (struct ctl *ctl, int argc,
                                   char **argv);
extern int command_sync (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_REQUESTS_H */
