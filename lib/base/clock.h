/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The time that has passed, by a clock that nobody sets and that never goes
 * back (CLOCK_MONOTONIC).  Where it begins means nothing.
 */

#ifndef REMAP_CLOCK_H
#define REMAP_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t
clock_now_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * UINT64_C (1000000000) + ts.tv_nsec;
}

static inline uint64_t
clock_now_ms (void)
{
  return clock_now_ns () / 1000000;
}

#endif /* REMAP_CLOCK_H */
