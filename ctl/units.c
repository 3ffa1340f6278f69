/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "spare/spare.h"
#include "units.h"

struct unit_text
show_bytes (uint64_t bytes)
{
  static const char units[] = "KMGTPE";
  struct unit_text t;
  double d = bytes;
  int i = -1;

  while (d >= 1024 && i < 5) {
    d /= 1024;
    i++;
  }
  if (i == -1)
    snprintf (t.s, sizeof t.s, "%" PRIu64 " B", bytes);
  else
    snprintf (t.s, sizeof t.s, "%.*f %ciB", d < 9.995 ? 2 : d < 99.95 ? 1 : 0,
              d, units[i]);
  return t;
}

struct unit_text
show_seconds (uint64_t s)
{
  struct unit_text t;

  if (s < 60)
    snprintf (t.s, sizeof t.s, "%" PRIu64 " s", s);
  else if (s % 60 == 0 && s < 7200)
    snprintf (t.s, sizeof t.s, "%" PRIu64 " min", s / 60);
  else if (s < 3600)
    snprintf (t.s, sizeof t.s, "%" PRIu64 " min %" PRIu64 " s", s / 60,
              s % 60);
  else if (s < 86400)
    snprintf (t.s, sizeof t.s, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
              s / 60 % 60);
  else
    snprintf (t.s, sizeof t.s, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
              s / 3600 % 24);
  return t;
}

struct unit_text
show_time (uint64_t unix_time)
{
  struct unit_text t;
  time_t when = unix_time <= (uint64_t) INT64_MAX ? (time_t) unix_time : -1;
  struct tm tm;

  if (localtime_r (&when, &tm) == NULL ||
      strftime (t.s, sizeof t.s, "%Y-%m-%d %H:%M:%S", &tm) == 0)
    snprintf (t.s, sizeof t.s, "@%" PRIu64, unix_time);
  return t;
}

struct unit_text
show_uuid (const uint8_t uuid[16])
{
  struct unit_text t;

  _Static_assert (sizeof t.s >= SPARE_UUID_TEXT, "a UUID has 36 characters");
  spare_uuid_text (uuid, t.s);
  return t;
}

struct unit_text
show_count (uint64_t n, const char *what)
{
  struct unit_text t;

  snprintf (t.s, sizeof t.s, "%" PRIu64 " %s%s", n, what, n == 1 ? "" : "s");
  return t;
}

struct counts_text
show_slots (uint64_t used, uint64_t retired, uint64_t unused, uint64_t total)
{
  struct counts_text t;

  snprintf (t.s, sizeof t.s, "%" PRIu64 " used, %" PRIu64 " retired, %"
            PRIu64 " free of %" PRIu64, used, retired, unused, total);
  return t;
}

struct counts_text
show_events (uint64_t auto_remaps, uint64_t weak, uint64_t manual_remaps,
             uint64_t lost, uint64_t recovered)
{
  struct counts_text t;

  snprintf (t.s, sizeof t.s, "%" PRIu64 " remapped automatically (%" PRIu64
            " weak), %" PRIu64 " by command; %" PRIu64 " became LOST, %"
            PRIu64 " recovered", auto_remaps, weak, manual_remaps, lost,
            recovered);
  return t;
}

struct counts_text
show_rescued (uint64_t kept, uint64_t written)
{
  struct counts_text t = { "" };

  if (kept > 0 || written > 0)
    snprintf (t.s, sizeof t.s, ", %" PRIu64 " kept, %" PRIu64 " written", kept,
              written);
  return t;
}
