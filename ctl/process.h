/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The process of a server that create has started.
 */

#ifndef REMAPCTL_PROCESS_H
#define REMAPCTL_PROCESS_H

/* The process of the server NAME, as its pid file says; 0 if it isn't
 * running.  A process that has got the number of a server that was killed
 * isn't taken for it.
 */
extern long server_pid (const char *name);

/* Sends SIGTERM to the process and waits for its end.  Returns 0, also if it
 * has ended before, or an errno: ETIMEDOUT after 60 seconds.
 */
extern int server_end (long pid, const char *name);

#endif /* REMAPCTL_PROCESS_H */
