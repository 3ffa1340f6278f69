/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>

#include "status/rates.h"
#include "units.h"

enum { READS, READ, WRITES, WRITTEN, ERRORS, REMAPPED_NOW, LOST_NOW };

static struct rate_text
per_second (double n)
{
  struct rate_text t;

  snprintf (t.s, sizeof t.s, "%.1f", n);
  return t;
}

static struct rate_text
bytes_per_second (uint64_t n)
{
  struct rate_text t;

  snprintf (t.s, sizeof t.s, "%s/s", show_bytes (n).s);
  return t;
}

static struct rate_text
count (uint64_t n)
{
  struct rate_text t;

  snprintf (t.s, sizeof t.s, "%" PRIu64, n);
  return t;
}

const char *
rate_row_name (int row)
{
  static const char *const names[NR_RATE_ROWS] = {
    [READS] = "reads/s", [READ] = "read", [WRITES] = "writes/s",
    [WRITTEN] = "written", [ERRORS] = "errors", [REMAPPED_NOW] = "remapped",
    [LOST_NOW] = "LOST",
  };

  return names[row];
}

struct rate_text
rate_cell (const struct status_rate *r, int row)
{
  const uint64_t s = r->seconds ? r->seconds : 1;

  switch (row) {
  case READS: return per_second ((double) r->reads / s);
  case READ: return bytes_per_second (r->read_bytes / s);
  case WRITES: return per_second ((double) r->writes / s);
  case WRITTEN: return bytes_per_second (r->write_bytes / s);
  case ERRORS: return count (r->read_errors + r->write_errors);
  case REMAPPED_NOW: return count (r->remaps);
  default: return count (r->lost);
  }
}
