/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/events.h"
#include "engine/in-flight.h"
#include "engine/marks.h"
#include "engine/suspects.h"

/* What hangs is waited for, but not longer than this.  Milliseconds. */
#define ALONE_WAIT_MS 1000

/* More than a server has calls under way; beyond this nothing is suspected. */
#define MAX_SUSPECTS 1024

int
suspects_init (struct suspects *s)
{
  int err;

  alone_init (&s->alone);
  pthread_mutex_init (&s->mutex, NULL);
  err = marks_init (&s->suspected, MARK_NONE);
  err |= marks_init (&s->guilty, MARK_NONE);
  err |= marks_init (&s->condemned, MARK_NONE);
  return err ? ENOMEM : 0;
}

void
suspects_destroy (struct suspects *s)
{
  marks_destroy (&s->suspected);
  marks_destroy (&s->guilty);
  marks_destroy (&s->condemned);
  pthread_mutex_destroy (&s->mutex);
  alone_destroy (&s->alone);
}

/* The mutex is held. */
static void
update (struct engine *e)
{
  struct suspects *s = &e->suspects;
  const bool any = marks_count (&s->suspected) + marks_count (&s->condemned);

  if (any == atomic_load (&s->any))
    return;
  atomic_store (&s->any, any);
  allow_simple_requests (e);
}

void
suspects_add (struct engine *e, uint64_t start, uint64_t end)
{
  struct suspects *s = &e->suspects;
  struct map_totals totals;

  start = block_of (e, start);
  end = block_end (e, end - 1);
  pthread_mutex_lock (&s->mutex);
  map_get_totals (s->suspected.set, &totals);
  if (totals.runs < MAX_SUSPECTS) {
    marks_add (&s->suspected, sector_of (start), sectors_in (start, end));
    /* Nor are they asked for a sign of life meanwhile. */
    marks_add (&e->bad_canaries, sector_of (start), sectors_in (start, end));
    update (e);
  }
  pthread_mutex_unlock (&s->mutex);
}

enum suspicion
suspects_look (const struct engine *e, uint64_t start, uint64_t end,
               uint64_t *done)
{
  const struct suspects *s = &e->suspects;

  *done = end;
  if (marks_end (&s->condemned, start, *done, done))
    return CONDEMNED;
  if (marks_end (&s->guilty, start, *done, done))
    return GUILTY;
  return marks_end (&s->suspected, start, *done, done) ? SUSPECT : NO_SUSPECT;
}

/* The mutex is held.  How often main was lost with this block alone, this time
 * included.
 */
static unsigned
count_loss (struct suspects *s, uint64_t block)
{
  unsigned free = 0;

  for (unsigned i = 0; i < NR_LOSSES; i++) {
    if (s->losses[i].n > 0 && s->losses[i].block == block)
      return ++s->losses[i].n;
    if (s->losses[i].n < s->losses[free].n)
      free = i;
  }
  s->losses[free].block = block;
  s->losses[free].n = 1;
  return 1;
}

/* Calls that began before anything was suspected don't share, but are counted.
 */
bool
suspects_exclude (struct engine *e)
{
  uint64_t oldest_ms;

  return alone_exclude (&e->suspects.alone, ALONE_WAIT_MS) &&
    flight_count (e, &oldest_ms) == 0;
}

void
suspects_lost (struct engine *e, uint64_t start, uint64_t end)
{
  const uint64_t sector = sector_of (start), count = sectors_in (start, end);
  const bool is_block = end - start <= e->config.main_block;
  struct suspects *s = &e->suspects;
  bool is_condemned = false;
  unsigned n = 0;

  pthread_mutex_lock (&s->mutex);
  marks_add (&s->suspected, sector, count);
  marks_add (&s->guilty, sector, count);
  if (is_block) {
    n = count_loss (s, start);
    is_condemned = e->config.vanish_max > 0 && n >= e->config.vanish_max;
    if (is_condemned)
      marks_add (&s->condemned, sector, count);
  }
  update (e);
  pthread_mutex_unlock (&s->mutex);

  if (is_condemned)
    events_tell (e->config.events, EVENT_VANISHES, "block at 0x%" PRIx64
                 ": main was lost %u times while only this block was asked of "
                 "it: it is taken for bad, and not asked again", start, n);
  else
    events_tell (e->config.events, EVENT_VANISHES, "main was lost again while "
                 "only %" PRIu64 " bytes at 0x%" PRIx64 " were asked of it: "
                 "their blocks are tried alone", end - start, start);
}

void
suspects_clear (struct engine *e, uint64_t start, uint64_t end)
{
  const uint64_t sector = sector_of (start), count = sectors_in (start, end);
  struct suspects *s = &e->suspects;

  if (!suspects_any (e))
    return;
  pthread_mutex_lock (&s->mutex);
  marks_remove (&s->suspected, sector, count);
  marks_remove (&s->guilty, sector, count);
  marks_remove (&s->condemned, sector, count);
  marks_remove (&e->bad_canaries, sector, count);
  for (unsigned i = 0; i < NR_LOSSES; i++)
    if (s->losses[i].block >= start && s->losses[i].block < end)
      s->losses[i].n = 0;
  update (e);
  pthread_mutex_unlock (&s->mutex);
}
