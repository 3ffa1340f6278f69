/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Running nbdkit.  No shell is involved.
 */

#ifndef REMAPCTL_CREATE_NBDKIT_H
#define REMAPCTL_CREATE_NBDKIT_H

#include <stdbool.h>
#include <sys/types.h>

/* Starts nbdkit in a session of its own, with its output to the descriptor
 * LOG.  *PIDFD, which the caller closes, shows its end.  Returns 0, or the
 * errno of what failed.
 */
extern int nbdkit_start (char **argv, int log, pid_t *pid, int *pidfd);

/* Is the direct plugin installed? */
extern bool nbdkit_has_direct (void);

#endif /* REMAPCTL_CREATE_NBDKIT_H */
