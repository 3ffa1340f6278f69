/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A word in the run-time directory that a server is there: a file
 * XXXXXX.server with one line, its process and the path of its control socket.
 * The server holds a lock (flock(2)) on it for as long as it lives: so a file
 * that isn't locked was left by one that was killed, whatever has its process
 * number now.
 */

#ifndef REMAP_ANNOUNCE_H
#define REMAP_ANNOUNCE_H

#include <stdbool.h>

#define ANNOUNCE_SUFFIX ".server"

/* What a server has announced; fd is -1 for nothing. */
struct announcement {
  int fd;
  char *path;                           /* owned */
};

/* Announces this process, with the path of its control socket.  It is no
 * error if that can't be: the server is only not listed then.
 */
extern void announce (struct announcement *a, const char *control);
extern void announce_end (struct announcement *a);

/* What is read of one. */
struct announced {
  long pid;
  char control[108];                    /* as long as a socket's path can be */
};

/* Reads the file PATH.  False: it is none, or its server has gone; then the
 * file is removed.
 */
extern bool announced_read (const char *path, struct announced *a);

#endif /* REMAP_ANNOUNCE_H */
