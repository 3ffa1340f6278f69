/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A sum is open from the event that begins it until EVENT_SUM_MS have passed
 * in which nothing happened.  What happens while it is open is added to it,
 * and becomes an event when its time has come; then it stays open for as long
 * again.
 */

#include <config.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/message.h"
#include "engine/events.h"

/* WHAT is the matter with some sectors, and what many are called: the noun and
 * what follows it.  NULL: the kind has no sectors, and its text is its own.
 */
static const struct {
  const char *name;
  enum event_severity severity;
  bool each;                    /* is never summed up: is rare, and one that
                                 * is told late could contradict another */
  const char *what, *noun, *rest;
} kinds[NR_EVENT_KINDS] = {
  [EVENT_START] = { .name = "start", .each = true },
  [EVENT_STOP] = { .name = "stop", .each = true },
  [EVENT_CONFIG] = { .name = "config", .each = true },
  [EVENT_JOB_START] = { .name = "job.start", .each = true },
  [EVENT_JOB_PHASE] = { .name = "job.phase", .each = true },
  [EVENT_JOB_END] = { .name = "job.end", .each = true },
  [EVENT_HEALTH] = { .name = "health", .each = true },
  [EVENT_LOST] = {
    "sector.lost", EVENT_ERROR, false,
    "can't be read from main: LOST", "sector", "LOST"
  },
  [EVENT_DECLARED_LOST] = {
    "sector.lost", EVENT_INFO, false,
    "LOST by command", "sector", "LOST by command"
  },
  [EVENT_REMAPPED] = {
    "sector.remapped", EVENT_INFO, false,
    "moved to the spare", "sector", "moved to the spare"
  },
  [EVENT_RECOVERED] = {
    "sector.recovered", EVENT_INFO, false,
    "read after all: in the spare now", "LOST sector", "read after all"
  },
  [EVENT_ZEROED] = {
    "sector.zeroed", EVENT_WARNING, false,
    "LOST, read as zeroes", "LOST sector", "read as zeroes"
  },
  [EVENT_LATE] = {
    "sector.late", EVENT_WARNING, false,
    "late: main isn't written there before the server was restarted, since "
    "what timed out or failed may still take effect", "sector", "late"
  },
  [EVENT_VANISHES] = { .name = "sector.vanishes", .severity = EVENT_WARNING },
  [EVENT_WEAK] = { .name = "sector.weak", .severity = EVENT_WARNING },
  [EVENT_MAIN_LOST] = { "main.lost", EVENT_ERROR, .each = true },
  [EVENT_MAIN_BACK] = { "main.back", EVENT_NOTICE, .each = true },
  [EVENT_MAIN_READONLY] = { "main.readonly", EVENT_ERROR, .each = true },
  [EVENT_MAIN_WRITABLE] = { "main.writable", EVENT_NOTICE, .each = true },
  [EVENT_MAIN_HANGS] = { "main.hangs", EVENT_WARNING, .each = true },
  [EVENT_MAIN_ANSWERS] = { "main.answers", EVENT_NOTICE, .each = true },
  [EVENT_MAIN_OTHER] = { "main.other", EVENT_ERROR, .each = true },
  [EVENT_MAIN_ERROR] = { .name = "main.error", .severity = EVENT_WARNING },
  [EVENT_HOLDS] = { .name = "config" },
  [EVENT_FLUSH_FAILED] = { .name = "main.flush", .severity = EVENT_ERROR },
  [EVENT_SPARE_FULL] = { "spare.full", EVENT_ERROR, .each = true },
  [EVENT_SPARE_ROOM] = { "spare.room", EVENT_NOTICE, .each = true },
  [EVENT_SPARE_THIN] = { "spare.thin", EVENT_WARNING, .each = true },
  [EVENT_SPARE_ENOUGH] = { "spare.enough", EVENT_NOTICE, .each = true },
  [EVENT_SPARE_FAILED] = { "spare.failed", EVENT_ERROR, .each = true },
  [EVENT_SPARE_GONE] = { "spare.gone", EVENT_ERROR, .each = true },
  [EVENT_SPARE_BACK] = { "spare.back", EVENT_NOTICE, .each = true },
  [EVENT_COPY_FAILED] = { "copy.failed", EVENT_ERROR, .each = true },
  [EVENT_COPY_FULL] = { "copy.full", EVENT_ERROR, .each = true },
  [EVENT_MAIN_NOT_NEEDED] = { "rescue.main-not-needed", EVENT_NOTICE,
                              .each = true },
  [EVENT_COPY_ALONE] = { "rescue.copy-alone", EVENT_NOTICE, .each = true },
  [EVENT_SPARE_UNREADABLE] = {
    "spare.unreadable", EVENT_ERROR, false,
    "can't be read: its sector stays mapped to it and reads fail until it is "
    "written again", "slot", "of the spare can't be read"
  },
  [EVENT_SPARE_WARNING] = {
    .name = "spare.warning", .severity = EVENT_WARNING
  },
};

