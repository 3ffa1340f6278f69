/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The control socket: a line is sent, a line of JSON comes back
 * (nbdkit-remap-filter(1) has the protocol).
 */

#ifndef REMAPCTL_CLIENT_H
#define REMAPCTL_CLIENT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "options.h"

/* A connection: one request follows the other. */
struct client;

/* A timeout in seconds for whoever asks several servers: one that doesn't
 * answer must not keep the others from being shown.
 */
#define CLIENT_PATIENCE 5

/* A timeout for client_try, with which no call waits: for client_send and
 * client_receive_some.
 */
#define CLIENT_NEVER_WAIT UINT_MAX

/* For a command that only shows: if CTL says no server, and exactly one is
 * running, it is that one.
 */
extern void client_guess (struct ctl *ctl);

/* Connects to the server that CTL says.  NULL after a message; then *STATUS
 * is the program's exit status.
 */
extern struct client *client_open (const struct ctl *ctl, int *status);

/* Connects to the socket PATH, without a message: 0 or an errno.  TIMEOUT is
 * in seconds for each reply; 0: for ever.
 */
extern int client_try (const char *path, unsigned timeout,
                       struct client **client);

/* What such an errno means to a user. */
extern const char *client_why_not (int err);

/* CLIENT may be NULL. */
extern void client_close (struct client *client);

/* Sends a line and returns the reply, which is a JSON object whose "ok" is
 * true or false (*STATUS is STATUS_DONE or STATUS_REFUSED).  NULL after a
 * message (STATUS_NO_SERVER).  json_decref is the caller's.
 */
extern json_t *client_ask (struct client *client, int *status,
                           const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

/* The same, but a reply that says no is an error, too: NULL after a message
 * (STATUS_REFUSED).
 */
extern json_t *client_request (struct client *client, int *status,
                               const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

/* The two halves of client_request: between them whoever asks can do something
 * else.  False, or NULL, after a message; then *STATUS is set.
 */
extern bool client_begin (struct client *client, int *status, const char *fs,
                          ...)
  __attribute__ ((format (printf, 3, 4)));
extern json_t *client_finish (struct client *client, int *status);

/* As client_begin, and sends a descriptor with the request. */
extern bool client_begin_with (struct client *client, int *status, int fd,
                               const char *line);

/* The same without messages and waiting, for whoever asks several servers at
 * once.  client_receive_some takes what is there, and returns the reply, or
 * NULL: then *WHY, which was NULL before, says what is wrong, in new memory, or
 * still is NULL, and more is to come.  client_fd is for poll.
 */
extern bool client_send (struct client *client, const char *line,
                         char **why);
extern json_t *client_receive_some (struct client *client, char **why);
extern int client_fd (const struct client *client);

/* Asks the server for the size of its disk in bytes.  False after a message;
 * then *STATUS is set.
 */
extern bool client_main_size (struct client *client, uint64_t *size,
                              int *status);

#endif /* REMAPCTL_CLIENT_H */
