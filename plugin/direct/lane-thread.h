/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A lane that is a thread.  One thread at a time uses it: the one that took
 * it or, once it is stuck, the one that holds lane.c's mutex.
 */

#ifndef DIRECT_LANE_THREAD_H
#define DIRECT_LANE_THREAD_H

#include "lane-internal.h"

/* NULL if it can't be had. */
extern struct lane *thread_lane_new (void);

/* Does lane->op until DEADLINE (clock_now).  Returns 0, an errno, or LATE. */
extern int thread_lane_run (struct lane *lane, uint64_t deadline);

/* Has the operation that was late ended? */
extern bool thread_lane_is_done (struct lane *lane);

/* Nothing may be under way. */
extern void thread_lane_free (struct lane *lane);

#endif /* DIRECT_LANE_THREAD_H */
