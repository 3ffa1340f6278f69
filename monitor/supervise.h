/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Runs one program of events.d for one message, under a process that ends it
 * with all of its own processes when its time is over, and that survives the
 * monitor.
 */

#ifndef REMAP_MONITOR_SUPERVISE_H
#define REMAP_MONITOR_SUPERVISE_H

#include <stdbool.h>
#include <sys/types.h>

#include "store.h"

#define SUPERVISE_DONE "done\n"

struct supervised {
  pid_t pid;
  int pidfd;                            /* readable when it has ended */
};

/* Starts PATH, which gets A in its environment (REMAP_*) and on stdin.  If it
 * ends with status 0 in time, SUPERVISE_DONE is written to MARKER (-1: nobody
 * wants that), which stays open in the process that watches over it.  False
 * after a message.
 */
extern bool supervise_start (const char *path, const struct stored_alert *a,
                             unsigned timeout, int marker,
                             struct supervised *p);

/* It has ended: did it succeed?  Otherwise *WHY is why not, as text that
 * lives until the next call.
 */
extern bool supervise_end (struct supervised *p, const char **why);

#endif /* REMAP_MONITOR_SUPERVISE_H */
