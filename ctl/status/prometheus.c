/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reply.h"
#include "status/parse.h"
#include "status/prometheus.h"
#include "text.h"

#define PREFIX "nbdkit_remap_"

/* A sample: LABEL="VALUE" (NULL: none) and what the status has at PATH. */
struct sample {
  const char *label, *value, *path;
};

#define MAX_SAMPLES 8

struct metric {
  const char *name, *type, *help;
  struct sample sample[MAX_SAMPLES];
};

static const struct metric metrics[] = {
  { "uptime_seconds", "gauge", "How long the server has been running.",
    { { NULL, NULL, "uptime" } } },
  { "start_time_seconds", "gauge", "Unix time of the server's start.",
    { { NULL, NULL, "started" } } },
  { "counters_start_time_seconds", "gauge",
    "Unix time since which the counters of events count.",
    { { NULL, NULL, "since" } } },
  { "auto_remap_enabled", "gauge", "1 if bad sectors are remapped by "
    "themselves.",
    { { NULL, NULL, "auto_remap" } } },
  { "lost_reads_zero", "gauge", "1 if LOST sectors read as zeroes.",
    { { NULL, NULL, "lost_reads_zero" } } },
  { "read_only", "gauge", "1 if no client can write.",
    { { NULL, NULL, "read_only" } } },
  { "main_size_bytes", "gauge", "Size of the disk.",
    { { NULL, NULL, "main.size" } } },
  { "main_block_size_bytes", "gauge", "Smallest unit that the disk takes.",
    { { NULL, NULL, "main.block" } } },
  { "main_lost", "gauge", "1 if the disk does not answer at all.",
    { { NULL, NULL, "main.lost" } } },
  { "main_hangs", "gauge", "1 if a request has been waiting for more than 10 "
    "seconds.",
    { { NULL, NULL, "main.hangs" } } },
  { "main_requests_in_flight", "gauge", "Requests that the disk has not "
    "answered.",
    { { NULL, NULL, "main.in_flight" } } },
  { "main_oldest_request_seconds", "gauge", "For how long the oldest of them "
    "has been waiting.",
    { { NULL, NULL, "main.oldest" } } },
  { "main_last_error_time_seconds", "gauge", "Unix time of the disk's last "
    "error, 0: none.",
    { { NULL, NULL, "main.last_error" } } },
  { "main_losses_total", "counter", "How often the disk was gone.",
    { { NULL, NULL, "main_lost_times" } } },
  { "spare_size_bytes", "gauge", "Size of the spare.",
    { { NULL, NULL, "spare.size" } } },
  { "spare_slots", "gauge", "Slots of the spare, by state.",
    { { "state", "used", "spare.used" },
      { "state", "retired", "spare.retired" },
      { "state", "free", "spare.free" } } },
  { "spare_capacity_slots", "gauge", "All slots of the spare.",
    { { NULL, NULL, "spare.total" } } },
  { "spare_filesystem_free_bytes", "gauge", "Free on the spare's filesystem.",
    { { NULL, NULL, "spare.filesystem_free" } } },
  { "spare_promised_bytes", "gauge", "What free slots will take of that.",
    { { NULL, NULL, "spare.promised" } } },
  { "spare_log_used_pages", "gauge", "Pages of the spare's log in use.",
    { { NULL, NULL, "spare.log_used" } } },
  { "spare_log_capacity_pages", "gauge", "Pages of the spare's log.",
    { { NULL, NULL, "spare.log_pages" } } },
  { "spare_failed", "gauge", "1 if the spare takes nothing more before a "
    "restart.",
    { { NULL, NULL, "spare.failed" } } },
  { "spare_full", "gauge", "1 if the last sector found no room.",
    { { NULL, NULL, "spare.full" } } },
  { "spare_commit_number", "gauge", "Number of the last commit.",
    { { NULL, NULL, "spare.commit_number" } } },
  { "spare_commits_total", "counter", "Commits to the spare's log.",
    { { NULL, NULL, "spare.commits" } } },
  { "spare_flushes_total", "counter", "Flushes of the spare.",
    { { NULL, NULL, "spare.flushes" } } },
  { "spare_checkpoints_total", "counter", "Checkpoints of the spare's log.",
    { { NULL, NULL, "spare.checkpoints" } } },
  { "sectors", "gauge", "Sectors that are not DIRECT, by state.",
    { { "state", "remapped", "sectors.remapped" },
      { "state", "lost", "sectors.lost" },
      { "state", "zero", "sectors.zero" },
      { "state", "kept", "sectors.kept" },
      { "state", "written", "sectors.written" } } },
  { "late_sectors", "gauge", "Sectors that the disk is not used for before a "
    "restart.",
    { { NULL, NULL, "sectors.late" } } },
  { "map_runs", "gauge", "Entries of the map.",
    { { NULL, NULL, "sectors.runs" } } },
  { "map_memory_bytes", "gauge", "Memory that the map takes.",
    { { NULL, NULL, "sectors.memory" } } },
  { "remapped_sectors_total", "counter", "Sectors remapped, by cause.",
    { { "cause", "auto", "auto_remaps" },
      { "cause", "manual", "manual_remaps" } } },
  { "weak_sectors_total", "counter", "Sectors remapped since they could be "
    "read only when asked again.",
    { { NULL, NULL, "weak" } } },
  { "lost_sectors_total", "counter", "Sectors that became LOST.",
    { { NULL, NULL, "became_lost" } } },
  { "last_loss_time_seconds", "gauge", "Unix time when a sector became LOST "
    "last, 0: none since the start.",
    { { NULL, NULL, "last_loss" } } },
  { "overwritten_sectors_total", "counter", "LOST and zero sectors that "
    "clients have overwritten.",
    { { NULL, NULL, "overwritten" } } },
  { "recovered_sectors_total", "counter", "LOST sectors that could be read "
    "after all.",
    { { NULL, NULL, "recovered" } } },
  { "requests_total", "counter", "Requests of clients, by kind.",
    { { "kind", "read", "requests.read.count" },
      { "kind", "write", "requests.write.count" },
      { "kind", "zero", "requests.zero.count" },
      { "kind", "trim", "requests.trim.count" },
      { "kind", "cache", "requests.cache.count" },
      { "kind", "flush", "requests.flush.count" } } },
  { "fua_requests_total", "counter", "Of the writes, zeroes and trims, those "
    "with FUA.",
    { { NULL, NULL, "requests.fua.count" } } },
  { "request_bytes_total", "counter", "Bytes of requests, by kind.",
    { { "kind", "read", "requests.read.bytes" },
      { "kind", "write", "requests.write.bytes" },
      { "kind", "zero", "requests.zero.bytes" },
      { "kind", "trim", "requests.trim.bytes" },
      { "kind", "cache", "requests.cache.bytes" } } },
  { "errors_total", "counter", "Failed calls to disk and spare.",
    { { "kind", "read", "errors.read" },
      { "kind", "write", "errors.write" },
      { "kind", "flush", "errors.flush" },
      { "kind", "spare", "errors.spare" } } },
  { "passed_on_errors_total", "counter", "Errors of the disk that are about no "
    "sector, and were passed on.",
    { { "kind", "refused", "passed_on.refused" },
      { "kind", "other", "passed_on.other" } } },
  { "read_retries_total", "counter", "Blocks of the disk that were read "
    "again.",
    { { NULL, NULL, "retries" } } },
  { "read_retries_saved_total", "counter", "Of these, the ones that could "
    "be read.",
    { { NULL, NULL, "retries_saved" } } },
  { "lost_requests_refused_total", "counter", "Requests refused because of "
    "a LOST sector.",
    { { NULL, NULL, "lost_refused" } } },
  { "lost_sectors_zeroed_total", "counter", "LOST sectors read as zeroes.",
    { { NULL, NULL, "lost_zeroed" } } },
};

