/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What remapctl ends with.  Each command returns one of these; check and
 * create have statuses of their own, which are in their units.
 */

#ifndef REMAPCTL_EXIT_STATUS_H
#define REMAPCTL_EXIT_STATUS_H

enum exit_status {
  STATUS_DONE = 0,
  STATUS_REFUSED = 1,      /* the server says no, or it can't be done */
  STATUS_USAGE = 2,
  STATUS_NO_SERVER = 3,    /* none, or none that can be understood */

  /* With --check. */
  STATUS_DEGRADED = 10,    /* or bad sectors were found */
  STATUS_CRITICAL = 11,    /* or main is lost */
};

#endif /* REMAPCTL_EXIT_STATUS_H */
