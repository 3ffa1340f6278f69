/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What lanes of all kinds are: for lane.c and the kinds only.
 */

#ifndef DIRECT_LANE_INTERNAL_H
#define DIRECT_LANE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "operation.h"

/* LANE_SELF: no timeout; the thread that asks does it itself. */
enum lane_type { LANE_SELF, LANE_THREAD, LANE_RING };
#define NR_LANE_TYPES 3

struct lane {
  enum lane_type type;
  bool broken;                          /* not to be used again */
  void *buf;
  size_t buf_size;
  struct operation op;                  /* what it does, or did last */
  struct lane *next;                    /* guarded by lane.c's mutex */
};

/* What running returns if it wasn't done in time: no errno is negative. */
#define LATE (-1)

#endif /* DIRECT_LANE_INTERNAL_H */
