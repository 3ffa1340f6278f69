/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The reply to a status request as a struct.
 */

#ifndef REMAPCTL_STATUS_PARSE_H
#define REMAPCTL_STATUS_PARSE_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

struct status_rate {
  uint64_t seconds, reads, read_bytes, writes, write_bytes;
  uint64_t read_errors, write_errors, remaps, lost;
};

enum { KIND_READ, KIND_WRITE, KIND_ZERO, KIND_TRIM, KIND_CACHE, KIND_FLUSH,
       KIND_FUA, NR_KINDS };
#define NR_KINDS_WITH_BYTES KIND_FLUSH
#define NR_RATES 3

/* Names, as the reply has them. */
extern const char *const request_kinds[NR_KINDS];
extern const char *const rate_names[NR_RATES];

struct status {
  json_t *json;                         /* owns the strings */
  const char *version, *health;
  const json_t *reasons;                /* strings */
  uint64_t uptime, time, started, since;        /* seconds; unix */
  bool auto_remap, lost_reads_zero, read_only;
  struct {
    uint64_t size, block, preferred, maximum;  /* bytes */
    bool lost, hangs;
    uint64_t in_flight, oldest, last_error;     /* requests; seconds; unix */
    const char *label;
  } main;
  struct {
    const char *path, *uuid;
    uint64_t created, size;             /* unix; bytes */
    uint64_t total, used, retired, free;       /* slots */
    uint64_t filesystem_free, promised;        /* bytes */
    bool grows;
    uint64_t log_pages, log_used;
    bool failed, full;
    uint64_t commit_number, commits, flushes, checkpoints;
  } spare;
  struct {
    uint64_t remapped, lost, zero, kept, written, late, runs, memory;
  } sectors;
  uint64_t auto_remaps, manual_remaps, weak, became_lost, recovered;
  uint64_t last_loss, overwritten;      /* unix; sectors */
  struct { uint64_t count, bytes; } requests[NR_KINDS];
  struct { uint64_t read, write, flush, spare; } errors;
  struct { uint64_t refused, other; } passed_on;
  uint64_t retries, retries_saved, lost_refused, lost_zeroed;
  uint64_t main_lost_times;
  struct status_rate rates[NR_RATES];
};

/* Takes over JSON, also if it fails.  False after a message: something is
 * missing, or of another type.
 */
extern bool status_parse (struct status *st, json_t *json);
extern void status_free (struct status *st);

#endif /* REMAPCTL_STATUS_PARSE_H */
