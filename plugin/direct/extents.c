/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Where a file has data, and where holes.
 */

#include <config.h>

#include <errno.h>
#include <unistd.h>

#include <nbdkit-plugin.h>

#include "base/bytes.h"
#include "extents.h"

/* Where the filesystem can't say, all is data. */
int
file_extents (struct target *t, uint32_t count, uint64_t offset, bool one,
              struct nbdkit_extents *extents)
{
  const uint64_t end = offset + count;
  off_t next;
  bool hole;

  while (offset < end) {
    hole = false;
    next = lseek (t->fd, offset, SEEK_DATA);
    if (next == -1 && errno == ENXIO) {
      hole = true;
      next = end;
    }
    else if (next == -1)
      next = end;
    else if ((uint64_t) next > offset)
      hole = true;
    else {
      next = lseek (t->fd, offset, SEEK_HOLE);
      if (next == -1 || (uint64_t) next <= offset)
        next = end;
    }
    next = min_u64 (next, end);
    if (nbdkit_add_extent (extents, offset, next - offset, hole ?
                           NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0) == -1)
      return errno ? errno : ENOMEM;
    if (one)
      break;
    offset = next;
  }
  return 0;
}
