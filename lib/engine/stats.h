/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Counting what happens.  Counters only grow, and each thread counts in a
 * shard of its own as far as there are enough, so that counting costs
 * nobody a cache line.
 */

#ifndef REMAP_ENGINE_STATS_H
#define REMAP_ENGINE_STATS_H

#include "base/shard.h"
#include "engine/internal.h"

/* The thread's shard, see base/shard.h. */
extern _Thread_local intptr_t stat_home;
extern intptr_t stat_choose_home (void);

static inline struct stat_shard *
stat_shard (struct engine *e)
{
  intptr_t home = stat_home;

  if (home < 0)
    home = stat_choose_home ();
  return (struct stat_shard *) ((char *) e->stats + home);
}

static inline void
stat_add (struct engine *e, enum engine_stat stat, uint64_t n)
{
  atomic_fetch_add_explicit (&stat_shard (e)->v[stat], n,
                             memory_order_relaxed);
}

/* A request of a client.  The number of its bytes follows that of requests
 * in enum engine_stat.  Returns the thread's shard.
 */
static inline struct stat_shard *
stat_request (struct engine *e, enum engine_stat stat, uint32_t bytes)
{
  struct stat_shard *shard = stat_shard (e);

  atomic_fetch_add_explicit (&shard->v[stat], 1, memory_order_relaxed);
  atomic_fetch_add_explicit (&shard->v[stat + 1], bytes,
                             memory_order_relaxed);
  return shard;
}

/* All counters since the engine was made, and since they were cleared.  Any
 * thread.
 */
extern void stats_get (struct engine *e, uint64_t ever[NR_ENGINE_STATS],
                       uint64_t since_cleared[NR_ENGINE_STATS]);

#endif /* REMAP_ENGINE_STATS_H */
