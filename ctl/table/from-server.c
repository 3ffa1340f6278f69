/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "client.h"
#include "exit-status.h"
#include "reply.h"
#include "table/from-server.h"
#include "text.h"

static enum change_reason
reason_of (const char *name)
{
  const char *unknown = change_reason_name (WHY_UNKNOWN);

  for (int i = WHY_UNKNOWN + 1;
       strcmp (change_reason_name (i), unknown) != 0; i++)
    if (strcmp (change_reason_name (i), name) == 0)
      return i;
  return WHY_UNKNOWN;
}

static bool
parse_run (struct reader *r, struct history_run *run)
{
  const json_t *slot = json_object_get (r->root, "slot");
  const char *state = get_string (r, "state");

  run->run.start = get_uint (r, "start");
  run->run.count = get_uint (r, "count");
  run->since = get_uint (r, "since");
  run->why = reason_of (get_string (r, "why"));
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

/* Where the next page begins; *MORE is false if there is none. */
static bool
find_next (const struct table *t, const json_t *reply, uint64_t from,
           uint64_t *next, bool *more)
{
  struct reader r = { .root = reply };

  *more = !json_is_null (json_object_get (reply, "next"));
  *next = *more ? get_uint (&r, "next") : t->end;
  if (!r.bad && *next <= from) {
    error ("the server's reply can't be understood: the next page of the "
           "table begins before this one's end");
    return false;
  }
  *more = *more && *next < t->end;
  return !r.bad;
}

/* Adds a page, whose runs are from FROM to before NEXT. */
static bool
add_page (struct table *t, const json_t *reply, uint64_t from, uint64_t next)
{
  struct reader r = { .root = reply };
  const json_t *runs = get_array (&r, "runs");
  struct history_run run;
  uint64_t at = from;

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
    at = run_end_sector (&run.run);
    table_add (t, &run);
  }
  if (!r.bad && next < at) {
    error ("the server's reply can't be understood: the next page of the "
           "table begins before this one's end");
    return false;
  }
  return !r.bad;
}

static bool
find_range (struct table *t, struct connection *c, uint64_t start,
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

/* All pages.  The next one is asked for before this one is looked at, so that
 * the server works meanwhile.
 */
static bool
read_pages (struct table *t, struct connection *c, int *status)
{
  uint64_t from = t->start, next;
  json_t *reply;
  bool ok, more;

  ok = client_begin (c, status, "table %" PRIu64 " %" PRIu64, from,
                     t->end - from);
  for (more = ok; more; from = next) {
    reply = client_finish (c, status);
    if (reply == NULL)
      return false;
    *status = STATUS_NO_SERVER;
    ok = find_next (t, reply, from, &next, &more) &&
      (!more || client_begin (c, status, "table %" PRIu64 " %" PRIu64, next,
                              t->end - next)) &&
      add_page (t, reply, from, next);
    json_decref (reply);
    if (!ok)
      return false;
  }
  *status = STATUS_DONE;
  return ok;
}

bool
table_from_server (struct table *t, struct ctl *ctl, uint64_t start,
                   uint64_t count, int *status)
{
  struct connection *c;
  bool ok;

  memset (t, 0, sizeof *t);
  client_guess (ctl);
  c = client_open (ctl, status);
  if (c == NULL)
    return false;
  ok = find_range (t, c, start, count, status) && read_pages (t, c, status);
  connection_close (c);
  if (!ok)
    table_free (t);
  return ok;
}
