/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "client.h"
#include "exit-status.h"
#include "reply.h"
#include "rundir.h"
#include "text.h"

/* Far more than a server sends: a page of a table has 200 KB. */
#define MAX_REPLY (size_t) (16 << 20)

struct client {
  int fd;
  char *path;
  char *buf;                            /* LEN bytes were received */
  size_t len, cap;
};

static const char *
why_not (int err)
{
  switch (err) {
  case ENOENT:
    return "there is no such socket: is the server running, with "
           "remap-control=?";
  case ECONNREFUSED:
    return "nobody listens there: the server isn't running any more";
  case EAGAIN:
    return "no answer in time";
  default:
    return strerror (err);
  }
}

static int
send_all (int fd, const char *s, size_t len)
{
  ssize_t r;

  while (len > 0) {
    r = send (fd, s, len, MSG_NOSIGNAL);
    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1)
      return errno;
    s += r;
    len -= r;
  }
  return 0;
}

/* Receives until there is a line.  Returns its length without the newline, or
 * -1 after a message.
 */
static ssize_t
receive_line (struct client *c)
{
  size_t seen = 0;
  char *end, *p;
  ssize_t r;

  for (;;) {
    end = c->len > seen ? memchr (c->buf + seen, '\n', c->len - seen) : NULL;
    if (end)
      return end - c->buf;
    seen = c->len;
    if (c->len == MAX_REPLY) {
      error ("%s: the reply is longer than %zu bytes: this is no server of "
             "the remap filter", c->path, MAX_REPLY);
      return -1;
    }
    if (c->len == c->cap) {
      c->cap = c->cap ? c->cap * 2 : 65536;
      p = realloc (c->buf, c->cap);
      if (p == NULL) {
        error ("out of memory");
        return -1;
      }
      c->buf = p;
    }
    r = recv (c->fd, c->buf + c->len, c->cap - c->len, 0);
    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1) {
      error ("%s: %s", c->path, why_not (errno));
      return -1;
    }
    if (r == 0) {
      error ("%s: the server ended the connection %s", c->path,
             c->len ? "in the middle of a reply" : "without a reply");
      return -1;
    }
    c->len += r;
  }
}

static json_t *
receive_json (struct client *c)
{
  ssize_t len = receive_line (c);
  json_error_t why;
  json_t *reply;

  if (len == -1)
    return NULL;
  /* jansson takes a NUL for the end. */
  if (memchr (c->buf, '\0', len) != NULL) {
    error ("%s: the reply is not JSON, but binary: this is no server of the "
           "remap filter", c->path);
    return NULL;
  }
  reply = json_loadb (c->buf, len, JSON_REJECT_DUPLICATES, &why);
  c->len -= len + 1;
  memmove (c->buf, c->buf + len + 1, c->len);
  if (reply == NULL) {
    error ("%s: the reply is not JSON (%s): this is no server of the remap "
           "filter", c->path, why.text);
    return NULL;
  }
  if (!json_is_object (reply) ||
      !json_is_boolean (json_object_get (reply, "ok"))) {
    error ("%s: the reply does not say whether it is ok: this is no server "
           "of the remap filter", c->path);
    json_decref (reply);
    return NULL;
  }
  return reply;
}

static json_t *
ask (struct client *c, int *status, const char *fs, va_list args)
{
  char line[512];
  json_t *reply;
  int err, n;

  *status = STATUS_NO_SERVER;
  n = vsnprintf (line, sizeof line - 1, fs, args);
  if (n < 0 || n >= (int) sizeof line - 1) {
    error ("the request is too long");
    return NULL;
  }
  line[n++] = '\n';
  err = send_all (c->fd, line, n);
  if (err) {
    error ("%s: the request can't be sent: %s", c->path, why_not (err));
    return NULL;
  }
  reply = receive_json (c);
  if (reply != NULL)
    *status = json_is_true (json_object_get (reply, "ok")) ? STATUS_DONE
      : STATUS_REFUSED;
  return reply;
}

int
client_try (const char *path, unsigned timeout, struct client **client)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  const struct timeval tv = { .tv_sec = timeout };
  struct client *c;
  int fd, err;

  if (strlen (path) >= sizeof addr.sun_path)
    return ENAMETOOLONG;
  strcpy (addr.sun_path, path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd == -1)
    return errno;
  if (timeout > 0) {
    setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
  }
  if (connect (fd, (struct sockaddr *) &addr, sizeof addr) == -1) {
    err = errno;
    close (fd);
    return err;
  }
  c = allocate (1, sizeof *c);
  c->fd = fd;
  c->path = copy_text (path);
  *client = c;
  return 0;
}

struct client *
client_open (const struct ctl *ctl, int *status)
{
  struct client *c = NULL;
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
    error ("%s: which server? Say -s SOCKET or -n NAME, or set "
           "REMAP_CONTROL", ctl->command);
    return NULL;
  }
  err = client_try (path, ctl->timeout, &c);
  if (err) {
    error ("%s: %s", path, why_not (err));
    *status = STATUS_NO_SERVER;
  }
  free (path);
  return c;
}

void
client_close (struct client *c)
{
  if (c == NULL)
    return;
  close (c->fd);
  free (c->buf);
  free (c->path);
  free (c);
}

json_t *
client_ask (struct client *c, int *status, const char *fs, ...)
{
  json_t *reply;
  va_list args;

  va_start (args, fs);
  reply = ask (c, status, fs, args);
  va_end (args);
  return reply;
}

json_t *
client_request (struct client *c, int *status, const char *fs, ...)
{
  json_t *reply;
  va_list args;

  va_start (args, fs);
  reply = ask (c, status, fs, args);
  va_end (args);
  if (reply == NULL || *status == STATUS_DONE)
    return reply;
  print_refusal (reply);
  json_decref (reply);
  return NULL;
}

bool
client_main_size (struct client *c, uint64_t *size, int *status)
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
