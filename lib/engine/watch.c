/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What shows only by looking is looked at once a second, and told when it has
 * changed (promise 38 of remap-promises(7)).
 */

#include <config.h>

#include <string.h>

#include "engine/events.h"
#include "engine/in-flight.h"
#include "engine/internal.h"
#include "engine/log.h"
#include "engine/samples.h"

/* The health's reasons, a line each, as many as there is room for. */
static void
join_reasons (const struct engine_status *st, char *text, size_t size)
{
  struct message reasons[ENGINE_MAX_REASONS];
  const unsigned n = engine_health_reasons (st, reasons);
  size_t used = 0, len;

  text[0] = '\0';
  for (unsigned i = 0; i < n; i++) {
    len = strlen (reasons[i].text);
    if (used + len + 2 > size)
      break;
    if (used > 0)
      text[used++] = '\n';
    memcpy (text + used, reasons[i].text, len + 1);
    used += len;
  }
}

static void
tell_health (struct engine *e, enum engine_health health, const char *reasons)
{
  const char *name = engine_health_name (health);

  events_tell_change (e->config.events, EVENT_HEALTH, NULL,
                      e->told.health ? e->told.health : "unknown", name,
                      reasons);
  e->told.health = name;
}

/* Main may have been lost and found between two looks. */
static void
look_at_health (struct engine *e, const struct engine_status *st)
{
  const char *lost = engine_health_name (HEALTH_MAIN_LOST);
  const char *name = engine_health_name (st->health);
  const uint64_t losses = atomic_load (&e->losses);
  struct event *room = NULL;
  char reasons[sizeof room->text];

  if (losses != e->told.losses && st->health != HEALTH_MAIN_LOST &&
      e->told.health != NULL && e->told.health != lost)
    tell_health (e, HEALTH_MAIN_LOST, "main was lost, and is back");
  e->told.losses = losses;
  if (name == e->told.health)
    return;
  join_reasons (st, reasons, sizeof reasons);
  tell_health (e, st->health, reasons);
}

static void
look_at_main (struct engine *e, const struct engine_status *st)
{
  struct events *ev = e->config.events;

  if (!st->main_refuses && atomic_exchange (&e->told.readonly, false))
    events_tell (ev, EVENT_MAIN_WRITABLE, "main takes writes again");
  if (st->main_hangs == e->told.hangs)
    return;
  e->told.hangs = st->main_hangs;
  if (st->main_hangs)
    events_tell (ev, EVENT_MAIN_HANGS, "main hasn't answered for %" PRIu64
                 " s: %" PRIu64 " %s waiting", st->oldest_ms / 1000,
                 st->in_flight, st->in_flight == 1 ? "request is"
                 : "requests are");
  else
    events_tell (ev, EVENT_MAIN_ANSWERS, "main answers again");
}

static void
look_at_spare (struct engine *e, const struct engine_status *st)
{
  struct events *ev = e->config.events;
  const struct spare_status *sp = &st->spare;

  if (sp->failed && !e->told.failed)
    events_tell (ev, EVENT_SPARE_FAILED, "the spare has failed: nothing can be "
                 "remapped before it was replaced or repaired and the server "
                 "restarted");
  e->told.failed = sp->failed;
  if (sp->slots_free == 0)
    tell_full (e, "the spare is full: writes that need a new slot fail with "
               "ENOSPC until it is enlarged");
  else if (!sp->full && !st->spare_short &&
           atomic_exchange (&e->told.full, false))
    events_tell (ev, EVENT_SPARE_ROOM, "the spare has room again: %" PRIu64
                 " of %" PRIu64 " slots are free", sp->slots_free,
                 sp->slots_total);
}

/* A filesystem whose free space goes up and down a little would be told of each
 * time: so the end is told when there is clearly enough.
 */
static void
look_at_room (struct engine *e, const struct engine_status *st)
{
  struct events *ev = e->config.events;
  const uint64_t enough = st->promised + st->promised / 16;

  if (!e->told.thin && st->room < st->promised) {
    e->told.thin = true;
    events_tell (ev, EVENT_SPARE_THIN, "the spare is thin: its free slots "
                 "need %" PRIu64 " bytes, and its filesystem has %" PRIu64
                 " free: free space there", st->promised, st->room);
  }
  else if (e->told.thin && st->room >= enough) {
    e->told.thin = false;
    events_tell (ev, EVENT_SPARE_ENOUGH, "the spare's filesystem has room for "
                 "all of its slots again: %" PRIu64 " bytes are free, and they "
                 "need %" PRIu64, st->room, st->promised);
  }
}

void
engine_note_place (struct engine *e, const char *problem)
{
  const char *text = problem ? problem : "";
  bool changed;

  pthread_mutex_lock (&e->spare_place_mutex);
  changed = strcmp (e->spare_place.text, text) != 0;
  message_set (&e->spare_place, "%s", text);
  pthread_mutex_unlock (&e->spare_place_mutex);
  if (!changed)
    return;
  if (problem)
    events_tell (e->config.events, EVENT_SPARE_GONE, "%s", problem);
  else
    events_tell (e->config.events, EVENT_SPARE_BACK, "the spare is back: it is "
                 "where it was");
}

void
engine_tick_spare (struct engine *e)
{
  samples_tick (e);
}

void
engine_tick (struct engine *e)
{
  struct engine_status st;

  flight_tick (e);
  engine_get_status (e, &st);
  look_at_main (e, &st);
  look_at_spare (e, &st);
  look_at_room (e, &st);
  look_at_health (e, &st);
  events_tick (e->config.events, false);
}
