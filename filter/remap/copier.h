/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The thread that copies main in order when it is told to, and when nobody is
 * in its way (promise 33 of remap-promises(7)).  It borrows the filter's own
 * connection for one request at a time.
 *
 * Any thread may call these functions, except where it says so.
 */

#ifndef REMAP_COPIER_H
#define REMAP_COPIER_H

#include "control/target.h"
#include "engine/engine.h"

struct copier_thread;
struct own_connection;

/* HELD says whether work that nobody waits for is held up; may be NULL.  RATE:
 * bytes a second at most; 0: no limit.  Returns NULL after nbdkit_error.
 */
extern struct copier_thread *copier_start (struct engine *engine,
                                           struct own_connection *own,
                                           uint64_t rate,
                                           bool (*held) (void *opaque),
                                           void *opaque);

/* Copies from there on, and nothing else any more. */
extern void copier_copy (struct copier_thread *c, sector_t start,
                         uint64_t count);
extern void copier_pause (struct copier_thread *c, bool pause);
extern void copier_get_status (struct copier_thread *c,
                               struct control_copier *st);

/* Ends the thread; what the others do has no effect from then on.  C may be
 * NULL, and for copier_free, which no other thread's call may meet.
 */
extern void copier_stop (struct copier_thread *c);
extern void copier_free (struct copier_thread *c);

#endif /* REMAP_COPIER_H */
