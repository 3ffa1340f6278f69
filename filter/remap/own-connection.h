/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The filter's own connection to main, for requests that no client has made.
 * They share one, which is opened when it is first needed, and keep to what
 * the plugin's thread model allows (promise 19 of remap-promises(7)).
 *
 * Any thread may call these functions, except where it says so.
 */

#ifndef REMAP_OWN_CONNECTION_H
#define REMAP_OWN_CONNECTION_H

#include "base/message.h"
#include "engine/engine.h"
#include "remap.h"

/* In get_ready; REMAP's thread model is known.  SERIALIZED: the plugin isn't
 * fully parallel.  Returns NULL after nbdkit_error.
 */
extern struct own_connection *own_new (const struct remap *remap,
                                       bool serialized);

/* In after_fork.  REMAP's engine must be there before own_get_main is
 * called.
 */
extern void own_start (struct own_connection *own, nbdkit_backend *backend);

/* A client's connection begins: waits until the plugin's only connection is
 * free.  And ends, in full.
 */
extern void own_client_comes (struct own_connection *own, bool readonly);

/* What the plugin says of a connection that was opened for writing: can it? */
extern void own_note_can_write (struct own_connection *own, bool can_write);

extern void own_client_went (struct own_connection *own);

/* Main, for one request, which may write to it if WRITE is set; own_put_main
 * follows.  Returns 0, or an errno with MESSAGE set.
 */
extern int own_get_main (struct own_connection *own, bool write,
                         struct engine_conn **conn, struct message *message);
extern void own_put_main (struct own_connection *own);

/* A client waits for the plugin's only connection: give main back soon. */
extern bool own_main_is_wanted (struct own_connection *own);

/* Is it allowed to open main for writing, as far as is known? */
extern bool own_may_write (struct own_connection *own);

/* Is it certain, or as good as certain, that no client can write? */
extern bool own_is_read_only (struct own_connection *own);

/* Closes the connection, while the layers below still stand.  No request is
 * left.
 */
extern void own_stop (struct own_connection *own);

/* After that, when all clients have gone. */
extern void own_free (struct own_connection *own);

#endif /* REMAP_OWN_CONNECTION_H */
