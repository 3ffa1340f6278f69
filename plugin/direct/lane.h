/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the kinds of lanes have in common.
 */

#ifndef DIRECT_LANE_H
#define DIRECT_LANE_H

#include "direct.h"

/* LANE_SELF: no timeout; the thread that asks does it itself. */
enum lane_type { LANE_SELF, LANE_THREAD, LANE_RING };
#define NR_LANE_TYPES 3

struct lane {
  enum lane_type type;
  bool broken;                          /* not to be used again */
  void *buf;
  size_t buf_size;
  struct operation op;                  /* what it does, or did last */
  struct lane *next;                    /* guarded by the list's mutex */
};

/* Of running: not done when the time was over; no errno is negative. */
#define LATE (-1)

/* Nanoseconds of the monotonic clock. */
extern uint64_t lane_now (void);

/* Each returns NULL if it can't be had.  RUN does lane->op until DEADLINE
 * (lane_now), and returns its result, or LATE.  IS_DONE: has one that was
 * late ended?  FREE only when nothing is under way.
 */
extern struct lane *thread_lane_new (void);
extern int thread_lane_run (struct lane *lane, uint64_t deadline);
extern bool thread_lane_is_done (struct lane *lane);
extern void thread_lane_free (struct lane *lane);

/* Does the kernel allow it?  Returns 0 or an errno. */
extern int ring_probe (void);
extern struct lane *ring_lane_new (void);
extern int ring_lane_run (struct lane *lane, uint64_t deadline);
extern bool ring_lane_is_done (struct lane *lane);
extern void ring_lane_free (struct lane *lane);

#endif /* DIRECT_LANE_H */
