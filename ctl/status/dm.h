/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Status in the words of dm-remap v2.0.
 */

#ifndef REMAPCTL_STATUS_DM_H
#define REMAPCTL_STATUS_DM_H

#include "status/parse.h"

/* Prints the status line that dmsetup would show of a device. */
extern void status_print_dm (const struct status *st);

#endif /* REMAPCTL_STATUS_DM_H */
