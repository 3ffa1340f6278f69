/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A disk that turns read-only: while a file exists, or after a number of
 * writes.
 */

#ifndef BADDISK_READONLY_H
#define BADDISK_READONLY_H

#include <stdatomic.h>

#include "operation.h"

struct readonly {
  const char *path;             /* the file, not owned; NULL: none */
  uint64_t after;               /* writes, zeroes and trims; or NEVER */
  atomic_uint_least64_t seen;   /* so many of them */
};

#define NEVER UINT64_MAX

extern void readonly_start (struct readonly *readonly, const char *path,
                            uint64_t after);

/* Whether an operation that the disk is there for is refused.  Counts it.
 * Any thread.
 */
extern bool readonly_refuses (struct readonly *readonly, enum op op);

#endif /* BADDISK_READONLY_H */
