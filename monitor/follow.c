/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "ctl/connection.h"
#include "ctl/reply.h"
#include "ctl/status/parse.h"
#include "ctl/text.h"
#include "follow.h"
#include "log.h"

/* Much more than servers send, and little memory. */
#define MAX_EVENTS_REPLY (size_t) (2 << 20)
#define MAX_STATUS_REPLY (size_t) (512 << 10)

#define MAX_EVENTS 1000                 /* in a reply, as servers have it */
#define MAX_KIND 48
#define MAX_EVENT_TEXT 1000

#define HOLDER "remap-monitor"           /* of background work */

#define ANSWER_MS 5000                  /* a status is there at once */
#define EVENTS_MS 60000                 /* events come after 30 s at most */
#define BETWEEN_EVENTS_MS 200           /* however many there are */
#define MAX_BACKOFF_MS 30000
#define AGAIN_MS 5000                   /* the history was full */
#define MAP_MS (300 * 1000)
#define HOLD_MS (240 * 1000)            /* servers let go after 10 minutes */
#define COOLER 3                        /* degrees */

static void
close_link (struct link *l)
{
  connection_close (l->c);
  *l = (struct link) { 0 };
}

/* It doesn't answer, as WHY says, which is taken over. */
static void
goes_down (struct watched *w, uint64_t now, char *why)
{
  close_link (&w->events);
  close_link (&w->asking);
  if (w->up || w->down_ms == 0)
    w->down_ms = now;
  w->up = false;
  free (w->why);
  w->why = why;
  w->looked = true;
  w->changes++;
  /* A second at first, since most come back soon. */
  w->events_ms = w->status_ms = now +
    min_u64 (MAX_BACKOFF_MS, UINT64_C (1000) << min_u64 (w->failures, 5));
  w->failures++;
}

/* Sends LINE over the link, which is opened if needed. */
static bool
ask (struct watched *w, struct link *l, const char *line, size_t limit,
     uint64_t now, uint64_t patience)
{
  char *why = NULL;
  int err = l->c ? 0
    : connection_open (w->path, CONNECTION_NEVER_WAITS, &l->c);

  if (err)
    why = text_of ("%s: %s", w->path, connection_why_not (err));
  else {
    connection_limit (l->c, limit);
    if (connection_send (l->c, line, &why)) {
      l->asked = true;
      l->deadline_ms = now + patience;
      return true;
    }
  }
  goes_down (w, now, why);
  return false;
}

static enum level
level_of (const char *severity)
{
  return strcmp (severity, "error") == 0 ? LEVEL_ERROR
    : strcmp (severity, "warning") == 0 ? LEVEL_WARNING : LEVEL_OK;
}

/* Not more than N bytes, and no half of a character. */
static void
shorten (char *text, size_t n)
{
  if (strlen (text) <= n)
    return;
  while (n > 0 && ((unsigned char) text[n] & 0xc0) == 0x80)
    n--;
  text[n] = '\0';
}

/* Health has from, to and reasons in place of a text. */
static char *
event_text (struct reader *r, const char *kind)
{
  const json_t *reasons;
  char *text, *more;

  if (strcmp (kind, "health") != 0)
    return copy_text (get_string (r, "text"));
  text = text_of ("%s -> %s", get_string (r, "from"), get_string (r, "to"));
  reasons = get_array (r, "reasons");
  for (size_t i = 0; i < json_array_size (reasons) && i < 16; i++) {
    const char *s = json_string_value (json_array_get (reasons, i));

    more = text_of ("%s%s%s", text, i == 0 ? ": " : "; ", s ? s : "?");
    free (text);
    text = more;
  }
  return text;
}

enum kept { KEPT, NOT_KEPT, NOT_UNDERSTOOD };

static enum kept
keep_event (struct watched *w, struct store *store, const json_t *events,
            size_t i)
{
  struct reader r = array_reader (events, i);
  const uint64_t number = get_uint (&r, "number");
  const uint64_t time = get_uint (&r, "time"), ms = get_uint (&r, "ms");
  const enum level level = level_of (get_string (&r, "severity"));
  char *kind = copy_text (get_string (&r, "kind"));
  char *text = event_text (&r, kind);
  enum kept kept = NOT_UNDERSTOOD;

  shorten (kind, MAX_KIND);
  shorten (text, MAX_EVENT_TEXT);
  if (!r.bad)
    kept = store_add_event (store, w->stored.id, &(struct stored_event) {
        .number = number, .kind = kind, .text = text, .level = level,
        .time_ms = min_u64 (time, INT64_MAX / 1000 - 1) * 1000 +
        min_u64 (ms, 999) }) ? KEPT : NOT_KEPT;
  free (kind);
  free (text);
  return kept;
}

