/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/socket.h"

#define BACKLOG 128

static int
make_address (const struct control_socket *s, struct sockaddr_un *addr,
              struct message *message)
{
  const char *path = s->path;

  memset (addr, 0, sizeof *addr);
  addr->sun_family = AF_UNIX;
  if (strlen (path) >= sizeof addr->sun_path) {
    message_set (message, "%s=%s: the path of a socket can have %zu bytes, "
                 "this one has %zu: choose a shorter one", s->parameter, path,
                 sizeof addr->sun_path - 1, strlen (path));
    return ENAMETOOLONG;
  }
  strcpy (addr->sun_path, path);
  return 0;
}

static int
new_socket (const struct control_socket *s, struct message *message)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd == -1)
    message_set (message, "%s: socket: %s", s->parameter, strerror (errno));
  return fd;
}

static const char *
kind_of (mode_t mode)
{
  return S_ISLNK (mode) ? "a symbolic link"
    : S_ISREG (mode) ? "a file"
    : S_ISDIR (mode) ? "a directory" : "something that is no socket";
}

/* What is at the path must be a socket whose server has gone: it is
 * removed.
 */
static int
remove_stale (const struct control_socket *s, const struct sockaddr_un *addr,
              struct message *message)
{
  const char *path = s->path, *parameter = s->parameter;
  struct stat st;
  int fd, err = 0;

  if (lstat (path, &st) == -1) {
    if (errno == ENOENT)
      return 0;
    err = errno;
    message_set (message, "%s=%s: %s", parameter, path, strerror (err));
    return err;
  }
  if (!S_ISSOCK (st.st_mode)) {
    message_set (message, "%s=%s: %s is in the way: it is left alone; remove "
                 "it, or choose another path", parameter, path,
                 kind_of (st.st_mode));
    return EEXIST;
  }
  fd = new_socket (s, message);
  if (fd == -1)
    return errno;
  if (connect (fd, (const struct sockaddr *) addr, sizeof *addr) == 0 ||
      errno == EAGAIN)
    err = EADDRINUSE;
  else if (errno != ECONNREFUSED)
    err = errno;
  close (fd);
  if (err == EADDRINUSE)
    message_set (message, "%s=%s: a server is listening at this socket "
                 "already: stop it, or choose another path", parameter, path);
  else if (err)
    message_set (message, "%s=%s: can't find out whether a server uses this "
                 "socket: %s", parameter, path, strerror (err));
  if (err)
    return err;
  if (unlink (path) == -1 && errno != ENOENT) {
    err = errno;
    message_set (message, "%s=%s: can't remove the socket of a server that "
                 "has gone: %s", parameter, path, strerror (err));
  }
  return err;
}

/* Gives it to GROUP.  A socket that somebody has put in its place meanwhile is
 * no other's: whoever can do that owns the directory.
 */
static int
give_to_group (const struct control_socket *s, gid_t group,
               struct message *message)
{
  int err;

  if (lchown (s->path, -1, group) == 0)
    return 0;
  err = errno;
  message_set (message, "%s=%s: can't be given to the group %u: %s: whoever "
               "runs the server must be a member of it, or root", s->parameter,
               s->path, (unsigned) group, strerror (err));
  return err;
}

/* Never open to others, not even for a moment. */
static int
bind_socket (struct control_socket *s, const struct sockaddr_un *addr,
             bool shared, struct message *message)
{
  const mode_t mask = umask (shared ? 0117 : 0177);
  const int r = bind (s->fd, (const struct sockaddr *) addr, sizeof *addr);
  const int err = r == -1 ? errno : 0;
  struct stat st;

  umask (mask);
  if (err) {
    message_set (message, "%s=%s: can't create the socket: %s", s->parameter,
                 s->path, strerror (err));
    close (s->fd);
    s->fd = -1;
  }
  else if (lstat (s->path, &st) == 0) {
    s->dev = st.st_dev;
    s->ino = st.st_ino;
  }
  return err;
}

int
control_socket_open (struct control_socket *s, const char *parameter,
                     const char *path, bool shared, gid_t group,
                     struct message *message)
{
  struct sockaddr_un addr;
  int err;

  s->parameter = parameter;
  s->path = path;
  s->fd = -1;
  err = make_address (s, &addr, message);
  if (err == 0)
    err = remove_stale (s, &addr, message);
  if (err)
    return err;
  s->fd = new_socket (s, message);
  if (s->fd == -1)
    return errno;
  err = bind_socket (s, &addr, shared, message);
  if (err)
    return err;
  if (shared && group != CONTROL_NO_GROUP)
    err = give_to_group (s, group, message);
  if (err == 0 && listen (s->fd, BACKLOG) == -1) {
    err = errno;
    message_set (message, "%s=%s: listen: %s", parameter, path,
                 strerror (err));
  }
  if (err)
    control_socket_close (s);
  return err;
}

void
control_socket_close (struct control_socket *s)
{
  struct stat st;

  if (s->fd == -1)
    return;
  if (lstat (s->path, &st) == 0 && st.st_dev == s->dev &&
      st.st_ino == s->ino && S_ISSOCK (st.st_mode))
    unlink (s->path);
  close (s->fd);
  s->fd = -1;
}
