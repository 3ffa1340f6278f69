/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The runs of a table, page by page from a server; trusting nothing that
 * it says: runs are in order, within what was asked for, and each page goes
 * on where the last one ended.
 */

#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "remapctl.h"

static const char *const state_names[] = {
  [DIRECT] = "direct", [REMAPPED] = "remapped", [LOST] = "lost",
  [ZERO] = "zero",
};

const char *
state_name (enum sector_state state)
{
  return state_names[state];
}

bool
state_of (const char *name, enum sector_state *state)
{
  for (int i = REMAPPED; i <= ZERO; i++)
    if (strcmp (state_names[i], name) == 0) {
      *state = i;
      return true;
    }
  return false;
}

bool
parse_states (const char *s, unsigned *states)
{
  char *copy = copy_text (s), *save, *word;
  enum sector_state state;
  bool ok = true;

  *states = 0;
  for (word = strtok_r (copy, ",", &save); word && ok;
       word = strtok_r (NULL, ",", &save)) {
    ok = state_of (word, &state);
    if (ok)
      *states |= 1U << state;
  }
  ok = ok && *states != 0;
  free (copy);
  if (!ok)
    error ("--states=%s: must be a list of remapped, lost, zero", s);
  return ok;
}

void
table_add (struct table *t, const struct table_run *run)
{
  struct table_run *v;

  if (t->n == t->cap) {
    t->cap = t->cap ? t->cap * 2 : 256;
    v = realloc (t->v, t->cap * sizeof *v);
    if (v == NULL) {
      error ("out of memory");
      exit (STATUS_REFUSED);
    }
    t->v = v;
  }
  t->v[t->n++] = *run;
}

void
table_free (struct table *t)
{
  free (t->v);
  t->v = NULL;
  t->n = t->cap = 0;
}

/* The reasons live as long as the program. */
static const char *
known_reason (const char *why)
{
  static const char *const reasons[] = {
    "auto-write", "auto-read", "weak", "manual", "import", "client",
  };

  for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
    if (strcmp (reasons[i], why) == 0)
      return reasons[i];
  return "unknown";
}

static bool
parse_run (struct reader *r, struct table_run *run)
{
  const json_t *slot = json_object_get (r->root, "slot");
  const char *state = get_string (r, "state");

  run->run.start = get_uint (r, "start");
  run->run.count = get_uint (r, "count");
  run->since = get_uint (r, "since");
  run->why = known_reason (get_string (r, "why"));
  run->run.slot = NO_SLOT;
  if (!r->bad && !state_of (state, &run->run.state)) {
    error ("the server's reply can't be understood: there is no state '%s'",
           state);
    r->bad = true;
  }
  if (!r->bad && (run->run.state == REMAPPED || !json_is_null (slot)))
    run->run.slot = get_uint (r, "slot");
  return !r->bad;
}

/* One page; *FROM is what the next one begins with. */
static bool
add_page (struct table *t, json_t *reply, uint64_t *from, bool *more)
{
  struct reader r = { .root = reply };
  const json_t *runs = get_array (&r, "runs");
  struct table_run run;
  uint64_t next = t->end, at = *from;

  *more = !json_is_null (json_object_get (reply, "next"));
  if (*more)
    next = get_uint (&r, "next");
  for (size_t i = 0; runs && i < json_array_size (runs); i++) {
    struct reader rr = array_reader (runs, i);

    if (!parse_run (&rr, &run))
      return false;
    if (run.run.count == 0 || run.run.start < at ||
        run.run.start >= t->end || run.run.count > t->end - run.run.start) {
      error ("the server's reply can't be understood: its table is out of "
             "order at sector %" PRIu64, run.run.start);
      return false;
    }
    at = run.run.start + run.run.count;
    table_add (t, &run);
  }
  if (!r.bad && *more && (next <= *from || next < at)) {
    error ("the server's reply can't be understood: the next page of the "
           "table begins before this one's end");
    return false;
  }
  *from = next;
  *more = *more && next < t->end;
  return !r.bad;
}

static bool
find_range (struct table *t, struct client *c, uint64_t start,
            uint64_t count, int *status)
{
  if (!client_main_size (c, &t->main_size, status))
    return false;
  t->start = start;
  if (find_range_end (start, count, t->main_size, &t->end))
    return true;
  *status = STATUS_REFUSED;
  return false;
}

bool
table_from_server (struct table *t, const struct ctl *ctl, uint64_t start,
                   uint64_t count, int *status)
{
  struct client *c = client_open (ctl, status);
  bool ok, more = true;
  uint64_t from = start;
  json_t *reply;

  memset (t, 0, sizeof *t);
  if (c == NULL)
    return false;
  ok = find_range (t, c, start, count, status);
  while (ok && more) {
    reply = client_request (c, status, "table %" PRIu64 " %" PRIu64, from,
                            t->end - from);
    ok = reply != NULL;
    if (ok && !add_page (t, reply, &from, &more)) {
      *status = STATUS_NO_SERVER;
      ok = false;
    }
    json_decref (reply);
  }
  client_close (c);
  if (!ok)
    table_free (t);
  return ok;
}
