/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Numbers as a user types them: decimal, or hexadecimal with 0x; without a
 * sign or blanks.  These functions print no message.
 */

#ifndef REMAPCTL_NUMBERS_H
#define REMAPCTL_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

/* False if S isn't a number of 64 bits. */
extern bool parse_number (const char *s, uint64_t *n);

/* Bytes, with or without one of nbdkit's suffixes (b s k M G T P E, capital
 * or not).  False if S isn't a size, or one of more than INT64_MAX bytes.
 */
extern bool parse_bytes (const char *s, uint64_t *n);

#endif /* REMAPCTL_NUMBERS_H */
