/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Where a file has data, and where holes.
 */

#ifndef DIRECT_EXTENTS_H
#define DIRECT_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "target.h"

struct nbdkit_extents;

/* Of a regular file, COUNT bytes from OFFSET on.  ONE: the first extent will
 * do.  Returns 0 or an errno.
 */
extern int file_extents (struct target *t, uint32_t count, uint64_t offset,
                         bool one, struct nbdkit_extents *extents);

#endif /* DIRECT_EXTENTS_H */
