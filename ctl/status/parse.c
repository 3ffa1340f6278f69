/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "reply.h"
#include "status/parse.h"

const char *const request_kinds[NR_KINDS] = {
  [KIND_READ] = "read", [KIND_WRITE] = "write", [KIND_ZERO] = "zero",
  [KIND_TRIM] = "trim", [KIND_CACHE] = "cache", [KIND_FLUSH] = "flush",
  [KIND_FUA] = "fua",
};

const char *const rate_names[NR_RATES] = { "1m", "15m", "60m" };

static void
parse_requests (struct status *st, struct reader *r)
{
  char path[64];

  for (int i = 0; i < NR_KINDS; i++) {
    snprintf (path, sizeof path, "requests.%s.count", request_kinds[i]);
    st->requests[i].count = get_uint (r, path);
    if (i >= NR_KINDS_WITH_BYTES)
      continue;
    snprintf (path, sizeof path, "requests.%s.bytes", request_kinds[i]);
    st->requests[i].bytes = get_uint (r, path);
  }
}

static void
parse_rates (struct status *st, struct reader *r)
{
  char path[64];

  for (int i = 0; i < NR_RATES; i++) {
    struct status_rate *rate = &st->rates[i];
    const struct { const char *name; uint64_t *value; } fields[] = {
      { "seconds", &rate->seconds }, { "reads", &rate->reads },
      { "read_bytes", &rate->read_bytes }, { "writes", &rate->writes },
      { "write_bytes", &rate->write_bytes },
      { "read_errors", &rate->read_errors },
      { "write_errors", &rate->write_errors },
      { "remaps", &rate->remaps }, { "lost", &rate->lost },
    };

    for (size_t j = 0; j < sizeof fields / sizeof fields[0]; j++) {
      snprintf (path, sizeof path, "rates.%s.%s", rate_names[i],
                fields[j].name);
      *fields[j].value = get_uint (r, path);
    }
  }
}

static void
parse_spare (struct status *st, struct reader *r)
{
  st->spare.path = get_string (r, "spare.path");
  st->spare.uuid = get_string (r, "spare.uuid");
  st->spare.created = get_uint (r, "spare.created");
  st->spare.size = get_uint (r, "spare.size");
  st->spare.total = get_uint (r, "spare.total");
  st->spare.used = get_uint (r, "spare.used");
  st->spare.retired = get_uint (r, "spare.retired");
  st->spare.free = get_uint (r, "spare.free");
  st->spare.filesystem_free = get_uint (r, "spare.filesystem_free");
  st->spare.promised = get_uint (r, "spare.promised");
  st->spare.grows = get_bool (r, "spare.grows");
  st->spare.log_pages = get_uint (r, "spare.log_pages");
  st->spare.log_used = get_uint (r, "spare.log_used");
  st->spare.failed = get_bool (r, "spare.failed");
  st->spare.full = get_bool (r, "spare.full");
  st->spare.commit_number = get_uint (r, "spare.commit_number");
  st->spare.commits = get_uint (r, "spare.commits");
  st->spare.flushes = get_uint (r, "spare.flushes");
  st->spare.checkpoints = get_uint (r, "spare.checkpoints");
}

static void
parse_counters (struct status *st, struct reader *r)
{
  st->sectors.remapped = get_uint (r, "sectors.remapped");
  st->sectors.lost = get_uint (r, "sectors.lost");
  st->sectors.zero = get_uint (r, "sectors.zero");
  st->sectors.kept = get_uint (r, "sectors.kept");
  st->sectors.written = get_uint (r, "sectors.written");
  st->sectors.late = get_uint (r, "sectors.late");
  st->sectors.runs = get_uint (r, "sectors.runs");
  st->sectors.memory = get_uint (r, "sectors.memory");
  st->auto_remaps = get_uint (r, "auto_remaps");
  st->manual_remaps = get_uint (r, "manual_remaps");
  st->weak = get_uint (r, "weak");
  st->became_lost = get_uint (r, "became_lost");
  st->recovered = get_uint (r, "recovered");
  st->last_loss = get_uint (r, "last_loss");
  st->overwritten = get_uint (r, "overwritten");
  st->errors.read = get_uint (r, "errors.read");
  st->errors.write = get_uint (r, "errors.write");
  st->errors.flush = get_uint (r, "errors.flush");
  st->errors.spare = get_uint (r, "errors.spare");
  st->passed_on.refused = get_uint (r, "passed_on.refused");
  st->passed_on.other = get_uint (r, "passed_on.other");
  st->retries = get_uint (r, "retries");
  st->retries_saved = get_uint (r, "retries_saved");
  st->lost_refused = get_uint (r, "lost_refused");
  st->lost_zeroed = get_uint (r, "lost_zeroed");
  st->main_lost_times = get_uint (r, "main_lost_times");
}

bool
status_parse (struct status *st, json_t *json)
{
  struct reader r = { .root = json };

  memset (st, 0, sizeof *st);
  st->json = json;
  st->version = get_string (&r, "version");
  st->uptime = get_uint (&r, "uptime");
  st->time = get_uint (&r, "time");
  st->started = get_uint (&r, "started");
  st->since = get_uint (&r, "since");
  st->health = get_string (&r, "health");
  st->reasons = get_array (&r, "reasons");
  st->auto_remap = get_bool (&r, "auto_remap");
  st->lost_reads_zero = get_bool (&r, "lost_reads_zero");
  st->read_only = get_bool (&r, "read_only");
  st->main.size = get_uint (&r, "main.size");
  st->main.block = get_uint (&r, "main.block");
  st->main.preferred = get_uint (&r, "main.preferred");
  st->main.maximum = get_uint (&r, "main.maximum");
  st->main.lost = get_bool (&r, "main.lost");
  st->main.hangs = get_bool (&r, "main.hangs");
  st->main.in_flight = get_uint (&r, "main.in_flight");
  st->main.oldest = get_uint (&r, "main.oldest");
  st->main.last_error = get_uint (&r, "main.last_error");
  st->main.label = get_string (&r, "main.label");
  parse_spare (st, &r);
  parse_counters (st, &r);
  parse_requests (st, &r);
  parse_rates (st, &r);
  if (r.bad)
    status_free (st);
  return !r.bad;
}

void
status_free (struct status *st)
{
  json_decref (st->json);
  st->json = NULL;
}
