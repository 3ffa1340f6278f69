/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Asks the servers: one connection to each waits for events, another one asks
 * for the status, for the counts that the picture is made of, and to hold up
 * background work while the disk is hot.  No call
 * waits for a server, and what a server says is limited in length, in number
 * and in rate, whatever it is that listens there.
 * (Promise 39 of remap-promises(7).)
 */

#ifndef REMAP_MONITOR_FOLLOW_H
#define REMAP_MONITOR_FOLLOW_H

#include <poll.h>

#include "settings.h"
#include "watched.h"

/* Cells of the picture. */
#define MAP_CELLS 4096

/* What poll is to wait for: up to two descriptors; returns how many. */
extern unsigned follow_fds (const struct watched *w, struct pollfd *p);

/* Does what can be done at NOW: takes what has come, asks, gives up.  Returns
 * when it wants to be called again, if nothing comes before that.
 */
extern uint64_t follow (struct watched *w, struct store *store,
                        const struct settings *set, uint64_t now);

/* Closes the connections and frees all. */
extern void follow_free (struct watched *w);

#endif /* REMAP_MONITOR_FOLLOW_H */
