/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Main, for requests that no client has made: all of them share one context
 * of their own, which is opened when it is needed first.
 *
 * nbdkit keeps a plugin's thread model for clients, but doesn't see what is
 * done here (promise 19 of remap-promises(7)):
 *
 *   parallel               nothing to do
 *   serialize requests     one at a time on each connection: on ours, a
 *                          lock of its own sees to that
 *   serialize all          one at a time altogether: a lock around the calls
 *   requests               of all connections
 *   serialize connections  our context is open only while no client is
 *                          there, and as long as a request needs it; when
 *                          a client comes, the request ends early
 *
 * A read-only server must not open main for writing, but only a client's
 * connection is told whether it is one.  Before there is one, the command
 * line is looked at; who can't tell from that takes it for read-only.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remap.h"

pthread_mutex_t *all_requests_lock;

static pthread_mutex_t all_requests = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t our_requests = PTHREAD_MUTEX_INITIALIZER;
static bool serialized;         /* not parallel */
static nbdkit_backend *backend;

static atomic_bool writable;    /* the server isn't read-only, for certain */
static atomic_uint clients_waiting;

/* Guards all that follows. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned users;
static unsigned clients;        /* counted if there can be only one */
static nbdkit_next *context;    /* NULL: not open */
static bool context_writable;   /* opened for writing */
static bool conn_known;
static struct connection connection;

/* Does this word of a command line say -r?  SKIP is set if the next word is
 * the value of an option.
 */
static bool
says_read_only (const char *word, bool *skip)
{
  static const char with_value[] = "DegipPtuU";

  *skip = false;
  if (strncmp (word, "--", 2) == 0)
    return strncmp (word, "--r", 3) == 0 && strncmp (word, "--ru", 4) != 0;
  if (word[0] != '-')
    return false;
  for (word++; *word; word++) {
    if (*word == 'r')
      return true;
    if (strchr (with_value, *word)) {
      *skip = word[1] == '\0';
      return false;
    }
  }
  return false;
}

/* The command line, as one string after the other. */
static char *
read_command_line (size_t *len)
{
  size_t size = 0;
  char *text = NULL, *p;
  ssize_t r = -1;
  int fd = open ("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

  *len = 0;
  if (fd == -1)
    return NULL;
  do {
    if (*len + 1 >= size) {
      size = size ? 2 * size : 4096;
      p = realloc (text, size);
      if (p == NULL)
        break;
      text = p;
    }
    r = read (fd, text + *len, size - 1 - *len);
    if (r > 0)
      *len += r;
  } while (r > 0);
  close (fd);
  if (r != 0) {
    free (text);
    return NULL;
  }
  text[*len] = '\0';
  return text;
}

void
background_config_complete (void)
{
  size_t len, i;
  bool read_only = false, skip = false;
  char *text;

  if (config.control_path == NULL || config.lost_zero)
    return;
  text = read_command_line (&len);
  if (text == NULL || len == 0) {
    free (text);
    return;
  }
  for (i = strlen (text) + 1; i < len; i += strlen (text + i) + 1) {
    if (skip)
      skip = false;
    else if (says_read_only (text + i, &skip))
      read_only = true;
  }
  free (text);
  atomic_store (&writable, !read_only);
}

void
background_get_ready (int thread_model)
{
  serialized = thread_model < NBDKIT_THREAD_MODEL_PARALLEL;
  if (config.control_path &&
      thread_model == NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS)
    all_requests_lock = &all_requests;
}

void
background_start (nbdkit_backend *b)
{
  backend = b;
}

/* The mutex is held, and nobody uses it. */
static void
close_context (void)
{
  if (context == NULL)
    return;
  lock_below (all_requests_lock);
  context->finalize (context);
  nbdkit_next_context_close (context);
  unlock_below (all_requests_lock);
  context = NULL;
}

void
background_client_comes (bool readonly)
{
  if (!readonly)
    atomic_store (&writable, true);
  if (!one_connection_only)
    return;
  pthread_mutex_lock (&mutex);
  atomic_fetch_add (&clients_waiting, 1);
  while (users > 0)
    pthread_cond_wait (&cond, &mutex);
  atomic_fetch_sub (&clients_waiting, 1);
  close_context ();
  clients++;
  pthread_mutex_unlock (&mutex);
}

void
background_client_went (void)
{
  if (!one_connection_only)
    return;
  pthread_mutex_lock (&mutex);
  clients--;
  pthread_mutex_unlock (&mutex);
}

bool
background_main_is_wanted (void *opaque)
{
  return atomic_load (&clients_waiting) > 0;
}

static int
open_context (void)
{
  bool write = atomic_load (&writable);
  int r = -1;

  connection.backend = backend;
  connection.lock = all_requests_lock ? all_requests_lock
    : serialized ? &our_requests : NULL;
  lock_below (all_requests_lock);
  context = nbdkit_next_context_open (backend, !write, "", 1);
  if (context) {
    r = context->prepare (context);
    if (r == 0) {
      r = connection_prepare (&connection, context, !write);
      if (r == 0 && context->get_size (context) !=
          (int64_t) engine_main_size (engine))
        r = -1;
      if (r == -1)
        context->finalize (context);
    }
    if (r == -1) {
      nbdkit_next_context_close (context);
      context = NULL;
    }
  }
  unlock_below (all_requests_lock);
  if (r == -1)
    return -1;

  context_writable = write;
  if (!conn_known)
    connection_init (&connection);
  conn_known = true;
  return 0;
}

/* The mutex is held. */
static int
get_main (bool write, struct message *message)
{
  if (write && config.lost_zero) {
    message_set (message, "remap-lost=zero makes the server read-only: main "
                 "is never written");
    return EROFS;
  }
  if (write && !atomic_load (&writable)) {
    message_set (message, "the server is read-only: main is never written");
    return EROFS;
  }
  if (one_connection_only && clients > 0) {
    message_set (message, "a client is connected, and the plugin serves one "
                 "connection at a time: try again when it has gone");
    return EBUSY;
  }
  /* What was opened too early for that can't write. */
  if (write && context && !context_writable) {
    if (users > 0) {
      message_set (message, "another request reads from main: try again when "
                   "it has ended");
      return EBUSY;
    }
    close_context ();
  }
  if (context == NULL && open_context () == -1) {
    message_set (message, "main can't be opened, or has another size than "
                 "before: nbdkit's messages say more");
    return EIO;
  }
  if (write && !connection.can_write) {
    message_set (message, "the plugin can't write to main");
    return EROFS;
  }
  return 0;
}

int
background_get_main (void *opaque, bool write, struct engine_conn **conn,
                     struct message *message)
{
  int err;

  pthread_mutex_lock (&mutex);
  err = get_main (write, message);
  if (err == 0) {
    users++;
    *conn = &connection.conn;
  }
  pthread_mutex_unlock (&mutex);
  return err;
}

void
background_put_main (void *opaque)
{
  pthread_mutex_lock (&mutex);
  users--;
  if (users == 0 && one_connection_only) {
    close_context ();
    pthread_cond_broadcast (&cond);
  }
  pthread_mutex_unlock (&mutex);
}

void
background_stop (void)
{
  pthread_mutex_lock (&mutex);
  close_context ();
  pthread_mutex_unlock (&mutex);
}
