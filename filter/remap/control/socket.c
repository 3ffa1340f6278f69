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
make_address (const char *path, struct sockaddr_un *addr,
              struct message *message)
{
  memset (addr, 0, sizeof *addr);
  addr->sun_family = AF_UNIX;
  if (strlen (path) >= sizeof addr->sun_path) {
    message_set (message, "remap-control=%s: the path of a socket can have "
                 "%zu bytes, this one has %zu: choose a shorter one", path,
                 sizeof addr->sun_path - 1, strlen (path));
    return ENAMETOOLONG;
  }
  strcpy (addr->sun_path, path);
  return 0;
}

static int
new_socket (struct message *message)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd == -1)
    message_set (message, "remap-control: socket: %s", strerror (errno));
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
remove_stale (const struct sockaddr_un *addr, struct message *message)
{
  const char *path = addr->sun_path;
  struct stat st;
  int fd, err = 0;

  if (lstat (path, &st) == -1) {
    if (errno == ENOENT)
      return 0;
    err = errno;
    message_set (message, "remap-control=%s: %s", path, strerror (err));
    return err;
  }
  if (!S_ISSOCK (st.st_mode)) {
    message_set (message, "remap-control=%s: %s is in the way: it is left "
                 "alone; remove it, or choose another path", path,
                 kind_of (st.st_mode));
    return EEXIST;
  }
  fd = new_socket (message);
  if (fd == -1)
    return errno;
  if (connect (fd, (const struct sockaddr *) addr, sizeof *addr) == 0 ||
      errno == EAGAIN)
    err = EADDRINUSE;
  else if (errno != ECONNREFUSED)
    err = errno;
  close (fd);
  if (err == EADDRINUSE)
    message_set (message, "remap-control=%s: a server is listening at this "
                 "socket already: stop it, or choose another path", path);
  else if (err)
    message_set (message, "remap-control=%s: can't find out whether a server "
                 "uses this socket: %s", path, strerror (err));
  if (err)
    return err;
  if (unlink (path) == -1 && errno != ENOENT) {
    err = errno;
    message_set (message, "remap-control=%s: can't remove the socket of a "
                 "server that has gone: %s", path, strerror (err));
  }
  return err;
}

int
control_socket_open (struct control_socket *s, const char *path,
                     struct message *message)
{
  struct sockaddr_un addr;
  struct stat st;
  mode_t mask;
  int err, r;

  s->path = path;
  s->fd = -1;
  err = make_address (path, &addr, message);
  if (err == 0)
    err = remove_stale (&addr, message);
  if (err)
    return err;
  s->fd = new_socket (message);
  if (s->fd == -1)
    return errno;

  /* Never open to others, not even for a moment. */
  mask = umask (0177);
  r = bind (s->fd, (const struct sockaddr *) &addr, sizeof addr);
  err = r == -1 ? errno : 0;
  umask (mask);
  if (err) {
    message_set (message, "remap-control=%s: can't create the socket: %s",
                 path, strerror (err));
    close (s->fd);
    s->fd = -1;
    return err;
  }
  if (lstat (path, &st) == 0) {
    s->dev = st.st_dev;
    s->ino = st.st_ino;
  }
  if (listen (s->fd, BACKLOG) == -1) {
    err = errno;
    message_set (message, "remap-control=%s: listen: %s", path,
                 strerror (err));
    control_socket_close (s);
  }
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
