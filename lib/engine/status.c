/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the engine counts, and how it is.
 */

#include <config.h>

#include <string.h>

#include "base/bytes.h"
#include "engine/copy.h"
#include "engine/in-flight.h"
#include "engine/internal.h"
#include "engine/marks.h"
#include "engine/states.h"
#include "engine/stats.h"
#include "map/pending.h"

/* A drive that tries hard takes seconds for a bad sector; one that takes
 * longer than this keeps its clients waiting, whatever becomes of it.
 */
#define HANGS_MS 10000

static bool
spare_mostly_used (const struct spare_status *sp)
{
  return sp->slots_used + sp->slots_retired > sp->slots_total / 5 * 4;
}

static void
get_copy (struct engine *e, struct engine_status *st)
{
  const struct map_totals *t = &st->totals;
  struct rescue *rescue = rescue_of (e);
  struct pending_totals pending;

  if (rescue == NULL)
    return;
  st->copy.there = true;
  st->copy.failed = copy_has_failed (&rescue->copy);
  st->copy.full = atomic_load (&rescue->copy.full);
  st->copy.late = marks_count (&rescue->copy.late);
  pending_get_totals (rescue->pending, &pending);
  st->copy.kept = pending.kept;
  st->copy.written = pending.written;
  st->copy.zero = pending.zero;
  st->copy.direct = e->nr_sectors - t->remapped - t->lost - t->zero - t->kept -
    t->written;
  st->copy.main_not_needed = st->copy.direct == 0;
  /* What is pending may hide other states, too: a guess. */
  st->copy.direct -= min_u64 (st->copy.direct, pending.kept + pending.written +
                              pending.zero);
  st->copy.alone = atomic_load (&rescue->complete.said);
}

/* It isn't needed any more: how it is, is nobody's business (promise 30). */
static void
forget_main (struct engine_status *st)
{
  st->main_lost = st->main_hangs = st->main_silent = false;
  st->main_refuses = 0;
  st->late = 0;
  st->spare.counters[COUNT_WEAK] = 0;
}

void
engine_get_status (struct engine *e, struct engine_status *st)
{
  const struct spare_status *sp = &st->spare;

  memset (st, 0, sizeof *st);
  st->auto_remap = atomic_load (&e->auto_remap);
  st->main_lost = atomic_load (&e->main_lost);
  st->spare_short = atomic_load (&e->spare_short);
  map_get_totals (e->map, &st->totals);
  st->main_silent = atomic_load (&e->main_silent);
  st->main_refuses = atomic_load (&e->main_refuses);
  st->readonly_to_spare = e->config.readonly_to_spare;
  st->late = marks_count (&e->late);
  st->room = atomic_load (&e->room);
  st->promised = atomic_load (&e->promised);
  pthread_mutex_lock (&e->spare_place_mutex);
  st->spare_place = e->spare_place;
  pthread_mutex_unlock (&e->spare_place_mutex);
  spare_get_status (e->spare, &st->spare);
  stats_get (e, st->ever, st->stat);
  st->in_flight = flight_count (e, &st->oldest_ms);
  st->main_hangs = st->oldest_ms > HANGS_MS;
  st->last_error = atomic_load (&e->last_error);
  st->last_loss = atomic_load (&e->last_loss);
  get_copy (e, st);

  if (st->copy.main_not_needed)
    forget_main (st);
  if (st->main_lost)
    st->health = HEALTH_MAIN_LOST;
  else if (sp->failed || sp->full || sp->slots_free == 0 ||
           st->spare_short || st->spare_place.text[0] != '\0' ||
           st->copy.failed || st->copy.full ||
           (st->main_refuses && !st->readonly_to_spare))
    st->health = HEALTH_CRITICAL;
  else if (st->main_refuses || st->main_hangs || st->main_silent ||
           st->late > 0 || st->copy.late > 0 || st->totals.lost > 0 ||
           sp->counters[COUNT_WEAK] > 0 || spare_mostly_used (sp) ||
           st->room < st->promised)
    st->health = HEALTH_DEGRADED;
  else
    st->health = HEALTH_OK;
}

