/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Requests of any size and alignment, cut into operations.
 *
 * Offsets and counts are bytes.  Each function returns 0 or an errno.  Any
 * thread may call them once requests_start has returned.
 */

#ifndef DIRECT_REQUEST_H
#define DIRECT_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "target.h"

/* T: for its sizes, which all targets of later requests have as well.
 * Returns 0, or -1 after nbdkit_error.
 */
extern int requests_start (const struct target *t);
extern void requests_stop (void);

extern int request_read (struct target *t, void *buf, uint32_t count,
                         uint64_t offset);
extern int request_write (struct target *t, const void *buf, uint32_t count,
                          uint64_t offset, bool fua);
/* FAST: EOPNOTSUPP where that takes as long as writing zeroes. */
extern int request_zero (struct target *t, uint32_t count, uint64_t offset,
                         bool fast);
extern int request_trim (struct target *t, uint32_t count, uint64_t offset);
extern int request_flush (struct target *t);

#endif /* DIRECT_REQUEST_H */
