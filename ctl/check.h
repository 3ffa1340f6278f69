/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Exit statuses with --check.
 */

#ifndef REMAPCTL_CHECK_H
#define REMAPCTL_CHECK_H

#include "exit-status.h"

/* Of a health: STATUS_DONE, STATUS_DEGRADED or STATUS_CRITICAL, which is also
 * what one of a later version is that isn't known here.
 */
extern enum exit_status check_health (const char *health);

/* The worse of two: a server that doesn't answer may be anything, and so is
 * the worst.
 */
extern enum exit_status check_worse (enum exit_status a, enum exit_status b);

#endif /* REMAPCTL_CHECK_H */
