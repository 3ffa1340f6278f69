/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <string.h>

#include "engine/stats.h"

_Thread_local intptr_t stat_home = SHARD_UNKNOWN;

intptr_t
stat_choose_home (void)
{
  static atomic_uint nr_threads;

  stat_home = shard_choose (&nr_threads, STAT_SHARDS,
                            sizeof (struct stat_shard));
  return stat_home;
}

static void
sum_stats (struct engine *e, uint64_t sum[NR_ENGINE_STATS])
{
  memset (sum, 0, NR_ENGINE_STATS * sizeof *sum);
  for (size_t s = 0; s < STAT_SHARDS; s++)
    for (size_t i = 0; i < NR_ENGINE_STATS; i++)
      sum[i] += atomic_load_explicit (&e->stats[s].v[i],
                                      memory_order_relaxed);
}

/* Counters only grow: clearing them means to remember what they were.  So no
 * request that counts at the same time is lost, or waits.
 */
void
engine_clear_stats (struct engine *e)
{
  pthread_mutex_lock (&e->cleared_mutex);
  sum_stats (e, e->cleared);
  pthread_mutex_unlock (&e->cleared_mutex);
}

void
stats_get (struct engine *e, uint64_t ever[NR_ENGINE_STATS],
           uint64_t since_cleared[NR_ENGINE_STATS])
{
  pthread_mutex_lock (&e->cleared_mutex);
  sum_stats (e, ever);
  for (size_t i = 0; i < NR_ENGINE_STATS; i++)
    since_cleared[i] = ever[i] - e->cleared[i];
  pthread_mutex_unlock (&e->cleared_mutex);
}
