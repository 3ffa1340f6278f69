/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A thread that looks after the engine once a second, and hands on what it
 * tells: to the log, and to whoever waits for news.  So nobody who serves a
 * client ever waits for the log (promise 38 of remap-promises(7)).
 */

#ifndef REMAP_TICKER_H
#define REMAP_TICKER_H

#include "engine/engine.h"
#include "engine/events.h"

/* In get_ready: makes the events, of which it is the owner.  Returns NULL
 * after nbdkit_error.
 */
extern struct ticker *ticker_new (void);

/* From now on, for any thread, until ticker_free. */
extern struct events *ticker_events (struct ticker *ticker);

/* In after_fork.  Calls LOOK before each look at the engine, and NEWS, which
 * must not block, when there are new events.  Returns 0, or -1 after
 * nbdkit_error.
 */
extern int ticker_start (struct ticker *ticker, struct engine *engine,
                         void (*look) (void *opaque),
                         void (*news) (void *opaque), void *opaque);

/* Ends the thread: nothing is called any more, and the engine isn't used.  May
 * be called at any time, and more than once.
 */
extern void ticker_stop (struct ticker *ticker);

/* Logs what has been told since; TICKER may be NULL. */
extern void ticker_free (struct ticker *ticker);

#endif /* REMAP_TICKER_H */
