/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What is said to the person who starts the server, and is no error: nbdkit's
 * own messages of that kind would need -v.
 */

#ifndef REMAP_STARTUP_H
#define REMAP_STARTUP_H

/* A line on the standard error. */
extern void startup_say (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));

#endif /* REMAP_STARTUP_H */
