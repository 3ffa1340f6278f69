/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What happens to a line that a program writes to the control socket.
 *
 * One thread (peers.c) serves all connections.  It reads a line, has it
 * parsed (protocol.c), and has it executed, here.  So everything here is one
 * of two kinds:
 *
 *   quick   ping, help, status, clients, events, background,
 *           set_auto_remap, clear_stats, and what steers the copier: memory
 *           is read, a switch is set.
 *           They run in that one thread, which meanwhile serves nobody
 *           else; they must not wait for a disk,
 *           for a lock that is held during I/O, or for a thread.
 *   slow    everything else: it reads or writes main or the spare, or walks
 *           through a table of any length.  jobs.c gives each of these a
 *           thread, up to a limit; so they run beside each other and beside
 *           clients' requests, and only the engine keeps them apart.
 *
 * The samples and times of struct control_target have no lock: only quick
 * requests use them.  (ping and clear_stats are quick for this reason, too.)
 *
 * A slow request can end early.  It is asked to when the server ends, when
 * the program that has asked hangs up, and when a client waits for the
 * plugin's only connection.  The engine asks must_stop before each piece of
 * work; what was done by then is durable and stays, and the reply says how
 * much it was.
 *
 * Memory: a reply is made in memory, whole, so its length is limited: a
 * table has 1000 runs, or events, and says where to go on; a map has 16384
 * cells; a list of bad sectors has 100 and says that there were more.  A
 * request keeps nothing after its reply.  The spare's history, which tells
 * since when a sector is in its state, is read for the first table and kept for
 * a minute after the last one.  If memory runs out, jansson's functions pass
 * NULL on from one to the next, and the reply becomes an error; but what was
 * done is done.
 *
 * Trust: the control socket has mode 0600, and whoever can connect may do
 * everything.  At the status socket, whose mode is 0660, only what shows is
 * allowed (control_check_right), and to hold up work that nobody waits for.
 * But no line may do harm beyond what it asks for: control_check_range is the
 * one place where numbers meet main's size, and it comes before anything else.
 *
 * Main is not ours: it is borrowed for one request (get_main, put_main), so
 * that this file needs to know neither nbdkit nor what a plugin allows.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "control/background.h"
#include "control/cells.h"
#include "control/events.h"
#include "control/requests.h"
#include "control/rescue.h"
#include "control/status.h"
#include "control/table.h"
#include "engine/events.h"
#include "host/copy-file.h"
#include "spare/backup.h"

#define MAX_BAD_RUNS 100        /* in one reply */
#define MAX_CLIENTS 100         /* in one reply */
#define MAX_HOLDS 32            /* told one by one, in a minute */

/* A request that the engine executes. */
struct progress {
  struct control_target *t;
  const struct control_request *rq;
  const atomic_bool *stop, *told;
  unsigned quarter;             /* of the work, that was told last */
  bool was_wanted;              /* stopped because a client needs main */
  unsigned nr_runs;
  bool more;
  struct {
    sector_t start;
    uint64_t count;
  } run[MAX_BAD_RUNS];
};

static bool
must_stop (void *opaque)
{
  struct progress *p = opaque;

  if (atomic_load (p->stop))
    return true;
  if (p->t->main_is_wanted && p->t->main_is_wanted (p->t->opaque))
    p->was_wanted = true;
  return p->was_wanted;
}

static void
note_bad (void *opaque, sector_t start, uint64_t count)
{
  struct progress *p = opaque;

  if (p->nr_runs > 0 && p->run[p->nr_runs - 1].start +
      p->run[p->nr_runs - 1].count == start)
    p->run[p->nr_runs - 1].count += count;
  else if (p->nr_runs == MAX_BAD_RUNS)
    p->more = true;
  else {
    p->run[p->nr_runs].start = start;
    p->run[p->nr_runs++].count = count;
  }
}

