/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The events command: what a server has told, and what it tells from now on.
 */

#ifndef REMAPCTL_EVENTS_H
#define REMAPCTL_EVENTS_H

#include "options.h"

extern int command_events (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_EVENTS_H */