#define NR_METRICS (sizeof metrics / sizeof metrics[0])

static void
print_head (FILE *fp, const char *name, const char *type, const char *help)
{
  fprintf (fp, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help,
          name, type);
}

/* Escapes what the format wants to be escaped in the value of a label.  The
 * value is valid UTF-8: jansson refuses what isn't.
 */
static void
print_label (FILE *fp, const char *name, const char *value, bool first)
{
  fprintf (fp, "%s%s=\"", first ? "{" : ",", name);
  for (; *value; value++)
    switch (*value) {
    case '\\': fputs ("\\\\", fp); break;
    case '"': fputs ("\\\"", fp); break;
    case '\n': fputs ("\\n", fp); break;
    default: putc (*value, fp);
    }
  putc ('"', fp);
}

/* Which server, disk and spare a sample is about; one that doesn't answer says
 * nothing of the last two.  R may be NULL.
 */
static void
print_labels (FILE *fp, const char *server, struct reader *r)
{
  print_label (fp, "server", server, true);
  if (r == NULL)
    return;
  print_label (fp, "disk", get_string (r, "main.label"), false);
  print_label (fp, "spare_uuid", get_string (r, "spare.uuid"), false);
}

static void
print_sample (FILE *fp, const char *name, const char *server, struct reader *r,
              const struct sample *s, uint64_t value)
{
  fprintf (fp, PREFIX "%s", name);
  print_labels (fp, server, r);
  if (s->label)
    print_label (fp, s->label, s->value, false);
  fprintf (fp, "} %" PRIu64 "\n", value);
}