/* Tells how far it has come, at each quarter of the work. */
static void
note_passed (void *opaque, uint64_t passed, uint64_t total)
{
  struct progress *p = opaque;
  const unsigned quarter = passed / ((total + 3) / 4);
  char name[100], phase[16];
  struct message m;

  if (quarter <= p->quarter || p->told == NULL || !atomic_load (p->told))
    return;
  p->quarter = quarter;
  control_describe (p->rq, name, sizeof name);
  snprintf (phase, sizeof phase, "%u %%", 25 * quarter);
  message_set (&m, "%s: %s done", name, phase);
  events_tell_change (p->t->events, EVENT_JOB_PHASE, name, NULL, phase,
                      m.text);
}

static void
put_runs (json_t *reply, const struct progress *p)
{
  json_t *runs = json_array ();

  for (unsigned i = 0; i < p->nr_runs; i++)
    append_range (runs, p->run[i].start, p->run[i].count);
  json_object_set_new (reply, "runs", runs);
  json_object_set_new (reply, "more", json_boolean (p->more));
}

static json_t *
error_reply (struct control_target *t, int err, bool was_wanted)
{
  struct message message;

  if (err == ECANCELED && was_wanted)
    message_set (&message, "stopped: a client connects, and the plugin "
                 "serves one connection at a time");
  else
    engine_explain (t->engine, err, &message);
  return control_error (message.text);
}

static int
call_engine (struct control_target *t, const struct control_request *rq,
               struct engine_conn *conn, const struct engine_watch *watch,
               struct engine_result *res)
{
  struct engine *e = t->engine;

  switch (rq->verb) {
  case CONTROL_REMAP:
    return engine_remap (conn, rq->start, rq->count, WHY_MANUAL, watch, res);
  case CONTROL_VERIFY:
    return engine_verify (conn, rq->start, rq->count, watch, res);
  case CONTROL_UNMAP:
    return engine_unmap (conn, rq->start, rq->count, watch, res);
  case CONTROL_RETRY:
    return engine_retry (conn, rq->start, rq->count, watch, res);
  case CONTROL_FORGET_LOST:
    return engine_forget_lost (e, rq->start, rq->count, watch, res);
  case CONTROL_IMPORT:
    if (rq->lost)
      return engine_declare_lost_ranges (e, rq->range, rq->nr_ranges,
                                         WHY_IMPORT, watch, res);
    return engine_remap_ranges (conn, rq->range, rq->nr_ranges, WHY_IMPORT,
                                watch, res);
  default:
    return EINVAL;
  }
}

/* "lost" counts the sectors that became LOST.  `remap' makes those LOST that
 * main can't read (RES->bad); `import lost' makes all LOST that it changes.
 */
static void
put_result (json_t *reply, const struct control_request *rq,
            const struct engine_result *res, const struct progress *p)
{
  put_number (reply, rq->verb == CONTROL_VERIFY ? "checked" : "done",
              res->done);
  if (rq->verb != CONTROL_VERIFY)
    put_number (reply, "left", res->left);
  switch (rq->verb) {
  case CONTROL_REMAP:
  case CONTROL_IMPORT:
    put_number (reply, "lost", rq->lost ? res->done : res->bad);
    put_runs (reply, p);
    break;
  case CONTROL_VERIFY:
  case CONTROL_UNMAP:
  case CONTROL_RETRY:
    put_number (reply, "bad", res->bad);
    put_runs (reply, p);
    break;
  default:
    break;
  }
}

/* The requests that the engine executes, about a range of sectors. */
static json_t *
handle_range (struct control_target *t, const struct control_request *rq,
         const atomic_bool *stop, const atomic_bool *told)
{
  const bool needs_main = rq->verb != CONTROL_FORGET_LOST && !rq->lost;
  struct progress p = { .t = t, .rq = rq, .stop = stop, .told = told };
  struct engine_watch watch = { .stop = must_stop, .bad = note_bad,
                                .passed = note_passed, .opaque = &p };
  struct engine_conn *conn = NULL;
  struct engine_result res = { 0 };
  struct message message;
  json_t *reply;
  int err;

  if (needs_main &&
      t->get_main (t->opaque, rq->verb == CONTROL_UNMAP, &conn,
                   &message) != 0)
    return control_error (message.text);
  err = call_engine (t, rq, conn, &watch, &res);
  if (needs_main)
    t->put_main (t->opaque);
  reply = err ? error_reply (t, err, p.was_wanted) : control_ok ();
  put_result (reply, rq, &res, &p);
  return reply;
}

