/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the units of the baddisk filter have in common: the kinds of
 * operations, and what is to become of one.
 */

#ifndef BADDISK_OPERATION_H
#define BADDISK_OPERATION_H

#include <stdbool.h>
#include <stdint.h>

/* The order is that of the log's totals. */
enum op {
  OP_READ, OP_WRITE, OP_ZERO, OP_TRIM, OP_FLUSH, OP_CACHE, OP_EXTENTS,
  NR_OPS,
};

/* What bad sectors and slow areas mean for one operation. */
struct verdict {
  bool touched;                 /* covers at least one bad sector */
  bool fails;
  uint32_t attempt;             /* what the log has as TRY */
  uint64_t bad;                 /* offset of the sector that it fails at */
  uint64_t extra;               /* how much longer it takes, nanoseconds */

  /* Writes and zeroes that fail, unless nothing of them is to reach the
   * disk: a bit for each sector of the operation, set where it can't be
   * written.  Allocated, and freed by whoever asked for the verdict.
   */
  unsigned char *stopped;
};

#endif /* BADDISK_OPERATION_H */
