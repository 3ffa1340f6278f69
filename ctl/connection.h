/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A connection to a server's control or status socket: a line is sent, a line
 * of JSON comes back, one request follows the other (nbdkit-remap-filter(1)
 * has the protocol).  Nothing is printed.
 */

#ifndef REMAPCTL_CONNECTION_H
#define REMAPCTL_CONNECTION_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

struct connection;

/* A timeout in seconds for whoever asks several servers: one that doesn't
 * answer must not keep the others from being shown.
 */
#define CONNECTION_PATIENCE 5

/* A timeout with which no call waits: for connection_send and
 * connection_receive_some.
 */
#define CONNECTION_NEVER_WAITS UINT_MAX

/* Connects to the socket PATH: 0 or an errno.  TIMEOUT is in seconds for each
 * reply; 0: for ever.
 */
extern int connection_open (const char *path, unsigned timeout,
                            struct connection **made);

/* C may be NULL. */
extern void connection_close (struct connection *c);

/* What such an errno means to a user. */
extern const char *connection_why_not (int err);

/* How long a reply may be, in bytes; at first 16 MiB. */
extern void connection_limit (struct connection *c, size_t bytes);

/* Sends LINE, to which the newline is added.  If it returns false *WHY, which
 * was NULL before, says what is wrong, in new memory.
 */
extern bool connection_send (struct connection *c, const char *line,
                             char **why);

/* The same, together with a descriptor, which stays the caller's. */
extern bool connection_send_with (struct connection *c, const char *line,
                                  int fd, char **why);

/* Waits for a reply, a JSON object whose "ok" is true or false; json_decref is
 * the caller's.  NULL: *WHY is set, as above.
 */
extern json_t *connection_receive (struct connection *c, char **why);

/* The same without waiting: takes what is there.  NULL with *WHY still NULL:
 * more is to come.  connection_fd is for poll.
 */
extern json_t *connection_receive_some (struct connection *c, char **why);
extern int connection_fd (const struct connection *c);

#endif /* REMAPCTL_CONNECTION_H */
