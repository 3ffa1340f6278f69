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
#include "known.h"
#include "reply.h"
#include "rundir.h"
#include "text.h"

/* What a server takes at most, with the newline. */
#define MAX_REQUEST 4096

/* Far more than a server sends: a page of a table has 200 KB. */
#define MAX_REPLY (size_t) (16 << 20)

struct client {
  int fd;
  char *path;
  char *buf;                            /* LEN bytes were received */
  size_t len, cap;
  size_t seen;                          /* of LEN: there is no newline */
};

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

/* Is there a line?  *LEN is its length without the newline. */
static bool
have_line (struct client *c, size_t *len)
{
  const char *end = c->len > c->seen
    ? memchr (c->buf + c->seen, '\n', c->len - c->seen) : NULL;

  c->seen = c->len;
  if (end != NULL)
    *len = end - c->buf;
  return end != NULL;
}

/* Receives once, with FLAGS, unless there is a line.  Returns 1 if there is one
 * now, of *LEN bytes without its newline; 0 if not, and -1 with *WHY set.
 */
static int
receive_some (struct client *c, int flags, size_t *len, char **why)
{
  char *p;
  ssize_t r;

  if (have_line (c, len))
    return 1;
  if (c->len == MAX_REPLY) {
    *why = text_of ("%s: the reply is longer than %zu bytes: this is no "
                    "server of the remap filter", c->path, MAX_REPLY);
    return -1;
  }
  if (c->len == c->cap) {
    p = realloc (c->buf, c->cap ? c->cap * 2 : 65536);
    if (p == NULL) {
      *why = text_of ("out of memory");
      return -1;
    }
    c->buf = p;
    c->cap = c->cap ? c->cap * 2 : 65536;
  }
  r = recv (c->fd, c->buf + c->len, c->cap - c->len, flags);
  if (r == -1 && (errno == EINTR || (errno == EAGAIN && flags)))
    return 0;
  if (r == -1) {
    *why = text_of ("%s: %s", c->path, client_why_not (errno));
    return -1;
  }
  if (r == 0) {
    *why = text_of ("%s: the server ended the connection %s", c->path,
                    c->len ? "in the middle of a reply"
                    : "without a reply");
    return -1;
  }
  c->len += r;
  return have_line (c, len);
}

/* The line of LEN bytes with which the buffer begins. */
static json_t *
take_json (struct client *c, size_t len, char **why)
{
  json_error_t what;
  json_t *reply;

  /* jansson takes a NUL for the end.  (The connection is of no use now.) */
  if (memchr (c->buf, '\0', len) != NULL) {
    *why = text_of ("%s: the reply is not JSON, but binary: this is no server "
                    "of the remap filter", c->path);
    return NULL;
  }
  reply = json_loadb (c->buf, len, JSON_REJECT_DUPLICATES, &what);
  c->len -= len + 1;
  c->seen = 0;
  memmove (c->buf, c->buf + len + 1, c->len);
  if (reply == NULL) {
    *why = text_of ("%s: the reply is not JSON (%s): this is no server of the "
                    "remap filter", c->path, what.text);
    return NULL;
  }
  if (!json_is_object (reply) ||
      !json_is_boolean (json_object_get (reply, "ok"))) {
    *why = text_of ("%s: the reply does not say whether it is ok: this is no "
                    "server of the remap filter", c->path);
    json_decref (reply);
    return NULL;
  }
  return reply;
}

static json_t *
receive (struct client *c, char **why)
{
  size_t len;
  int r;

  do
    r = receive_some (c, 0, &len, why);
  while (r == 0);
  return r == 1 ? take_json (c, len, why) : NULL;
}

static bool
begin (struct client *c, int *status, const char *fs, va_list args)
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
  ok = client_send (c, line, &why);
  if (!ok)
    error ("%s", why);
  free (why);
  return ok;
}

