/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * nbdkit keeps a plugin's thread model for clients, but doesn't see what is
 * done here (promise 19 of remap-promises(7)):
 *
 *   parallel               nothing to do
 *   serialize requests     one at a time on each connection: on ours, a
 *                          lock of its own sees to that
 *   serialize all          one at a time altogether: a lock around the calls
 *   requests               of all connections
 *   serialize connections  our connection is open only while no client is
 *                          there, and as long as a request needs it; when
 *                          a client comes, the request ends early
 *
 * A read-only server must not open main for writing, but only a client's
 * connection is told whether it is one.  Before there is one, the command
 * line is looked at; if that can't be read, the server is taken for
 * read-only.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "command-line.h"
#include "next.h"
#include "own-connection.h"

struct own_connection {
  const struct remap *remap;
  nbdkit_backend *backend;
  bool serialized;              /* not parallel */
  pthread_mutex_t our_requests; /* one at a time, if it is serialized */

  atomic_bool writable;         /* the server isn't read-only, for certain */
  atomic_bool plugin_refuses;   /* the plugin can't write to main */
  atomic_uint clients_waiting;

  /* Guards all that follows; COND is signalled when USERS becomes 0. */
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  unsigned users;               /* requests that have main */
  unsigned clients;             /* counted if there can be only one */
  nbdkit_next *context;         /* NULL: not open */
  bool context_writable;        /* opened for writing */
  bool conn_known;              /* CONNECTION has been initialised */
  struct connection connection;
};

/* The mutex is held, and nobody uses the connection. */
static void
close_context (struct own_connection *own)
{
  pthread_mutex_t *lock = own->remap->all_requests_lock;

  if (own->context == NULL)
    return;
  lock_below (lock);
  own->context->finalize (own->context);
  nbdkit_next_context_close (own->context);
  unlock_below (lock);
  own->context = NULL;
}

/* The mutex is held. */
static int
open_context (struct own_connection *own)
{
  const struct remap *remap = own->remap;
  const bool write = atomic_load (&own->writable) && remap->copy == NULL;
  nbdkit_next *context;
  int r = -1;

  if (!own->conn_known)
    connection_init (&own->connection, remap, own->backend,
                     remap->all_requests_lock ? remap->all_requests_lock
                     : own->serialized ? &own->our_requests : NULL);
  own->conn_known = true;

  lock_below (remap->all_requests_lock);
  context = nbdkit_next_context_open (own->backend, !write, "", 1);
  if (context) {
    r = context->prepare (context);
    if (r == 0) {
      r = connection_prepare (&own->connection, context, !write);
      if (r == 0 && context->get_size (context) !=
          (int64_t) engine_main_size (remap->engine))
        r = -1;
      if (r == -1)
        context->finalize (context);
    }
    if (r == -1)
      nbdkit_next_context_close (context);
  }
  unlock_below (remap->all_requests_lock);
  if (r == -1)
    return -1;

  own->context = context;
  own->context_writable = write;
  return 0;
}

/* The mutex is held. */
static int
get_main (struct own_connection *own, bool write, struct message *message)
{
  if (write && own->remap->config.lost_zero) {
    message_set (message, "remap-lost=zero makes the server read-only: main "
                 "is never written");
    return EROFS;
  }
  if (write && !atomic_load (&own->writable)) {
    message_set (message, "the server is read-only: main is never written");
    return EROFS;
  }
  /* What would be written goes to the copy. */
  write = write && own->remap->copy == NULL;
  if (own->remap->one_connection_only && own->clients > 0) {
    message_set (message, "a client is connected, and the plugin serves one "
                 "connection at a time: try again when it has gone");
    return EBUSY;
  }
  /* What was opened before the server was known to be writable can't
   * write.
   */
  if (write && own->context && !own->context_writable) {
    if (own->users > 0) {
      message_set (message, "another request reads from main: try again when "
                   "it has ended");
      return EBUSY;
    }
    close_context (own);
  }
  if (own->context == NULL && open_context (own) == -1) {
    message_set (message, "main can't be opened, or has another size than "
                 "before: nbdkit's messages say more");
    return EIO;
  }
  if (write && !own->connection.can_write) {
    message_set (message, "the plugin can't write to main");
    return EROFS;
  }
  return 0;
}

struct own_connection *
own_new (const struct remap *remap, bool serialized)
{
  struct own_connection *own = calloc (1, sizeof *own);

  if (own == NULL) {
    nbdkit_error ("calloc: %m");
    return NULL;
  }
  own->remap = remap;
  own->serialized = serialized;
  pthread_mutex_init (&own->our_requests, NULL);
  pthread_mutex_init (&own->mutex, NULL);
  pthread_cond_init (&own->cond, NULL);
  if ((remap->config.control_path || remap->config.status_path) &&
      !remap->config.lost_zero)
    atomic_init (&own->writable, command_line_is_read_only () == 0);
  return own;
}

void
own_start (struct own_connection *own, nbdkit_backend *backend)
{
  own->backend = backend;
}

void
own_client_comes (struct own_connection *own, bool readonly)
{
  if (!readonly)
    atomic_store (&own->writable, true);
  if (!own->remap->one_connection_only)
    return;
  pthread_mutex_lock (&own->mutex);
  atomic_fetch_add (&own->clients_waiting, 1);
  while (own->users > 0)
    pthread_cond_wait (&own->cond, &own->mutex);
  atomic_fetch_sub (&own->clients_waiting, 1);
  close_context (own);
  own->clients++;
  pthread_mutex_unlock (&own->mutex);
}

void
own_note_can_write (struct own_connection *own, bool can_write)
{
  atomic_store (&own->plugin_refuses, !can_write);
}

void
own_client_went (struct own_connection *own)
{
  if (!own->remap->one_connection_only)
    return;
  pthread_mutex_lock (&own->mutex);
  own->clients--;
  pthread_mutex_unlock (&own->mutex);
}

int
own_get_main (struct own_connection *own, bool write,
              struct engine_conn **conn, struct message *message)
{
  int err;

  pthread_mutex_lock (&own->mutex);
  err = get_main (own, write, message);
  if (err == 0) {
    own->users++;
    *conn = &own->connection.conn;
  }
  pthread_mutex_unlock (&own->mutex);
  return err;
}

void
own_put_main (struct own_connection *own)
{
  pthread_mutex_lock (&own->mutex);
  own->users--;
  if (own->users == 0 && own->remap->one_connection_only) {
    close_context (own);
    pthread_cond_broadcast (&own->cond);
  }
  pthread_mutex_unlock (&own->mutex);
}

bool
own_main_is_wanted (struct own_connection *own)
{
  return atomic_load (&own->clients_waiting) > 0;
}

bool
own_may_write (struct own_connection *own)
{
  return !own->remap->config.lost_zero && atomic_load (&own->writable);
}

bool
own_is_read_only (struct own_connection *own)
{
  return !own_may_write (own) || atomic_load (&own->plugin_refuses);
}

void
own_stop (struct own_connection *own)
{
  pthread_mutex_lock (&own->mutex);
  close_context (own);
  pthread_mutex_unlock (&own->mutex);
}

void
own_free (struct own_connection *own)
{
  pthread_cond_destroy (&own->cond);
  pthread_mutex_destroy (&own->mutex);
  pthread_mutex_destroy (&own->our_requests);
  free (own);
}