const char *
engine_health_name (enum engine_health health)
{
  static const char *const names[] = {
    [HEALTH_OK] = "ok", [HEALTH_DEGRADED] = "degraded",
    [HEALTH_CRITICAL] = "critical", [HEALTH_MAIN_LOST] = "main-lost",
  };

  return names[health];
}

unsigned
engine_health_reasons (const struct engine_status *st,
                       struct message *reasons)
{
  const struct spare_status *sp = &st->spare;
  unsigned n = 0;

  if (st->main_lost)
    message_set (&reasons[n++], "main is lost: it doesn't answer, or the "
                 "disk is gone");
  if (st->copy.failed)
    message_set (&reasons[n++], "the copy has failed: nothing can be written "
                 "to it before the server has been restarted");
  else if (st->copy.full)
    message_set (&reasons[n++], "the copy is full: nothing is kept, and writes "
                 "that need it fail, before there is room where it is");
  if (sp->failed)
    message_set (&reasons[n++], "the spare has failed: nothing can be "
                 "remapped before it was replaced or repaired and the "
                 "server restarted");
  if (st->spare_place.text[0] != '\0')
    reasons[n++] = st->spare_place;
  if (sp->full || sp->slots_free == 0)
    message_set (&reasons[n++], "the spare is full: %" PRIu64 " of %" PRIu64
                 " slots are free%s", sp->slots_free, sp->slots_total,
                 sp->slots_free == 0 ? ": enlarge it"
                 : ", and the last write found too little room: free space on "
                 "its filesystem, or enlarge it");
  else if (st->spare_short)
    message_set (&reasons[n++], "the last change found no room in the "
                 "spare: enlarge it, or free space where it is");
  else if (spare_mostly_used (sp))
    message_set (&reasons[n++], "more than 80 %% of the spare are used (%"
                 PRIu64 " of %" PRIu64 " slots): enlarge it",
                 sp->slots_used + sp->slots_retired, sp->slots_total);
  if (st->room < st->promised)
    message_set (&reasons[n++], "the spare's filesystem has %" PRIu64 " bytes "
                 "free, and the spare's free slots need %" PRIu64 ": free "
                 "space there", st->room, st->promised);
  if (st->main_refuses)
    message_set (&reasons[n++], "main refuses to be written (%s): %s",
                 strerror (st->main_refuses), st->readonly_to_spare
                 ? "what clients write goes to the spare"
                 : "writes that need it fail");
  if (st->main_hangs)
    message_set (&reasons[n++], "main hasn't answered for %" PRIu64 " s: %"
                 PRIu64 " %s waiting", st->oldest_ms / 1000, st->in_flight,
                 st->in_flight == 1 ? "request is" : "requests are");
  if (st->main_silent)
    message_set (&reasons[n++], "main is behind a page cache, and all of it "
                 "was read: whether it is alive can't be told any more, and "
                 "reads that fail are passed on");
  if (st->late == UINT64_MAX)
    message_set (&reasons[n++], "main isn't written any more before the "
                 "server was restarted: what timed out may still take effect "
                 "anywhere");
  else if (st->late > 0)
    message_set (&reasons[n++], "%" PRIu64 " %s late: main isn't written there "
                 "before the server was restarted, since what timed out or "
                 "failed may still take effect", st->late,
                 st->late == 1 ? "sector is" : "sectors are");
  if (st->copy.late > 0)
    message_set (&reasons[n++], "the copy isn't written in some places before "
                 "the server has been restarted: what timed out may still "
                 "take effect");
  if (st->totals.lost > 0)
    message_set (&reasons[n++], "%" PRIu64 " %s lost: main can't read %s",
                 st->totals.lost, st->totals.lost == 1 ? "sector is"
                 : "sectors are", st->totals.lost == 1 ? "it" : "them");
  if (sp->counters[COUNT_WEAK] > 0)
    message_set (&reasons[n++], "%" PRIu64 " %s weak: main read %s only when "
                 "asked again", sp->counters[COUNT_WEAK],
                 sp->counters[COUNT_WEAK] == 1 ? "sector was"
                 : "sectors were",
                 sp->counters[COUNT_WEAK] == 1 ? "it" : "them");
  return n;
}
