/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A lane that is an io_uring.  One thread at a time uses it: the one that took
 * it or, once it is stuck, the one that holds lane.c's mutex.
 */

#ifndef DIRECT_LANE_URING_H
#define DIRECT_LANE_URING_H

#include "lane-internal.h"

/* Does the kernel allow it?  Returns 0 or an errno. */
extern int ring_probe (void);

/* NULL if it can't be had. */
extern struct lane *ring_lane_new (void);

/* Does lane->op until DEADLINE (clock_now).  Returns 0, an errno, or LATE. */
extern int ring_lane_run (struct lane *lane, uint64_t deadline);

/* Has the operation that was late ended? */
extern bool ring_lane_is_done (struct lane *lane);

/* Nothing may be under way. */
extern void ring_lane_free (struct lane *lane);

#endif /* DIRECT_LANE_URING_H */
