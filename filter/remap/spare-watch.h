/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A thread that looks once a second whether the spare still is what it was, and
 * this server's, keeps its owner stamp fresh, and takes samples (promises 20
 * and 22 of remap-promises(7)).  It is one of its own, since the spare's disk
 * may let it wait: nobody who serves a client, nor who tells what happens,
 * waits with it.
 */

#ifndef REMAP_SPARE_WATCH_H
#define REMAP_SPARE_WATCH_H

struct engine;
struct spare_setup;
struct spare_watch;

/* In after_fork.  The spare has been started.  Returns NULL after
 * nbdkit_error.
 */
extern struct spare_watch *spare_watch_start (struct spare_setup *setup,
                                              struct engine *engine);

/* Ends the thread; WATCH may be NULL. */
extern void spare_watch_stop (struct spare_watch *watch);

#endif /* REMAP_SPARE_WATCH_H */