struct sum {
  bool open;
  uint64_t until_ms;            /* of the monotonic clock */
  struct event e;               /* TIMES is 0: nothing was added yet */
};

struct events {
  struct events_config config;

  pthread_mutex_t mutex;        /* guards all that follows */
  uint64_t first, next;         /* numbers: of this server's first event, and
                                 * of the next one */
  struct sum sum[NR_EVENT_KINDS];
  struct event ring[EVENTS_KEPT];       /* by number, modulo its size */
};

static uint64_t
wall_ms (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_REALTIME, &ts);
  return ts.tv_sec * UINT64_C (1000) + ts.tv_nsec / 1000000;
}

static uint64_t
now_ms (const struct events *ev)
{
  return ev->config.now_ms ? ev->config.now_ms (ev->config.opaque)
    : clock_now_ms ();
}

/* The rest of these functions are called with the mutex held. */

static void
add (struct events *ev, const struct event *e)
{
  struct event *place = &ev->ring[ev->next % EVENTS_KEPT];

  *place = *e;
  place->number = ev->next++;
  place->time_ms = wall_ms ();
  place->severity = kinds[e->kind].severity;
}

/* What a sum of sectors says.  One that is told at once has one range. */
static void
say_sectors (struct event *e, bool at_once)
{
  const bool slots = e->kind == EVENT_SPARE_UNREADABLE;
  const uint64_t start = e->range[0].start, n = e->range[0].count;

  if (!at_once)
    snprintf (e->text, sizeof e->text, "%" PRIu64 " more %s%s %s in %u s, "
              "first %" PRIu64, e->count, kinds[e->kind].noun,
              e->count == 1 ? "" : "s", kinds[e->kind].rest,
              EVENT_SUM_MS / 1000, start);
  else if (slots)
    snprintf (e->text, sizeof e->text, "spare: slot %" PRIu64 " %s", start,
              kinds[e->kind].what);
  else
    snprintf (e->text, sizeof e->text, "sectors %" PRIu64 "-%" PRIu64
              " (offset 0x%" PRIx64 ", %" PRIu64 " bytes): %s", start,
              start + n - 1, start << SECTOR_SHIFT, n << SECTOR_SHIFT,
              kinds[e->kind].what);
}

/* The time of a sum has come: what was added becomes an event. */
static bool
close_sum (struct events *ev, struct sum *s, uint64_t now)
{
  const size_t used = strlen (s->e.text);

  s->open = s->e.times > 0;
  if (!s->open)
    return false;
  if (kinds[s->e.kind].noun)
    say_sectors (&s->e, false);
  else if (s->e.times > 1)
    snprintf (s->e.text + used, sizeof s->e.text - used, " (%" PRIu64
              " times in %u s)", s->e.times, EVENT_SUM_MS / 1000);
  add (ev, &s->e);
  s->until_ms = now + EVENT_SUM_MS;
  s->e.times = 0;
  return true;
}

/* Adds a range to those of an event, to one that it touches if there is any.
 */
static void
add_range (struct event *e, uint64_t start, uint64_t count)
{
  for (unsigned i = 0; i < e->nr_ranges; i++) {
    const uint64_t first = e->range[i].start, end = first + e->range[i].count;

    if (start > end || start + count < first)
      continue;
    e->range[i].start = min_u64 (first, start);
    e->range[i].count = max_u64 (end, start + count) - e->range[i].start;
    return;
  }
  if (e->nr_ranges == EVENT_RANGES) {
    e->more = true;
    return;
  }
  e->range[e->nr_ranges].start = start;
  e->range[e->nr_ranges++].count = count;
}

static void
begin_event (struct event *e, enum event_kind kind)
{
  memset (e, 0, offsetof (struct event, range));
  e->kind = kind;
  e->subject[0] = e->from[0] = e->to[0] = e->text[0] = '\0';
}

/* The event to which an occurrence is to be added, and whether that is told at
 * once; *TOLD: there are new events already.
 */
static struct event *
occurs (struct events *ev, enum event_kind kind, uint64_t now, bool *at_once,
        bool *told)
{
  struct sum *s = &ev->sum[kind];

  *told = s->open && now >= s->until_ms && close_sum (ev, s, now);
  *at_once = !s->open;
  if (s->e.times == 0)
    begin_event (&s->e, kind);
  s->e.times++;
  return &s->e;
}