static json_t *
finish (struct client *c, int *status)
{
  char *why = NULL;
  json_t *reply = receive (c, &why);

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

const char *
client_why_not (int err)
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

bool
client_send (struct client *c, const char *line, char **why)
{
  char *text = text_of ("%s\n", line);
  const int err = send_all (c->fd, text, strlen (text));

  free (text);
  if (err)
    *why = text_of ("%s: the request can't be sent: %s", c->path,
                    client_why_not (err));
  return err == 0;
}

json_t *
client_receive_some (struct client *c, char **why)
{
  size_t len;

  return receive_some (c, MSG_DONTWAIT, &len, why) == 1
    ? take_json (c, len, why) : NULL;
}

int
client_fd (const struct client *c)
{
  return c->fd;
}

int
client_try (const char *path, unsigned timeout, struct client **client)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  const struct timeval tv = { .tv_sec = timeout };
  struct client *c;
  int fd, err;

  if (*path == '\0')
    return ENOENT;
  if (strlen (path) >= sizeof addr.sun_path)
    return ENAMETOOLONG;
  strcpy (addr.sun_path, path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
               (timeout == CLIENT_NEVER_WAIT ? SOCK_NONBLOCK : 0), 0);
  if (fd == -1)
    return errno;
  if (timeout > 0 && timeout != CLIENT_NEVER_WAIT) {
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

/* Others than the server's user have the status socket: of a server that was
 * started in the same run-time directory, or of root's.  If there is none ERR
 * is returned, and *PATH stays.
 */
static int
try_status_socket (const struct ctl *ctl, int err, char **path,
                   struct client **c)
{
  char *const paths[] = { public_path (ctl->name),
                          root_public_path (ctl->name) };
  int r = err;

  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
    if (r != 0 && paths[i] != NULL &&
        client_try (paths[i], ctl->timeout, c) == 0) {
      free (*path);
      *path = paths[i];
      r = 0;
    }
    else
      free (paths[i]);
  return r;
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
    ask_which (ctl);
    return NULL;
  }
  err = client_try (path, ctl->timeout, &c);
  if ((err == EACCES || err == ENOENT) && ctl->name != NULL)
    err = try_status_socket (ctl, err, &path, &c);
  if (err) {
    error ("%s: %s", path, client_why_not (err));
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

bool
client_begin_with (struct client *c, int *status, int fd, const char *line)
{
  union {
    char buf[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control = { .buf = { 0 } };
  char first = *line;
  struct iovec iov = { &first, 1 };
  struct msghdr m = {
    .msg_iov = &iov, .msg_iovlen = 1,
    .msg_control = &control, .msg_controllen = sizeof control,
  };
  struct cmsghdr *h = CMSG_FIRSTHDR (&m);
  ssize_t r;

  h->cmsg_level = SOL_SOCKET;
  h->cmsg_type = SCM_RIGHTS;
  h->cmsg_len = CMSG_LEN (sizeof fd);
  memcpy (CMSG_DATA (h), &fd, sizeof fd);
  do
    r = sendmsg (c->fd, &m, MSG_NOSIGNAL);
  while (r == -1 && errno == EINTR);
  if (r != 1) {
    error ("%s: the request can't be sent: %s", c->path,
           client_why_not (errno));
    *status = STATUS_NO_SERVER;
    return false;
  }
  return client_begin (c, status, "%s", line + 1);  /* the rest of it */
}

bool
client_begin (struct client *c, int *status, const char *fs, ...)
{
  va_list args;
  bool ok;

  va_start (args, fs);
  ok = begin (c, status, fs, args);
  va_end (args);
  return ok;
}

json_t *
client_finish (struct client *c, int *status)
{
  json_t *reply = finish (c, status);

  return only_done (reply, *status);
}

json_t *
client_ask (struct client *c, int *status, const char *fs, ...)
{
  va_list args;
  bool ok;

  va_start (args, fs);
  ok = begin (c, status, fs, args);
  va_end (args);
  return ok ? finish (c, status) : NULL;
}

json_t *
client_request (struct client *c, int *status, const char *fs, ...)
{
  va_list args;
  bool ok;

  va_start (args, fs);
  ok = begin (c, status, fs, args);
  va_end (args);
  return ok ? client_finish (c, status) : NULL;
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
