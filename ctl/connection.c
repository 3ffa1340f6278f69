/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "connection.h"
#include "text.h"

/* Far more than a server sends: a page of a table has 200 KB. */
#define MAX_REPLY (size_t) (16 << 20)

struct connection {
  int fd;
  char *path;
  char *buf;                            /* LEN bytes were received */
  size_t len, cap;
  size_t seen;                          /* of LEN: there is no newline */
  size_t limit;                         /* of a reply */
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
have_line (struct connection *c, size_t *len)
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
receive_some (struct connection *c, int flags, size_t *len, char **why)
{
  char *p;
  ssize_t r;

  if (have_line (c, len))
    return 1;
  if (c->len >= c->limit) {
    *why = text_of ("%s: the reply is longer than %zu bytes: this is no "
                    "server of the remap filter", c->path, c->limit);
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
    *why = text_of ("%s: %s", c->path, connection_why_not (errno));
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
take_json (struct connection *c, size_t len, char **why)
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

const char *
connection_why_not (int err)
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

bool
connection_send (struct connection *c, const char *line, char **why)
{
  char *text = text_of ("%s\n", line);
  const int err = send_all (c->fd, text, strlen (text));

  free (text);
  if (err)
    *why = text_of ("%s: the request can't be sent: %s", c->path,
                    connection_why_not (err));
  return err == 0;
}

bool
connection_send_with (struct connection *c, const char *line, int fd,
                      char **why)
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
  if (r == 1)                           /* the rest of the line */
    return connection_send (c, line + 1, why);
  *why = text_of ("%s: the request can't be sent: %s", c->path,
                  connection_why_not (errno));
  return false;
}

json_t *
connection_receive_some (struct connection *c, char **why)
{
  size_t len;

  return receive_some (c, MSG_DONTWAIT, &len, why) == 1
    ? take_json (c, len, why) : NULL;
}

int
connection_fd (const struct connection *c)
{
  return c->fd;
}

int
connection_open (const char *path, unsigned timeout, struct connection **made)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  const struct timeval tv = { .tv_sec = timeout };
  struct connection *c;
  int fd, err;

  if (*path == '\0')
    return ENOENT;
  if (strlen (path) >= sizeof addr.sun_path)
    return ENAMETOOLONG;
  strcpy (addr.sun_path, path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
               (timeout == CONNECTION_NEVER_WAITS ? SOCK_NONBLOCK : 0), 0);
  if (fd == -1)
    return errno;
  if (timeout > 0 && timeout != CONNECTION_NEVER_WAITS) {
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
  c->limit = MAX_REPLY;
  *made = c;
  return 0;
}

void
connection_limit (struct connection *c, size_t bytes)
{
  c->limit = bytes;
}

json_t *
connection_receive (struct connection *c, char **why)
{
  size_t len;
  int r;

  do
    r = receive_some (c, 0, &len, why);
  while (r == 0);
  return r == 1 ? take_json (c, len, why) : NULL;
}

void
connection_close (struct connection *c)
{
  if (c == NULL)
    return;
  close (c->fd);
  free (c->buf);
  free (c->path);
  free (c);
}
