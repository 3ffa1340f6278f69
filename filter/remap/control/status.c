/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The reply to `status'.  Its keys are an interface: they are documented in
 * nbdkit-remap-filter(1), and never change their meaning.
 *
 * Rates: every five seconds the counters are noted in a ring.  What is told
 * of a window is the difference between now and the oldest note within it,
 * and how many seconds lie between them.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "control/background.h"
#include "control/protocol.h"
#include "control/reply.h"
#include "control/rescue.h"
#include "control/status.h"

enum rate {
  RATE_READS, RATE_READ_BYTES, RATE_WRITES, RATE_WRITE_BYTES,
  RATE_READ_ERRORS, RATE_WRITE_ERRORS, RATE_REMAPS, RATE_LOST, RATE_KEPT,
  NR_RATES
};

static const char *const rate_names[NR_RATES] = {
  [RATE_READS] = "reads", [RATE_READ_BYTES] = "read_bytes",
  [RATE_WRITES] = "writes", [RATE_WRITE_BYTES] = "write_bytes",
  [RATE_READ_ERRORS] = "read_errors", [RATE_WRITE_ERRORS] = "write_errors",
  [RATE_REMAPS] = "remaps", [RATE_LOST] = "lost",
  [RATE_KEPT] = "kept",
};

static void
take_sample (const struct engine_status *st, uint64_t now,
             struct control_sample *s)
{
  const uint64_t *counters = st->spare.counters;

  s->ms = now;
  s->v[RATE_READS] = st->ever[STAT_READS];
  s->v[RATE_READ_BYTES] = st->ever[STAT_READ_BYTES];
  s->v[RATE_WRITES] = st->ever[STAT_WRITES];
  s->v[RATE_WRITE_BYTES] = st->ever[STAT_WRITE_BYTES];
  s->v[RATE_READ_ERRORS] = st->ever[STAT_MAIN_READ_ERRORS];
  s->v[RATE_WRITE_ERRORS] = st->ever[STAT_MAIN_WRITE_ERRORS];
  s->v[RATE_REMAPS] = counters[COUNT_AUTO_REMAPS] +
    counters[COUNT_MANUAL_REMAPS];
  s->v[RATE_LOST] = counters[COUNT_LOST];
  s->v[RATE_KEPT] = st->ever[STAT_KEPT];
}

void
control_target_sample (struct control_target *t, uint64_t now)
{
  struct engine_status st;

  engine_get_status (t->engine, &st);
  t->newest = (t->newest + 1) % CONTROL_SAMPLES;
  if (t->nr_samples < CONTROL_SAMPLES)
    t->nr_samples++;
  take_sample (&st, now, &t->samples[t->newest]);
}

int
control_target_init (struct control_target *t)
{
  _Static_assert (NR_RATES == sizeof t->samples->v / sizeof t->samples->v[0],
                  "struct control_sample is of the wrong size");

  t->samples = calloc (CONTROL_SAMPLES, sizeof *t->samples);
  if (t->samples == NULL)
    return ENOMEM;
  t->nr_samples = 0;
  t->newest = CONTROL_SAMPLES - 1;
  t->started_ms = clock_now_ms ();
  t->started = t->since = time (NULL);
  control_target_sample (t, t->started_ms);
  return 0;
}

void
control_target_free (struct control_target *t)
{
  free (t->samples);
  t->samples = NULL;
}

/* The oldest sample of at most this age.  There is always the newest. */
static const struct control_sample *
oldest_within (const struct control_target *t, uint64_t now, uint64_t age)
{
  unsigned low = 0, high = t->nr_samples - 1, mid;

  /* The sample LOW places before the newest one is young enough; those more
   * than HIGH places before it aren't.
   */
  while (low < high) {
    mid = high - (high - low) / 2;
    if (now - t->samples[(t->newest + CONTROL_SAMPLES - mid) %
                         CONTROL_SAMPLES].ms <= age)
      low = mid;
    else
      high = mid - 1;
  }
  return &t->samples[(t->newest + CONTROL_SAMPLES - low) % CONTROL_SAMPLES];
}

static json_t *
rate (const struct control_target *t, const struct control_sample *now,
      unsigned minutes)
{
  const struct control_sample *then =
    oldest_within (t, now->ms, (uint64_t) minutes * 60 * 1000);
  json_t *rate = json_object ();

  put_number (rate, "seconds", (now->ms - then->ms + 500) / 1000);
  for (unsigned i = 0; i < NR_RATES; i++)
    put_number (rate, rate_names[i], now->v[i] - then->v[i]);
  return rate;
}

static json_t *
rates (const struct control_target *t, const struct engine_status *st,
       uint64_t now_ms)
{
  struct control_sample now;
  json_t *all = json_object ();

  take_sample (st, now_ms, &now);
  json_object_set_new (all, "1m", rate (t, &now, 1));
  json_object_set_new (all, "15m", rate (t, &now, 15));
  json_object_set_new (all, "60m", rate (t, &now, 60));
  return all;
}

static json_t *
counted (uint64_t count, uint64_t bytes)
{
  json_t *kind = json_object ();

  put_number (kind, "count", count);
  put_number (kind, "bytes", bytes);
  return kind;
}

static json_t *
counted_only (uint64_t count)
{
  json_t *kind = json_object ();

  put_number (kind, "count", count);
  return kind;
}

static json_t *
requests (const uint64_t *stat)
{
  json_t *all = json_object ();

  json_object_set_new (all, "read", counted (stat[STAT_READS],
                                             stat[STAT_READ_BYTES]));
  json_object_set_new (all, "write", counted (stat[STAT_WRITES],
                                              stat[STAT_WRITE_BYTES]));
  json_object_set_new (all, "zero", counted (stat[STAT_ZEROS],
                                             stat[STAT_ZERO_BYTES]));
  json_object_set_new (all, "trim", counted (stat[STAT_TRIMS],
                                             stat[STAT_TRIM_BYTES]));
  json_object_set_new (all, "cache", counted (stat[STAT_CACHES],
                                              stat[STAT_CACHE_BYTES]));
  json_object_set_new (all, "flush", counted_only (stat[STAT_FLUSHES]));
  json_object_set_new (all, "fua", counted_only (stat[STAT_FUAS]));
  return all;
}

static json_t *
errors (const uint64_t *stat)
{
  json_t *all = json_object ();

  put_number (all, "read", stat[STAT_MAIN_READ_ERRORS]);
  put_number (all, "write", stat[STAT_MAIN_WRITE_ERRORS]);
  put_number (all, "flush", stat[STAT_MAIN_FLUSH_ERRORS]);
  put_number (all, "spare", stat[STAT_SPARE_ERRORS]);
  return all;
}

static json_t *
passed_on (const uint64_t *stat)
{
  json_t *all = json_object ();

  put_number (all, "refused", stat[STAT_MAIN_REFUSED]);
  put_number (all, "other", stat[STAT_MAIN_OTHER_ERRORS]);
  return all;
}

static json_t *
reasons (const struct engine_status *st)
{
  struct message text[ENGINE_MAX_REASONS];
  json_t *all = json_array ();
  unsigned n = engine_health_reasons (st, text);

  for (unsigned i = 0; i < n; i++)
    json_array_append_new (all, control_text (text[i].text));
  return all;
}

static json_t *
main_status (const struct control_target *t, const struct engine_status *st)
{
  json_t *o = json_object ();

  put_number (o, "size", engine_main_size (t->engine));
  put_number (o, "block", engine_main_block (t->engine));
  put_number (o, "preferred", t->preferred);
  put_number (o, "maximum", t->maximum);
  json_object_set_new (o, "lost", json_boolean (st->main_lost));
  json_object_set_new (o, "hangs", json_boolean (st->main_hangs));
  put_number (o, "in_flight", st->in_flight);
  put_number (o, "oldest", st->oldest_ms / 1000);
  put_number (o, "last_error", st->last_error);
  json_object_set_new (o, "label", control_text (
                         spare_get_identity (t->spare)->label));
  return o;
}

static json_t *
spare_status (const struct control_target *t, const struct engine_status *st)
{
  const struct spare_status *sp = &st->spare;
  const struct spare_identity *id = spare_get_identity (t->spare);
  json_t *o = json_object ();
  char uuid[SPARE_UUID_TEXT];

  spare_uuid_text (id->uuid, uuid);
  json_object_set_new (o, "path", control_text (t->spare_path));
  json_object_set_new (o, "uuid", json_string (uuid));
  put_number (o, "created", id->created);
  put_number (o, "size", sp->size);
  put_number (o, "total", sp->slots_total);
  put_number (o, "used", sp->slots_used);
  put_number (o, "retired", sp->slots_retired);
  put_number (o, "free", sp->slots_free);
  /* A device has no filesystem. */
  put_number (o, "filesystem_free", min_u64 (st->room, INT64_MAX));
  put_number (o, "promised", st->promised);
  json_object_set_new (o, "grows", json_boolean (t->grows));
  put_number (o, "log_pages", sp->log_pages);
  put_number (o, "log_used", sp->log_used);
  json_object_set_new (o, "failed", json_boolean (sp->failed));
  json_object_set_new (o, "in_place", json_boolean (
                         st->spare_place.text[0] == '\0'));
  json_object_set_new (o, "full", json_boolean (sp->full ||
                                                sp->slots_free == 0));
  put_number (o, "commit_number", sp->commit_number);
  put_number (o, "commits", sp->commits);
  put_number (o, "flushes", sp->flushes);
  put_number (o, "checkpoints", sp->checkpoints);
  return o;
}

static json_t *
sectors (const struct engine_status *st)
{
  const struct map_totals *totals = &st->totals;
  json_t *o = json_object ();

  put_number (o, "remapped", totals->remapped);
  put_number (o, "lost", totals->lost);
  put_number (o, "zero", totals->zero);
  put_number (o, "kept", totals->kept);
  put_number (o, "written", totals->written);
  put_number (o, "runs", totals->runs);
  put_number (o, "memory", totals->bytes);
  /* All of them: as many as there can be. */
  put_number (o, "late", min_u64 (st->late, MAP_MAX_SECTOR));
  return o;
}

static void
put_held (json_t *o, struct control_target *t, uint64_t now)
{
  struct background_holder holders[BACKGROUND_HOLDERS];
  const unsigned n = background_holders (t->background, now, holders);
  json_t *list = json_array (), *holder;

  for (unsigned i = 0; i < n; i++) {
    holder = json_object ();
    json_object_set_new (holder, "holder", control_text (holders[i].name));
    put_number (holder, "seconds", (holders[i].until_ms - now + 999) / 1000);
    json_array_append_new (list, holder);
  }
  json_object_set_new (o, "held", json_boolean (n > 0));
  json_object_set_new (o, "holders", list);
}

json_t *
control_held (struct control_target *t)
{
  json_t *reply = control_ok ();

  put_held (reply, t, clock_now_ms ());
  return reply;
}

/* The filesystem may have become fuller without the spare. */
static void
note_room (const struct control_target *t)
{
  uint64_t free, promised;

  if (t->get_room == NULL)
    return;
  t->get_room (t->opaque, &free, &promised);
  engine_note_room (t->engine, free, promised);
}

json_t *
control_status (struct control_target *t)
{
  const uint64_t now = clock_now_ms ();
  struct engine_status st;
  json_t *o = control_ok (), *background;

  note_room (t);
  engine_get_status (t->engine, &st);
  json_object_set_new (o, "version", json_string (t->version));
  put_number (o, "uptime", (now - t->started_ms) / 1000);
  put_number (o, "time", time (NULL));
  put_number (o, "started", t->started);
  put_number (o, "since", t->since);
  json_object_set_new (o, "health",
                       json_string (engine_health_name (st.health)));
  json_object_set_new (o, "reasons", reasons (&st));
  json_object_set_new (o, "auto_remap", json_boolean (st.auto_remap));
  json_object_set_new (o, "lost_reads_zero", json_boolean (t->lost_zero));
  json_object_set_new (o, "read_only", json_boolean (
                         t->lost_zero || (t->is_read_only &&
                                          t->is_read_only (t->opaque))));
  json_object_set_new (o, "main", main_status (t, &st));
  json_object_set_new (o, "spare", spare_status (t, &st));
  json_object_set_new (o, "sectors", sectors (&st));
  json_object_set_new (o, "rescue", t->copy_path
                       ? control_rescue_status (t, &st) : json_null ());
  put_number (o, "auto_remaps", st.spare.counters[COUNT_AUTO_REMAPS]);
  put_number (o, "manual_remaps", st.spare.counters[COUNT_MANUAL_REMAPS]);
  put_number (o, "weak", st.spare.counters[COUNT_WEAK]);
  put_number (o, "became_lost", st.spare.counters[COUNT_LOST]);
  put_number (o, "recovered", st.spare.counters[COUNT_RECOVERED]);
  put_number (o, "last_loss", st.last_loss);
  put_number (o, "overwritten", st.stat[STAT_OVERWRITTEN]);
  json_object_set_new (o, "requests", requests (st.stat));
  json_object_set_new (o, "errors", errors (st.stat));
  json_object_set_new (o, "passed_on", passed_on (st.stat));
  put_number (o, "retries", st.stat[STAT_RETRIES]);
  put_number (o, "retries_saved", st.stat[STAT_RETRIES_SAVED]);
  put_number (o, "lost_refused", st.stat[STAT_LOST_REFUSED]);
  put_number (o, "lost_zeroed", st.stat[STAT_LOST_ZEROED]);
  put_number (o, "main_lost_times", st.stat[STAT_MAIN_LOST]);
  json_object_set_new (o, "rates", rates (t, &st, now));
  background = json_object ();
  put_held (background, t, now);
  json_object_set_new (o, "background", background);
  return o;
}
