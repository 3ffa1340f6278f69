/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The start of a server.
 *
 * nbdkit runs in the foreground (-f) with the log as its stdout and stderr: so
 * the log has all of its messages, and its end is seen here while it starts.
 */

#ifndef REMAPCTL_CREATE_START_H
#define REMAPCTL_CREATE_START_H

#include <stdio.h>

#include "create/internal.h"

/* Starts nbdkit with its output to LOG, and waits until the server answers.
 * Returns an exit status, after a message unless it is CREATE_DONE.
 */
extern int create_start (struct create *c, FILE *log);

/* The same, and ends the server at once: its spare is there then. */
extern int create_start_once (struct create *c, FILE *log);

/* Prints that a server of this name is running; returns the exit status. */
extern int create_name_taken (const struct create *c);

#endif /* REMAPCTL_CREATE_START_H */
