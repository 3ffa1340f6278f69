/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Requests that failed, in the log: the first of a kind at once, those of the
 * next five seconds as a number.  A filter above asks for a bad sector more
 * than once, and a dying disk has many.  With -v each is a line.
 *
 * Any thread may call these functions.
 */

#ifndef DIRECT_FAILURES_H
#define DIRECT_FAILURES_H

#include <stdint.h>

/* WHAT of COUNT bytes at OFFSET has failed; a literal.  ERR is an errno. */
extern void failures_note (const char *what, uint32_t count, uint64_t offset,
                           int err);

/* Logs the numbers that are left, at the end. */
extern void failures_end (void);

#endif /* DIRECT_FAILURES_H */
