/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "exit-status.h"
#include "known.h"
#include "reply.h"
#include "rundir.h"
#include "text.h"

/* What a server takes at most, with the newline. */
#define MAX_REQUEST 4096

static bool
begin (struct connection *c, int *status, const char *fs, va_list args)
{
  char line[MAX_REQUEST], *why = NULL;
  bool ok;
  int n;

  *status = STATUS_NO_SERVER;
  n = vsnprintf (line, sizeof line, fs, args);
  if (n < 0 || n >= (int) sizeof line) {
    error ("the request is too long");
    return false;
  }
  ok = connection_send (c, line, &why);
  if (!ok)
    error ("%s", why);
  free (why);
  return ok;
}

static json_t *
finish (struct connection *c, int *status)
{
  char *why = NULL;
  json_t *reply = connection_receive (c, &why);

  *status = STATUS_NO_SERVER;
  if (reply != NULL)
    *status = json_is_true (json_object_get (reply, "ok")) ? STATUS_DONE
      : STATUS_REFUSED;
  else
    error ("%s", why);
  free (why);
  return reply;
}

/* A reply that says no becomes a message, and NULL. */
static json_t *
only_done (json_t *reply, int status)
{
  if (reply == NULL || status == STATUS_DONE)
    return reply;
  print_refusal (reply);
  json_decref (reply);
  return NULL;
}

/* Why none was chosen. */
static void
ask_which (const struct ctl *ctl)
{
  struct known *v;
  const size_t n = known_servers (&v);
  char *list = copy_text (""), *more;

  for (size_t i = 0; i < n; i++)
    if (v[i].pid != 0) {
      more = text_of ("%s%s%s", list, *list ? ", " : "", v[i].title);
      free (list);
      list = more;
    }
  error ("%s: which server? Say -s SOCKET or -n NAME, or set REMAP_CONTROL"
         "%s%s", ctl->command, *list ? "; there are: " : "", list);
  free (list);
  known_free (v, n);
}

void
client_guess (struct ctl *ctl)
{
  static char *guess;                   /* lives as long as the program */
  struct known *v, *only = NULL;
  size_t n, running = 0;

  if (ctl->name != NULL || ctl->socket != NULL)
    return;
  n = known_servers (&v);
  for (size_t i = 0; i < n; i++)
    if (v[i].pid != 0) {
      only = &v[i];
      running++;
    }
  if (running == 1)
    guess = copy_text (only->nbd ? only->title : only->control);
  if (running == 1 && only->nbd)
    ctl->name = guess;
  else if (running == 1)
    ctl->socket = guess;
  known_free (v, n);
}

/* Others than the server's user have the status socket: of a server that was
 * started in the same run-time directory, or of root's.  If there is none ERR
 * is returned, and *PATH stays.
 */
static int
try_status_socket (const struct ctl *ctl, int err, char **path,
                   struct connection **c)
{
  char *const paths[] = { public_path (ctl->name),
                          root_public_path (ctl->name) };
  int r = err;

  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
    if (r != 0 && paths[i] != NULL &&
        connection_open (paths[i], ctl->timeout, c) == 0) {
      free (*path);
      *path = paths[i];
      r = 0;
    }
    else
      free (paths[i]);
  return r;
}

struct connection *
client_open (const struct ctl *ctl, int *status)
{
  struct connection *c = NULL;
  char *path;
  int err;

  *status = STATUS_USAGE;
  if (ctl->name != NULL) {
    path = server_path (ctl->name, "ctl");
    if (path == NULL)
      return NULL;
  }
  else if (ctl->socket != NULL)
    path = copy_text (ctl->socket);
  else {
    ask_which (ctl);
    return NULL;
  }
  err = connection_open (path, ctl->timeout, &c);
  if ((err == EACCES || err == ENOENT) && ctl->name != NULL)
    err = try_status_socket (ctl, err, &path, &c);
  if (err) {
    error ("%s: %s", path, connection_why_not (err));
    *status = STATUS_NO_SERVER;
  }
  free (path);
  return c;
}

bool
client_begin_with (struct connection *c, int *status, int fd,
                   const char *line)
{
  char *why = NULL;

  if (connection_send_with (c, line, fd, &why))
    return true;
  error ("%s", why);
  free (why);
  *status = STATUS_NO_SERVER;
  return false;
}

bool
client_begin (struct connection *c, int *status, const char *fs, ...)
{
  va_list args;
  bool ok;

  va_start (args, fs);
  ok = begin (c, status, fs, args);
  va_end (args);
  return ok;
}

json_t *
client_finish (struct connection *c, int *status)
{
  json_t *reply = finish (c, status);

  return only_done (reply, *status);
}

json_t *
client_ask (struct connection *c, int *status, const char *fs, ...)
{
  va_list args;
  bool ok;

  va_start (args, fs);
  ok = begin (c, status, fs, args);
  va_end (args);
  return ok ? finish (c, status) : NULL;
}

json_t *
client_request (struct connection *c, int *status, const char *fs, ...)
{
  va_list args;
  bool ok;

  va_start (args, fs);
  ok = begin (c, status, fs, args);
  va_end (args);
  return ok ? client_finish (c, status) : NULL;
}

bool
client_main_size (struct connection *c, uint64_t *size, int *status)
{
  json_t *reply = client_request (c, status, "status");
  struct reader r = { .root = reply };

  if (reply == NULL)
    return false;
  *size = get_uint (&r, "main.size");
  json_decref (reply);
  if (r.bad)
    *status = STATUS_NO_SERVER;
  return !r.bad;
}
