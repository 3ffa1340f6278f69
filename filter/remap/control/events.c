/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "control/events.h"
#include "control/protocol.h"
#include "control/reply.h"
#include "engine/events.h"

#define MAX_EVENTS 1000         /* in one reply */

static void
put_text (json_t *object, const char *key, const char *text)
{
  json_object_set_new (object, key, control_text (text));
}

static void
put_sectors (json_t *o, const struct event *e)
{
  json_t *ranges = json_array (), *why = json_object ();

  put_number (o, "count", e->count);
  for (unsigned i = 0; i < e->nr_ranges; i++)
    append_range (ranges, e->range[i].start, e->range[i].count);
  json_object_set_new (o, "ranges", ranges);
  json_object_set_new (o, "more", json_boolean (e->more));
  for (unsigned i = 0; i <= WHY_LAST; i++)
    if (e->why[i] > 0)
      put_number (why, change_reason_name (i), e->why[i]);
  json_object_set_new (o, "why", why);
}

/* The reasons are lines of the text. */
static void
put_health (json_t *o, const struct event *e)
{
  json_t *reasons = json_array ();
  const char *line = e->text;
  size_t len;

  put_text (o, "from", e->from);
  put_text (o, "to", e->to);
  for (; *line; line += len + (line[len] == '\n')) {
    char text[sizeof e->text];

    len = strcspn (line, "\n");
    memcpy (text, line, len);
    text[len] = '\0';
    json_array_append_new (reasons, control_text (text));
  }
  json_object_set_new (o, "reasons", reasons);
}

static json_t *
event_json (const struct event *e)
{
  json_t *o = json_object ();

  put_number (o, "number", e->number);
  put_number (o, "time", e->time_ms / 1000);
  put_number (o, "ms", e->time_ms % 1000);
  put_text (o, "kind", event_kind_name (e->kind));
  put_text (o, "severity", event_severity_name (e->severity));
  put_number (o, "times", e->times);
  switch (e->kind) {
  case EVENT_HEALTH:
    put_health (o, e);
    return o;
  case EVENT_CONFIG:
  case EVENT_HOLDS:
    put_text (o, "key", e->subject);
    put_text (o, "value", e->to);
    break;
  case EVENT_JOB_START:
    put_text (o, "job", e->subject);
    break;
  case EVENT_JOB_PHASE:
    put_text (o, "job", e->subject);
    put_text (o, "phase", e->to);
    break;
  case EVENT_JOB_END:
    put_text (o, "job", e->subject);
    put_text (o, "result", e->to);
    break;
  default:
    if (e->nr_ranges > 0)
      put_sectors (o, e);
    break;
  }
  put_text (o, "text", e->text);
  return o;
}

/* Numbers of a server before this one, or that none has given yet, are not an
 * error: then all is told that is there.
 */
static uint64_t
first_wanted (const struct control_target *t, uint64_t since)
{
  uint64_t first, next;

  events_bounds (t->events, &first, &next);
  return since < first || since > next ? first : since;
}

bool
control_has_events (const struct control_target *t, uint64_t since)
{
  uint64_t first, next;

  events_bounds (t->events, &first, &next);
  return since < first ? next > first : since != next;
}

json_t *
control_events (const struct control_target *t, uint64_t since)
{
  uint64_t number = first_wanted (t, since), missed = 0;
  const bool restarted = since != 0 && since != number;
  json_t *reply = control_ok (), *list = json_array ();
  struct event e;

  for (unsigned n = 0; n < MAX_EVENTS && events_next (t->events, number, &e);
       n++) {
    missed += e.number - number;
    number = e.number + 1;
    json_array_append_new (list, event_json (&e));
  }
  json_object_set_new (reply, "events", list);
  put_number (reply, "next", number);
  put_number (reply, "missed", missed);
  json_object_set_new (reply, "restarted", json_boolean (restarted));
  return reply;
}
