/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The control socket's place in the filesystem.
 */

#ifndef REMAP_CONTROL_SOCKET_H
#define REMAP_CONTROL_SOCKET_H

#include <sys/types.h>

#include "base/message.h"

struct control_socket {
  const char *path;             /* absolute; not owned */
  int fd;                       /* listens; -1: none */
  dev_t dev;                    /* of the socket that was made, */
  ino_t ino;                    /* to know it again */
};

/* Creates a socket at PATH, mode 0600, and listens.  Anything that is there
 * already is an error, unless it is a socket that no process listens at.
 * Returns 0 or an errno, with MESSAGE set.  Changes the umask for a moment:
 * so it must be called before there are threads.
 */
extern int control_socket_open (struct control_socket *s, const char *path,
                                struct message *message);

/* Closes, and removes the socket if it is still the one that was made. */
extern void control_socket_close (struct control_socket *s);

#endif /* REMAP_CONTROL_SOCKET_H */
