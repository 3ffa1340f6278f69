/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The server that a command is for: which one it is, and requests to it whose
 * errors are printed.
 */

#ifndef REMAPCTL_CLIENT_H
#define REMAPCTL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "connection.h"
#include "options.h"

/* For a command that only shows: if CTL says no server, and exactly one is
 * running, it is that one.
 */
extern void client_guess (struct ctl *ctl);

/* Connects to the server that CTL says.  NULL after a message; then *STATUS
 * is the program's exit status.
 */
extern struct connection *client_open (const struct ctl *ctl, int *status);

/* Sends a line and returns the reply, which is a JSON object whose "ok" is
 * true or false (*STATUS is STATUS_DONE or STATUS_REFUSED).  NULL after a
 * message (STATUS_NO_SERVER).  json_decref is the caller's.
 */
extern json_t *client_ask (struct connection *client, int *status,
                           const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

/* The same, but a reply that says no is an error, too: NULL after a message
 * (STATUS_REFUSED).
 */
extern json_t *client_request (struct connection *client, int *status,
                               const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

/* The two halves of client_request: between them whoever asks can do something
 * else.  False, or NULL, after a message; then *STATUS is set.
 */
extern bool client_begin (struct connection *client, int *status,
                          const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));
extern json_t *client_finish (struct connection *client, int *status);

/* As client_begin, and sends a descriptor with the request. */
extern bool client_begin_with (struct connection *client, int *status, int fd,
                               const char *line);

/* Asks the server for the size of its disk in bytes.  False after a message;
 * then *STATUS is set.
 */
extern bool client_main_size (struct connection *client, uint64_t *size,
                              int *status);

#endif /* REMAPCTL_CLIENT_H */
