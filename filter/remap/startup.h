/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What is said to the person who starts the server: what is no error, for which
 * nbdkit's own messages would need -v; and why the server is refused, which is
 * kept for whoever looks for it later.
 *
 * For the one thread that starts the server.
 */

#ifndef REMAP_STARTUP_H
#define REMAP_STARTUP_H

#include <stdbool.h>

/* Does the standard error take a line at once?  A pipe or a socket that nobody
 * reads fills up.
 */
extern bool stderr_is_ready (void);

/* A line on the standard error; none if that doesn't take it at once. */
extern void startup_say (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));

/* As nbdkit_error: the server won't start, and this is why. */
extern void startup_refuse (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));

/* The same for what somebody else has printed already. */
extern void startup_refused (const char *why);

/* What was said last; NULL: nothing. */
extern const char *startup_why (void);

#endif /* REMAP_STARTUP_H */