static json_t *
grow (struct control_target *t, const struct control_request *rq)
{
  struct message message;
  struct spare_status st;
  json_t *reply;

  if (t->grow (t->opaque, rq->size, &message) != 0)
    return control_error (message.text);
  engine_spare_grown (t->engine);
  spare_get_status (t->spare, &st);
  reply = control_ok ();
  put_number (reply, "size", st.size);
  put_number (reply, "total", st.slots_total);
  return reply;
}

static json_t *
sync_all (struct control_target *t)
{
  struct engine_conn *conn;
  struct engine_status st;
  struct message message;
  int err;

  if (t->get_main (t->opaque, false, &conn, &message) != 0)
    return control_error (message.text);
  err = engine_sync (conn);
  t->put_main (t->opaque);
  if (err)
    return error_reply (t, err, false);
  engine_get_status (t->engine, &st);
  if (st.spare_place.text[0] == '\0')
    return control_ok ();
  message_set (&message, "all was flushed, but %.400s", st.spare_place.text);
  return control_error (message.text);
}

static bool
is_told_to_stop (void *opaque)
{
  return atomic_load ((const atomic_bool *) opaque);
}

/* Into a file of whoever asks, who gives it its size and its name. */
static json_t *
backup (struct control_target *t, const struct control_request *rq,
        const atomic_bool *stop)
{
  struct backup_result res;
  struct message message;
  struct copy_file file;
  json_t *reply;

  if (rq->fd == -1) {
    message_set (&message, "the request is: %s",
                 control_usage (CONTROL_BACKUP));
    return control_error (message.text);
  }
  if (copy_file_init (&file, rq->fd, &message) != 0 ||
      spare_backup (t->spare, &file.device, is_told_to_stop, (void *) stop,
                    &res, &message) != 0)
    return control_error (message.text);
  reply = control_ok ();
  put_number (reply, "size", res.size);
  put_number (reply, "commit_number", res.commit);
  put_number (reply, "sectors", res.sectors);
  put_number (reply, "lost", res.lost);
  json_object_set_new (reply, "older", json_boolean (res.is_older));
  return reply;
}

static json_t *
ping (struct control_target *t)
{
  json_t *reply = control_ok ();

  json_object_set_new (reply, "version", json_string (t->version));
  put_number (reply, "uptime", (clock_now_ms () - t->started_ms) / 1000);
  return reply;
}

static json_t *
help (bool only_shows)
{
  json_t *reply = control_ok (), *list = json_array ();

  for (unsigned verb = 0; control_usage (verb); verb++)
    if (!only_shows || control_only_shows (verb))
      json_array_append_new (list, json_string (control_usage (verb)));
  json_object_set_new (reply, "requests", list);
  return reply;
}

static json_t *
clients (struct control_target *t)
{
  struct control_client v[MAX_CLIENTS];
  const unsigned n = t->get_clients
    ? t->get_clients (t->opaque, v, MAX_CLIENTS) : 0;
  json_t *reply = control_ok (), *list = json_array (), *o;

  for (unsigned i = 0; i < n && i < MAX_CLIENTS; i++) {
    o = json_object ();
    put_number (o, "since", v[i].since);
    json_object_set_new (o, "pid", v[i].pid ? json_integer (v[i].pid)
                         : json_null ());
    json_object_set_new (o, "address", *v[i].address
                         ? json_string (v[i].address) : json_null ());
    json_array_append_new (list, o);
  }
  put_number (reply, "count", n);
  json_object_set_new (reply, "clients", list);
  json_object_set_new (reply, "stopping",
                       json_boolean (t->is_stopping &&
                                     t->is_stopping (t->opaque)));
  return reply;
}

static json_t *
set_auto_remap (struct control_target *t, bool on)
{
  json_t *reply = control_ok ();

  engine_set_auto_remap (t->engine, on);
  events_tell_change (t->events, EVENT_CONFIG, "auto_remap", NULL,
                      on ? "on" : "off", on
                      ? "automatic remapping was switched on"
                      : "automatic remapping was switched off");
  json_object_set_new (reply, "auto_remap", json_boolean (on));
  return reply;
}

