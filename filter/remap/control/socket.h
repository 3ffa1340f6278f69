/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A socket's place in the filesystem.
 */

#ifndef REMAP_CONTROL_SOCKET_H
#define REMAP_CONTROL_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/message.h"

struct control_socket {
  const char *parameter;        /* whose value the path is, for messages */
  const char *path;             /* absolute; not owned */
  int fd;                       /* listens; -1: none */
  dev_t dev;                    /* of the socket that was made, */
  ino_t ino;                    /* to know it again */
};

/* The group is that of the server. */
#define CONTROL_NO_GROUP ((gid_t) -1)

/* Creates a socket at PATH, and listens.  Its mode is 0600; SHARED: 0660, and
 * its group GROUP, unless that is CONTROL_NO_GROUP.  Anything that is there
 * already is an error, unless it is a socket that no process listens at.
 * Returns 0 or an errno, with MESSAGE set.  Changes the umask for a moment:
 * so it must be called before there are threads.
 */
extern int control_socket_open (struct control_socket *s,
                                const char *parameter, const char *path,
                                bool shared, gid_t group,
                                struct message *message);

/* Closes, and removes the socket if it is still the one that was made. */
extern void control_socket_close (struct control_socket *s);

#endif /* REMAP_CONTROL_SOCKET_H */