/* What a server has forgotten while nobody listened is told as well. */
static enum kept
keep_missed (struct watched *w, struct store *store, uint64_t missed)
{
  char text[128];

  snprintf (text, sizeof text, "%" PRIu64 " events were missed: the server "
            "keeps only the newest", missed);
  return store_add_event (store, w->stored.id, &(struct stored_event) {
      .number = w->stored.next, .kind = "missed", .text = text,
      .level = LEVEL_WARNING, .time_ms = time (NULL) * UINT64_C (1000) })
    ? KEPT : NOT_KEPT;
}

/* Keeps them and the number to go on with, together; if it can't, the same
 * ones are asked for again.
 */
static enum kept
keep_events (struct watched *w, struct store *store, const json_t *reply)
{
  struct reader r = { .root = reply };
  const json_t *events = get_array (&r, "events");
  const size_t n = json_array_size (events);
  const uint64_t missed = get_uint (&r, "missed");
  struct stored_server stored = w->stored;
  enum kept kept = KEPT;

  stored.next = get_uint (&r, "next");
  if (r.bad || n > MAX_EVENTS)
    return NOT_UNDERSTOOD;
  if (n == 0 && stored.next == w->stored.next)
    return KEPT;
  if (!store_begin (store))
    return NOT_KEPT;
  if (missed > 0 && w->stored.next > 0)
    kept = keep_missed (w, store, missed);
  for (size_t i = 0; kept == KEPT && i < n; i++)
    kept = keep_event (w, store, events, i);
  if (kept == KEPT && !store_write_server (store, &stored))
    kept = NOT_KEPT;
  if (!store_end (store, kept == KEPT))
    return kept == KEPT ? NOT_KEPT : kept;
  w->stored = stored;
  w->added += n;
  return KEPT;
}

static void
take_events (struct watched *w, struct store *store, const json_t *reply,
             uint64_t now)
{
  const bool any = json_array_size (json_object_get (reply, "events")) > 0;

  switch (keep_events (w, store, reply)) {
  case NOT_UNDERSTOOD:
    goes_down (w, now, text_of ("%s: what it tells can't be understood (%s)",
                                w->path, last_error ()));
    return;
  case NOT_KEPT:
    w->events_ms = now + AGAIN_MS;
    return;
  case KEPT:
    break;
  }
  w->events_ms = now + (any ? BETWEEN_EVENTS_MS : 0);
  if (!any)
    return;
  w->looked = true;
  w->changes++;
  w->status_ms = w->map_ms = now;
  if (w->added >= 1000) {
    store_prune_events (store, w->stored.id);
    w->added = 0;
  }
}

static void
take_status (struct watched *w, json_t *reply, const struct settings *set,
             uint64_t now)
{
  struct status st;

  if (!status_parse (&st, json_incref (reply))) {
    goes_down (w, now, text_of ("%s", last_error ()));
    return;
  }
  status_free (&st);
  w->changes += !w->up || !json_equal (json_object_get (w->status, "sectors"),
                                       json_object_get (reply, "sectors")) ||
    !json_equal (json_object_get (w->status, "reasons"),
                 json_object_get (reply, "reasons"));
  json_decref (w->status);
  w->status = json_incref (reply);
  smart_read (&w->smart, w->path);
  w->status_ms = now + set->interval * UINT64_C (1000);
  w->up = true;
  w->failures = 0;
  w->looked = true;
  free (w->why);
  w->why = NULL;
}

/* Is it hot, or not yet clearly cooler again?  Nobody knows of a disk that
 * says nothing: then the hold ends by itself.
 */
static bool
is_hot (const struct watched *w, const struct settings *set)
{
  return set->hot > 0 && w->smart.known && w->smart.has_temperature &&
    w->smart.temperature >= (int) set->hot - (w->holding ? COOLER : 0);
}

/* A refusal, since others hold it already, changes nothing. */
static void
take_held (struct watched *w, const json_t *reply, const struct settings *set,
           uint64_t now)
{
  const bool hot = is_hot (w, set);

  if (hot != w->holding && json_is_true (json_object_get (reply, "ok")))
    log_line (LOG_IS_INFO, "disk %s: %d degrees: background work %s", w->name,
              w->smart.temperature, hot ? "waits" : "goes on");
  w->holding = hot;
  w->hold_ms = hot ? now + HOLD_MS : 0;
}

