/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "base/bytes.h"
#include "map/map.h"
#include "engine/events.h"
#include "engine/marks.h"

int
marks_init (struct marks *m, enum marks_without_memory policy)
{
  atomic_init (&m->any, false);
  atomic_init (&m->all, false);
  m->without_memory = policy;
  pthread_mutex_init (&m->mutex, NULL);
  m->set = map_new ();
  return m->set ? 0 : ENOMEM;
}

void
marks_destroy (struct marks *m)
{
  if (m->set)
    map_free (m->set);
  m->set = NULL;
  pthread_mutex_destroy (&m->mutex);
}

/* Returns whether the set is as it should be now. */
static bool
change (struct marks *m, const struct run *run)
{
  map_begin (m->set);
  if (map_set (m->set, run) != 0) {
    map_abort (m->set);
    return false;
  }
  map_publish (m->set);
  return true;
}

void
marks_add (struct marks *m, uint64_t start, uint64_t count)
{
  const struct run run = { .start = start, .count = count, .state = LOST,
                           .slot = NO_SLOT };

  pthread_mutex_lock (&m->mutex);
  if (!change (m, &run) && m->without_memory == MARK_ALL)
    atomic_store (&m->all, true);
  atomic_store (&m->any, true);
  pthread_mutex_unlock (&m->mutex);
}

void
marks_remove (struct marks *m, uint64_t start, uint64_t count)
{
  const struct run run = { .start = start, .count = count, .state = DIRECT,
                           .slot = NO_SLOT };

  if (!atomic_load (&m->any))
    return;
  pthread_mutex_lock (&m->mutex);
  change (m, &run);
  pthread_mutex_unlock (&m->mutex);
}

bool
marks_search (const struct marks *m, uint64_t start, uint64_t count)
{
  return atomic_load (&m->all) || !map_all_direct (m->set, start, count);
}

void
late_add (struct engine *e, uint64_t start, uint64_t end)
{
  marks_add (&e->late, sector_of (start), sectors_in (start, end));
  atomic_store (&e->simple_max, 0);
  events_tell_sectors (e->config.events, EVENT_LATE, WHY_UNKNOWN,
                       sector_of (start), sectors_in (start, end));
}

uint64_t
marks_count (const struct marks *m)
{
  struct map_totals totals;

  if (atomic_load (&m->all))
    return UINT64_MAX;
  map_get_totals (m->set, &totals);
  return totals.lost;
}

void
allow_simple_requests (struct engine *e)
{
  bool none;

  /* Under the mutex of additions: one that is made at the same time must not
   * be undone.
   */
  pthread_mutex_lock (&e->late.mutex);
  none = atomic_load (&e->suspects.any) || atomic_load (&e->rescue);
  atomic_store (&e->simple_read_max, none ? 0 : e->max_call);
  none |= atomic_load (&e->main_refuses) || atomic_load (&e->late.any);
  atomic_store (&e->simple_max, none ? 0 : min_u64 (e->max_call, MAIN_PIECE));
  pthread_mutex_unlock (&e->late.mutex);
}

bool
marks_end (const struct marks *m, uint64_t start, uint64_t end,
           uint64_t *done)
{
  struct run run;

  *done = end;
  if (!atomic_load (&m->any))
    return false;
  if (atomic_load (&m->all))
    return true;
  run = map_lookup (m->set, sector_of (start), sectors_in (start, end));
  *done = min_u64 (run_end_byte (&run), end);
  return run.state != DIRECT;
}