static void
tell_at_once (struct events *ev, struct event *e, uint64_t now)
{
  struct sum *s = &ev->sum[e->kind];

  add (ev, e);
  e->times = 0;
  s->open = !kinds[e->kind].each;
  s->until_ms = now + EVENT_SUM_MS;
}

static void
copy (char *to, size_t size, const char *from)
{
  snprintf (to, size, "%s", from ? from : "");
}

struct events *
events_new (const struct events_config *config)
{
  struct events *ev = calloc (1, sizeof *ev);

  if (ev == NULL)
    return NULL;
  ev->config = *config;
  pthread_mutex_init (&ev->mutex, NULL);
  /* Numbers count up from one server to the next, too, as long as nobody sets
   * the clock back; and JSON can carry them (below 2^53 until 2248).
   */
  ev->first = ev->next = wall_ms () << 10;
  return ev;
}

void
events_free (struct events *ev)
{
  if (ev == NULL)
    return;
  pthread_mutex_destroy (&ev->mutex);
  free (ev);
}

static void
wake (struct events *ev)
{
  if (ev->config.wake)
    ev->config.wake (ev->config.opaque);
}

void
events_tell_change (struct events *ev, enum event_kind kind,
                    const char *subject, const char *from, const char *to,
                    const char *text)
{
  bool at_once, told;
  struct event *e;
  uint64_t now;

  if (ev == NULL)
    return;
  now = now_ms (ev);
  pthread_mutex_lock (&ev->mutex);
  e = occurs (ev, kind, now, &at_once, &told);
  copy (e->subject, sizeof e->subject, subject);
  copy (e->from, sizeof e->from, from);
  copy (e->to, sizeof e->to, to);
  copy (e->text, sizeof e->text, text);
  if (at_once)
    tell_at_once (ev, e, now);
  pthread_mutex_unlock (&ev->mutex);
  if (at_once || told)
    wake (ev);
}

void
events_tell (struct events *ev, enum event_kind kind, const char *fs, ...)
{
  struct message m;
  va_list args;

  if (ev == NULL)
    return;
  va_start (args, fs);
  vsnprintf (m.text, sizeof m.text, fs, args);
  va_end (args);
  events_tell_change (ev, kind, NULL, NULL, NULL, m.text);
}

void
events_tell_sectors (struct events *ev, enum event_kind kind,
                     enum change_reason why, uint64_t start, uint64_t count)
{
  bool at_once, told;
  struct event *e;
  uint64_t now;

  if (ev == NULL)
    return;
  now = now_ms (ev);
  pthread_mutex_lock (&ev->mutex);
  e = occurs (ev, kind, now, &at_once, &told);
  e->count += count;
  if ((unsigned) why <= WHY_LAST)
    e->why[why] += count;
  add_range (e, start, count);
  if (at_once) {
    say_sectors (e, true);
    tell_at_once (ev, e, now);
  }
  pthread_mutex_unlock (&ev->mutex);
  if (at_once || told)
    wake (ev);
}

void
events_tick (struct events *ev, bool all)
{
  bool told = false;
  uint64_t now;

  if (ev == NULL)
    return;
  now = now_ms (ev);
  pthread_mutex_lock (&ev->mutex);
  for (unsigned i = 0; i < NR_EVENT_KINDS; i++)
    if (ev->sum[i].open && (all || now >= ev->sum[i].until_ms))
      told |= close_sum (ev, &ev->sum[i], now);
  pthread_mutex_unlock (&ev->mutex);
  if (told)
    wake (ev);
}

/* The oldest event that is still there; with the mutex held. */
static uint64_t
oldest (const struct events *ev)
{
  return ev->next - ev->first > EVENTS_KEPT ? ev->next - EVENTS_KEPT
    : ev->first;
}

bool
events_next (struct events *ev, uint64_t number, struct event *event)
{
  bool found;

  pthread_mutex_lock (&ev->mutex);
  number = max_u64 (number, oldest (ev));
  found = number < ev->next;
  if (found)
    *event = ev->ring[number % EVENTS_KEPT];
  pthread_mutex_unlock (&ev->mutex);
  return found;
}

void
events_bounds (struct events *ev, uint64_t *first, uint64_t *next)
{
  pthread_mutex_lock (&ev->mutex);
  *first = ev->first;
  *next = ev->next;
  pthread_mutex_unlock (&ev->mutex);
}

const char *
event_kind_name (enum event_kind kind)
{
  return kinds[kind].name;
}

const char *
event_severity_name (enum event_severity severity)
{
  static const char *const names[] = {
    [EVENT_INFO] = "info", [EVENT_NOTICE] = "notice",
    [EVENT_WARNING] = "warning", [EVENT_ERROR] = "error",
  };

  return names[severity];
}
