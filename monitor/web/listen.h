/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Where the monitor is looked at: a Unix socket, or a TCP port of this machine;
 * of other machines only for those who have a token.
 */

#ifndef REMAP_MONITOR_LISTEN_H
#define REMAP_MONITOR_LISTEN_H

#include <stdbool.h>

/* The longest token, and the shortest that isn't guessed. */
#define MAX_TOKEN 512
#define MIN_TOKEN 16

/* Listens at WHERE: a path with a slash, or ADDRESS:PORT.  Without a token it
 * must be an address of this machine alone.  Returns a socket, or -1 after a
 * message.
 */
extern int listen_at (const char *where, bool has_token);

/* Reads the token, the first line of a file that only its owner (and group)
 * can read.  False after a message.
 */
extern bool read_token (const char *path, char token[MAX_TOKEN + 1]);

#endif /* REMAP_MONITOR_LISTEN_H */
