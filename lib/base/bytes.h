/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Arithmetic on numbers of bytes, sectors and slots, and on ranges of
 * them.  A range reaches from its start to before its end.
 */

#ifndef REMAP_BYTES_H
#define REMAP_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t
min_u64 (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

static inline uint64_t
max_u64 (uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

static inline uint64_t
round_down (uint64_t n, uint64_t power_of_2)
{
  return n & ~(power_of_2 - 1);
}

/* The caller makes sure that the result fits into 64 bits. */
static inline uint64_t
round_up (uint64_t n, uint64_t power_of_2)
{
  return round_down (n + power_of_2 - 1, power_of_2);
}

/* N / D, rounded up.  N + D must fit into 64 bits. */
static inline uint64_t
div_up (uint64_t n, uint64_t d)
{
  return (n + d - 1) / d;
}

/* Do two ranges have something in common?  An empty one has nothing. */
static inline bool
ranges_overlap (uint64_t a_start, uint64_t a_end, uint64_t b_start,
                uint64_t b_end)
{
  return a_start < b_end && b_start < a_end;
}

/* Are LEN bytes all zero? */
static inline bool
is_zero (const void *buf, size_t len)
{
  const char *p = (const char *) buf;

  /* The first byte is zero, and each byte equals the one before it. */
  return len == 0 || (p[0] == 0 && memcmp (p, p + 1, len - 1) == 0);
}

#endif /* REMAP_BYTES_H */