static void
take_map (struct watched *w, json_t *reply, uint64_t now)
{
  w->changes += !json_equal (w->map, reply);
  json_decref (w->map);
  w->map = json_incref (reply);
  w->map_ms = now + MAP_MS;
}

/* A reply of either connection, or none yet, or no more patience. */
static void
receive (struct watched *w, struct link *l, struct store *store,
         const struct settings *set, uint64_t now)
{
  char *why = NULL;
  json_t *reply;

  if (l->c == NULL)
    return;
  reply = connection_receive_some (l->c, &why);
  if (reply == NULL && why == NULL && l->asked && now >= l->deadline_ms)
    why = text_of ("%s: %s", w->path, connection_why_not (EAGAIN));
  if (reply && !l->asked)
    why = text_of ("%s: it says something without being asked: this is no "
                   "server of the remap filter", w->path);
  else if (reply && !json_is_true (json_object_get (reply, "ok")) &&
           (l == &w->events || w->asked != ASKED_HOLD))
    why = refusal_text (reply);
  if (why)
    goes_down (w, now, why);
  else if (reply) {
    l->asked = false;
    if (l == &w->events)
      take_events (w, store, reply, now);
    else if (w->asked == ASKED_HOLD)
      take_held (w, reply, set, now);
    else if (w->asked == ASKED_MAP)
      take_map (w, reply, now);
    else
      take_status (w, reply, set, now);
  }
  json_decref (reply);
}

/* The question of the second connection that is due, in LINE; false: none. */
static bool
choose (struct watched *w, const struct settings *set, uint64_t now,
        char line[64])
{
  const bool hot = is_hot (w, set);

  if (now >= w->status_ms) {
    w->asked = ASKED_STATUS;
    strcpy (line, "status");
  }
  else if (w->up && (hot ? now >= w->hold_ms : w->holding)) {
    w->asked = ASKED_HOLD;
    snprintf (line, 64, "background %s " HOLDER, hot ? "hold" : "release");
  }
  else if (w->up && now >= w->map_ms) {
    w->asked = ASKED_MAP;
    snprintf (line, 64, "map %d", MAP_CELLS);
  }
  else
    return false;
  return true;
}

static void
ask_what_is_due (struct watched *w, const struct settings *set, uint64_t now)
{
  char line[64];

  if (!w->asking.asked && choose (w, set, now, line) &&
      !ask (w, &w->asking, line, MAX_STATUS_REPLY, now,
            w->asked == ASKED_MAP ? EVENTS_MS : ANSWER_MS))
    return;
  if (!w->events.asked && now >= w->events_ms) {
    snprintf (line, sizeof line, "events %" PRIu64 " wait", w->stored.next);
    ask (w, &w->events, line, MAX_EVENTS_REPLY, now, EVENTS_MS);
  }
}

/* When there is something to do that no peer begins. */
static uint64_t
next_call (const struct watched *w)
{
  uint64_t next = UINT64_MAX;

  if (w->events.asked)
    next = min_u64 (next, w->events.deadline_ms);
  else
    next = min_u64 (next, w->events_ms);
  if (w->asking.asked)
    return min_u64 (next, w->asking.deadline_ms);
  if (w->up)
    next = min_u64 (next, w->map_ms);
  return min_u64 (next, w->status_ms);
}

unsigned
follow_fds (const struct watched *w, struct pollfd *p)
{
  unsigned n = 0;

  if (w->events.c)
    p[n++] = (struct pollfd) { .fd = connection_fd (w->events.c),
                               .events = POLLIN };
  if (w->asking.c)
    p[n++] = (struct pollfd) { .fd = connection_fd (w->asking.c),
                               .events = POLLIN };
  return n;
}

uint64_t
follow (struct watched *w, struct store *store, const struct settings *set,
        uint64_t now)
{
  if (w->down_ms == 0)
    w->down_ms = now;
  if (!w->known && !store_read_server (store, w->name, &w->stored))
    return now + 1000;
  w->known = true;
  receive (w, &w->events, store, set, now);
  receive (w, &w->asking, store, set, now);
  ask_what_is_due (w, set, now);
  return next_call (w);
}

void
follow_free (struct watched *w)
{
  close_link (&w->events);
  close_link (&w->asking);
  json_decref (w->status);
  json_decref (w->map);
  free (w->why);
  free (w->name);
  free (w->path);
  free (w);
}
