/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The process of a server that create has started.
 */

#ifndef REMAPCTL_PROCESS_H
#define REMAPCTL_PROCESS_H

#include <stdbool.h>

/* The process of the server NAME, as its pid file says; 0 if it isn't
 * running.  A process that has got the number of a server that was killed
 * isn't taken for it.
 */
extern long server_pid (const char *name);

/* How a server is ended: from process_hold on no other process can be taken for
 * it.
 */
struct held_process {
  int fd;                               /* a pidfd; -1: it has ended */
};

/* Returns 0, or an errno. */
extern int process_hold (struct held_process *p, long pid, const char *name);

/* Sends it a signal.  Returns 0, also if it has ended, or an errno. */
extern int process_signal (const struct held_process *p, int signal);

/* Waits for its end, SECONDS at most: 0, or ETIMEDOUT. */
extern int process_await (const struct held_process *p, unsigned seconds);

extern void process_release (struct held_process *p);

/* The process that listens at the Unix socket PATH; 0: none does; -1: some
 * does, but its number isn't known.  False: this user can't connect to it.
 */
extern bool listener_pid (const char *path, long *pid);

/* What a process is called, in new memory; "" if that can't be seen. */
extern char *process_name (long pid);

#endif /* REMAPCTL_PROCESS_H */
