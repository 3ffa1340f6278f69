/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The time that a drive would have taken, summed up instead of spent.  All
 * times are in nanoseconds.
 */

#ifndef BADDISK_CLOCK_H
#define BADDISK_CLOCK_H

#include <pthread.h>

#include "operation.h"

#define STREAM_UNIT 131072      /* bytes */

struct clock_sums {
  uint64_t seek, stream, fail;
  uint64_t slow;                /* in slow areas */
  uint64_t seeks;               /* accesses elsewhere */
};

struct drive_clock {
  uint64_t access, failure;     /* what one costs */
  uint64_t stream;              /* what STREAM_UNIT bytes cost */
  pthread_mutex_t lock;         /* guards what follows */
  uint64_t head;                /* where it is, bytes */
  struct clock_sums sums;
};

extern void clock_start (struct drive_clock *clock, uint64_t access,
                         uint64_t failure, uint64_t stream);

/* An operation on a range, which ends as the verdict says.  Any thread. */
extern void clock_operation (struct drive_clock *clock, uint64_t offset,
                             uint32_t count, const struct verdict *verdict);

/* What it shows now.  Any thread. */
extern struct clock_sums clock_now (struct drive_clock *clock);

/* All of it. */
static inline uint64_t
clock_total (const struct clock_sums *sums)
{
  return sums->seek + sums->stream + sums->fail + sums->slow;
}

#endif /* BADDISK_CLOCK_H */
