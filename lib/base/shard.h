/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Where a thread is at home in a table that all threads use.
 *
 * Threads that count, or publish what they hold, in entries of their own
 * don't share cache lines.  A thread's home is the distance in bytes from
 * the first entry to its own one, kept in a thread-local variable that
 * begins as SHARD_UNKNOWN: so finding the entry takes one addition.  Where
 * there are more threads than entries, some share one.
 */

#ifndef REMAP_SHARD_H
#define REMAP_SHARD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHARD_UNKNOWN ((intptr_t) -1)

/* Chooses a home for the calling thread among ENTRIES entries of SIZE bytes
 * each.  NR_THREADS counts the threads that have asked for one.
 */
static inline intptr_t
shard_choose (atomic_uint *nr_threads, unsigned entries, size_t size)
{
  unsigned n = atomic_fetch_add_explicit (nr_threads, 1,
                                          memory_order_relaxed);

  return n % entries * size;
}

#endif /* REMAP_SHARD_H */