static uint64_t
value_at (struct reader *r, const char *path)
{
  static const char *const bools[] = {
    "auto_remap", "lost_reads_zero", "read_only", "main.lost", "main.hangs",
    "spare.failed", "spare.full",
  };

  for (size_t i = 0; i < sizeof bools / sizeof bools[0]; i++)
    if (strcmp (bools[i], path) == 0)
      return get_bool (r, path);
  return get_uint (r, path);
}

static void
print_metric (FILE *fp, const struct metric *m, const struct scraped *v,
              struct reader *r, size_t n)
{
  print_head (fp, m->name, m->type, m->help);
  for (size_t i = 0; i < n; i++)
    for (int j = 0; v[i].json && j < MAX_SAMPLES && m->sample[j].path; j++)
      print_sample (fp, m->name, v[i].server, &r[i], &m->sample[j],
                    value_at (&r[i], m->sample[j].path));
}

static void
print_up (FILE *fp, const struct scraped *v, size_t n)
{
  const struct sample none = { 0 };

  print_head (fp, "up", "gauge", "1 if the server answers.");
  for (size_t i = 0; i < n; i++)
    print_sample (fp, "up", v[i].server, NULL, &none, v[i].json != NULL);
}

static void
print_info (FILE *fp, const struct scraped *v, struct reader *r, size_t n)
{
  print_head (fp, "info", "gauge", "What the server is; always 1.");
  for (size_t i = 0; i < n; i++) {
    if (v[i].json == NULL)
      continue;
    fprintf (fp, PREFIX "info");
    print_labels (fp, v[i].server, &r[i]);
    print_label (fp, "version", get_string (&r[i], "version"), false);
    print_label (fp, "spare", get_string (&r[i], "spare.path"), false);
    print_label (fp, "uuid", get_string (&r[i], "spare.uuid"), false);
    fprintf (fp, "} 1\n");
  }
}

/* What many exporters have. */
static void
print_build_info (FILE *fp, const struct scraped *v, struct reader *r, size_t n)
{
  print_head (fp, "build_info", "gauge", "The server's version; always 1.");
  for (size_t i = 0; i < n; i++) {
    if (v[i].json == NULL)
      continue;
    fprintf (fp, PREFIX "build_info");
    print_labels (fp, v[i].server, &r[i]);
    print_label (fp, "version", get_string (&r[i], "version"), false);
    fprintf (fp, "} 1\n");
  }
}

static void
print_healths (FILE *fp, const struct scraped *v, struct reader *r, size_t n)
{
  static const char *const names[] = {
    "ok", "degraded", "critical", "main-lost",
  };

  print_head (fp, "health", "gauge", "1 for the state of health that it is in, "
              "0 for the others.");
  for (size_t i = 0; i < n; i++) {
    if (v[i].json == NULL)
      continue;
    const char *health = get_string (&r[i], "health");

    for (size_t j = 0; j < sizeof names / sizeof names[0]; j++) {
      const struct sample s = { .label = "state", .value = names[j] };

      print_sample (fp, "health", v[i].server, &r[i], &s,
                    strcmp (names[j], health) == 0);
    }
  }
}

/* Is there everything that will be printed?  A scraper would take what is
 * missing for counters that went to zero.
 */
static bool
is_complete (const struct scraped *v, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    struct status st;

    if (v[i].json && !status_parse (&st, json_incref (v[i].json)))
      return false;
    if (v[i].json)
      status_free (&st);
  }
  return true;
}

bool
status_print_prometheus (FILE *fp, const struct scraped *v, size_t n)
{
  struct reader *r;

  if (!is_complete (v, n))
    return false;
  r = allocate (n, sizeof *r);
  for (size_t i = 0; i < n; i++)
    r[i].root = v[i].json;
  print_up (fp, v, n);
  print_build_info (fp, v, r, n);
  print_info (fp, v, r, n);
  print_healths (fp, v, r, n);
  for (size_t i = 0; i < NR_METRICS; i++)
    print_metric (fp, &metrics[i], v, r, n);
  free (r);
  return true;
}
