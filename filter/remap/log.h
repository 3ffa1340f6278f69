/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Events as lines of the log, for one thread at a time.
 *
 * They go where nbdkit's own messages go, each with its time, since nbdkit
 * prints none.  The journal knows the time, but not how grave it is: where
 * stderr leads there a line begins with its priority (sd-daemon(3)).
 */

#ifndef REMAP_LOG_H
#define REMAP_LOG_H

#include "engine/events.h"

/* Can a line be written at once?  Where that can't be known it is taken for
 * granted.  Whoever asks before each line never waits for the log (promise 38
 * of remap-promises(7)).
 */
extern bool log_is_ready (void);

/* Says nothing of events that an operator need not know of. */
extern void log_event (const struct event *e);

/* So many events came faster than the log takes them. */
extern void log_missed (uint64_t n);

#endif /* REMAP_LOG_H */
