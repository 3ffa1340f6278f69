/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "engine/in-flight.h"

static uint64_t
now_ms (struct engine *e)
{
  return e->config.now_ms (e->config.opaque);
}

static uint64_t
calls_in (struct engine *e, unsigned bucket)
{
  uint64_t n = 0;

  for (unsigned i = 0; i < STAT_SHARDS; i++)
    n += atomic_load_explicit (&e->stats[i].in_flight[bucket],
                               memory_order_relaxed);
  return n;
}

void
flight_init (struct engine *e)
{
  atomic_store (&e->in_flight.since_ms[0], now_ms (e));
}

/* A thread that chose a bucket a while ago, and counts there only now, makes
 * its call look younger than it is: that does no harm.
 */
void
flight_tick (struct engine *e)
{
  struct in_flight *f = &e->in_flight;
  const unsigned current = atomic_load (&f->bucket);

  for (unsigned i = 1; i <= FLIGHT_BUCKETS; i++) {
    const unsigned bucket = (current + i) % FLIGHT_BUCKETS;

    if (calls_in (e, bucket) > 0)
      continue;
    atomic_store (&f->since_ms[bucket], now_ms (e));
    atomic_store (&f->bucket, bucket);
    return;
  }
}

uint64_t
flight_count (struct engine *e, uint64_t *oldest_ms)
{
  struct in_flight *f = &e->in_flight;
  const uint64_t now = now_ms (e);
  uint64_t all = 0, n, since;

  *oldest_ms = 0;
  for (unsigned bucket = 0; bucket < FLIGHT_BUCKETS; bucket++) {
    n = calls_in (e, bucket);
    since = atomic_load (&f->since_ms[bucket]);
    all += n;
    if (n > 0 && since < now && now - since > *oldest_ms)
      *oldest_ms = now - since;
  }
  return all;
}