static json_t *
clear_stats (struct control_target *t)
{
  engine_clear_stats (t->engine);
  t->since = time (NULL);
  events_tell_change (t->events, EVENT_CONFIG, "counters", NULL, "cleared",
                      "the counters were set to zero");
  return control_ok ();
}

/* Whoever may only watch can do this as often as they like: beyond some it is
 * summed up, so that it doesn't push out of the ring what others have to know.
 */
static void
tell_background (struct control_target *t, const char *holder, const char *to)
{
  const uint64_t now = clock_now_ms ();
  enum event_kind kind = EVENT_CONFIG;
  struct message m;

  if (now - t->holds_since >= 60000) {
    t->holds_since = now;
    t->holds_told = 0;
  }
  if (t->holds_told < MAX_HOLDS)
    t->holds_told++;
  else
    kind = EVENT_HOLDS;
  message_set (&m, "background work is %s by %s", to, holder);
  events_tell_change (t->events, kind, "background", NULL, to, m.text);
}

/* Each holds and releases for itself; but whoever may do everything can end
 * what others hold.
 */
static json_t *
background (struct control_target *t, const struct control_request *rq)
{
  struct background_holder all[BACKGROUND_HOLDERS];
  const uint64_t now = clock_now_ms ();
  char holder[BACKGROUND_NAME];
  bool news = true;
  unsigned n;

  if (*rq->name)
    snprintf (holder, sizeof holder, "%s (uid %u)", rq->name, rq->uid);
  else
    snprintf (holder, sizeof holder, "uid %u", rq->uid);
  if (rq->on) {
    if (!background_hold (t->background, holder, now, &news))
      return control_error ("background work is held by as many already as "
                            "there can be");
    if (news)
      tell_background (t, holder, "held");
    return control_held (t);
  }
  if (!rq->at_status && *rq->name == '\0') {
    n = background_holders (t->background, now, all);
    for (unsigned i = 0; i < n; i++)
      if (background_release (t->background, all[i].name, now))
        tell_background (t, all[i].name, "released");
  }
  else if (background_release (t->background, holder, now))
    tell_background (t, holder, "released");
  return control_held (t);
}

/* All but the table, which is text at once. */
static json_t *
execute (struct control_target *t, struct control_request *rq,
         const atomic_bool *stop, const atomic_bool *told)
{
  struct progress p = { .t = t, .rq = rq, .stop = stop };
  const struct engine_watch watch = { .stop = must_stop, .opaque = &p };

  switch (rq->verb) {
  case CONTROL_PING:
    return ping (t);
  case CONTROL_HELP:
    return help (rq->at_status);
  case CONTROL_STATUS:
    return control_status (t);
  case CONTROL_CLIENTS:
    return clients (t);
  case CONTROL_EVENTS:
    return control_events (t, rq->since);
  case CONTROL_BACKGROUND:
    return background (t, rq);
  case CONTROL_MAP:
    return control_cells (t, rq->cells, stop);
  case CONTROL_SET_AUTO_REMAP:
    return set_auto_remap (t, rq->on);
  case CONTROL_CLEAR_STATS:
    return clear_stats (t);
  case CONTROL_GROW:
    return grow (t, rq);
  case CONTROL_SYNC:
    return sync_all (t);
  case CONTROL_BACKUP:
    return backup (t, rq, stop);
  case CONTROL_RESCUE_COPY:
  case CONTROL_RESCUE_PAUSE:
  case CONTROL_RESCUE_RESUME:
    return control_rescue_copy (t, rq);
  case CONTROL_RESCUE_FINISH:
    return control_rescue_finish (t, rq, &watch);
  default:
    return handle_range (t, rq, stop, told);
  }
}

char *
control_execute (struct control_target *t, struct control_request *rq,
                 const atomic_bool *stop, const atomic_bool *told,
                 size_t *len)
{
  struct message message;

  if (control_check_range (rq,
                           bytes_to_sectors (engine_main_size (t->engine)),
                           &message) != 0)
    return control_encode (control_error (message.text), len);
  if (rq->verb == CONTROL_TABLE)
    return control_table (t, rq, stop, len);
  return control_encode (execute (t, rq, stop, told), len);
}
