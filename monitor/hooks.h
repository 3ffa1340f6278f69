/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The programs of events.d, which tell people.  Each message is delivered to
 * each of them until it ends with status 0, in order, one at a time for each
 * program; one that hangs is ended.
 *
 * A program runs under a process of its own, which notes its success in a
 * file, and holds a lock on that file for as long as it runs.  So a monitor
 * that comes after one that was killed knows of each delivery whether it was
 * made, is under way, or has to be made again.
 * (Promise 39 of remap-promises(7).)
 */

#ifndef REMAP_MONITOR_HOOKS_H
#define REMAP_MONITOR_HOOKS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "settings.h"
#include "store.h"

/* At a time. */
#define MAX_HOOKS_RUNNING 8

struct hooks;

/* Finds what an earlier monitor has left.  SET and STORE stay the caller's. */
extern struct hooks *hooks_new (const struct settings *set,
                                struct store *store);

/* Those that run go on. */
extern void hooks_free (struct hooks *h);

/* The names of the programs that there are now: a list that ends with NULL,
 * which hooks_free_names frees.
 */
extern char **hooks_names (const struct settings *set, size_t *n);
extern void hooks_free_names (char **names);

/* What poll is to wait for: up to MAX_HOOKS_RUNNING descriptors. */
extern unsigned hooks_fds (const struct hooks *h, struct pollfd *p);

/* Takes the results of those that have ended, and starts what is due at NOW
 * (clock_now_ms).  Returns when it wants to be called again, if none ends
 * before that.
 */
extern uint64_t hooks_run (struct hooks *h, uint64_t now);

/* Delivers A to all programs at once, waits for them and says of each on
 * stdout how it went.  False: one has failed, or there is none.
 */
extern bool hooks_test (const struct settings *set,
                        const struct stored_alert *a);

#endif /* REMAP_MONITOR_HOOKS_H */
