/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Calls to main that have not ended: how many there are, and for how long.
 *
 * Each call costs two additions to a counter that is nearly the thread's own,
 * and no look at a clock (promise 24 of remap-promises(7)).  Calls that begin
 * in the same interval share a bucket of counters.  flight_tick begins a new
 * interval, in a bucket that no call is in; where there is none, since calls
 * hang in all of them, it goes on with the newest, whose calls then count as
 * older than they are.
 */

#ifndef REMAP_ENGINE_IN_FLIGHT_H
#define REMAP_ENGINE_IN_FLIGHT_H

#include "engine/internal.h"
#include "engine/stats.h"

extern void flight_init (struct engine *e);

/* A call begins, by any thread, which may know its shard already; it ends with
 * what was returned.
 */
static inline _Atomic uint32_t *
call_begins_in (struct engine *e, struct stat_shard *shard)
{
  const unsigned bucket = atomic_load_explicit (&e->in_flight.bucket,
                                                memory_order_relaxed);
  _Atomic uint32_t *counter = &shard->in_flight[bucket];

  atomic_fetch_add_explicit (counter, 1, memory_order_relaxed);
  return counter;
}

static inline _Atomic uint32_t *
call_begins (struct engine *e)
{
  return call_begins_in (e, stat_shard (e));
}

static inline void
call_ended (_Atomic uint32_t *counter)
{
  atomic_fetch_sub_explicit (counter, 1, memory_order_relaxed);
}

/* Begins a new interval.  One thread at a time. */
extern void flight_tick (struct engine *e);

/* How many there are, and in *OLDEST_MS since when the interval of the oldest
 * one has lasted (0: there is none).  Any thread.
 */
extern uint64_t flight_count (struct engine *e, uint64_t *oldest_ms);

#endif /* REMAP_ENGINE_IN_FLIGHT_H */
