/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A socket that two processes have listens until both have closed it, or
 * one of them shuts it down: that acts on the socket, not on the descriptor.
 * From then on connections are refused; those that are in its queue (of a
 * Unix socket) still are, and end by being accepted and closed.
 */

#include <config.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listeners.h"

static bool
listens (int fd)
{
  int on = 0;
  socklen_t len = sizeof on;

  return getsockopt (fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

static void
close_for_all (int fd)
{
  int peer;

  shutdown (fd, SHUT_RDWR);
  /* When the queue is empty nothing more comes: this mustn't wait. */
  if (fcntl (fd, F_SETFL, O_NONBLOCK) == -1)
    return;
  while ((peer = accept4 (fd, NULL, NULL, SOCK_CLOEXEC)) != -1)
    close (peer);
}

void
listeners_close_for_all (void)
{
  DIR *dir = opendir ("/proc/self/fd");
  struct dirent *d;

  if (dir == NULL)
    return;
  while ((d = readdir (dir)) != NULL) {
    const int fd = atoi (d->d_name);

    if (d->d_name[0] != '.' && listens (fd))
      close_for_all (fd);
  }
  closedir (dir);
}
