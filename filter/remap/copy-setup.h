/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The copy of a server, rescue=PATH: found, judged, attached, and its keeper
 * (promises 25 to 32 of remap-promises(7)).  It owns the file or device.
 *
 * Nothing is written to what is there before it is known to be the copy, or to
 * hold nothing, or its owner has said that it may go.
 */

#ifndef REMAP_COPY_SETUP_H
#define REMAP_COPY_SETUP_H

#include "base/message.h"
#include "engine/engine.h"
#include "spare/spare.h"
#include "parameters.h"

struct copy_setup;

/* Opens the copy at PATH, and compares it with what the spare knows (SPARE:
 * NULL, there is none yet).  CONFIG must live as long.  Returns 0, or an errno
 * with MESSAGE set; then nothing has changed.
 */
extern int copy_setup_open (struct copy_setup **made,
                            const struct remap_config *config,
                            const char *path, struct spare *spare,
                            const struct map *map, struct message *message);

/* Without rescue=: is that possible with this spare?  Returns 0, or EINVAL with
 * MESSAGE set.
 */
extern int copy_setup_check_none (const struct remap_config *config,
                                  struct spare *spare, const struct map *map,
                                  struct message *message);

/* Main has so many bytes: is the copy large enough?  A new file gets its size.
 * Writes nothing to the spare.  Returns 0, or an errno with MESSAGE set.
 */
extern int copy_setup_check_size (struct copy_setup *c, uint64_t main_size,
                                  struct message *message);

/* Bytes that are written to it at once. */
extern uint32_t copy_setup_block (const struct copy_setup *c);

/* The spare has been started: it notes which copy it has; then the engine gets
 * it, after main was flushed, and a thread begins.  MAIN_CONN: for this call.
 * Returns 0, or an errno with MESSAGE set.
 */
extern int copy_setup_attach (struct copy_setup *c, struct spare *spare,
                              const struct map *map,
                              struct engine_conn *main_conn,
                              struct message *message);

/* The end, when no request comes any more: all is recorded.  Does nothing if
 * it wasn't attached, or has ended.
 */
extern void copy_setup_end (struct copy_setup *c);

/* Closes; a file that was created and wasn't attached is removed.  C may be
 * NULL.
 */
extern void copy_setup_free (struct copy_setup *c);

#endif /* REMAP_COPY_SETUP_H */
