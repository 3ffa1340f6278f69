/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "base/bytes.h"
#include "table/formats.h"
#include "units.h"

static bool
listed (const struct history_run *r, unsigned states)
{
  return states & 1U << r->run.state;
}

/* A sector may have 16 digits, but seldom has: its column is as wide as the
 * table needs.
 */
static int
digits (uint64_t n)
{
  int d = 1;

  for (; n > 9; n /= 10)
    d++;
  return d;
}

void
table_print_text (const struct table *t, unsigned states)
{
  int wide = 6;                         /* "sector" */

  for (size_t i = 0; i < t->n; i++)
    if (digits (t->v[i].run.start) > wide)
      wide = digits (t->v[i].run.start);
  printf ("%*s %10s %-8s %10s %-19s %s\n", wide, "sector", "count", "state",
          "slot", "since", "why");
  for (size_t i = 0; i < t->n; i++) {
    const struct history_run *r = &t->v[i];
    char slot[24] = "-";

    if (!listed (r, states))
      continue;
    if (r->run.slot != NO_SLOT)
      snprintf (slot, sizeof slot, "%" PRIu64, r->run.slot);
    printf ("%*" PRIu64 " %10" PRIu64 " %-8s %10s %-19s %s\n", wide,
            r->run.start, r->run.count, sector_state_name (r->run.state), slot,
            r->since ? show_time (r->since).s : "-",
            change_reason_name (r->why));
  }
}

void
table_print_csv (const struct table *t, unsigned states)
{
  printf ("start,count,state,slot,since,why\n");
  for (size_t i = 0; i < t->n; i++) {
    const struct history_run *r = &t->v[i];

    if (!listed (r, states))
      continue;
    printf ("%" PRIu64 ",%" PRIu64 ",%s,", r->run.start, r->run.count,
            sector_state_name (r->run.state));
    if (r->run.slot != NO_SLOT)
      printf ("%" PRIu64, r->run.slot);
    printf (",%" PRIu64 ",%s\n", r->since, change_reason_name (r->why));
  }
}

void
table_print_json (const struct table *t, unsigned states)
{
  bool first = true;

  printf ("{\"ok\":true,\"runs\":[");
  for (size_t i = 0; i < t->n; i++) {
    const struct history_run *r = &t->v[i];

    if (!listed (r, states))
      continue;
    json_t *j = json_pack ("{s:I,s:I,s:s,s:o,s:I,s:s}",
                           "start", (json_int_t) r->run.start,
                           "count", (json_int_t) r->run.count,
                           "state", sector_state_name (r->run.state),
                           "slot", r->run.slot == NO_SLOT ? json_null ()
                           : json_integer (r->run.slot),
                           "since", (json_int_t) r->since,
                           "why", change_reason_name (r->why));

    if (!first)
      putchar (',');
    json_dumpf (j, stdout, JSON_COMPACT);
    json_decref (j);
    first = false;
  }
  printf ("],\"next\":null}\n");
}

/* END in bytes.  The disk's last sector may be less than a whole one. */
static uint64_t
byte_end (const struct table *t, sector_t end)
{
  return end >= bytes_to_sectors (t->main_size) ? t->main_size
    : end << SECTOR_SHIFT;
}

static void
mapfile_line (const struct table *t, sector_t from, sector_t to, char status)
{
  const uint64_t start = from << SECTOR_SHIFT;

  if (from < to)
    printf ("0x%08" PRIX64 "  0x%08" PRIX64 "  %c\n", start,
            byte_end (t, to) - start, status);
}

/* ddrescue reads blocks that follow each other without gaps; neighbours
 * differ in their status.
 */
void
table_print_mapfile (const struct table *t, unsigned states)
{
  sector_t begun = t->start, bad_end = 0;
  bool bad = false;

  printf ("# Mapfile of remapctl %s\n"
          "# current_pos  current_status  current_pass\n"
          "0x%08" PRIX64 "     +               1\n"
          "#      pos        size  status\n", PACKAGE_VERSION,
          t->start << SECTOR_SHIFT);
  for (size_t i = 0; i < t->n; i++) {
    const struct run *r = &t->v[i].run;

    if (!listed (&t->v[i], states))
      continue;
    if (!bad || r->start > bad_end) {
      if (bad) {
        mapfile_line (t, begun, bad_end, '-');
        begun = bad_end;
      }
      mapfile_line (t, begun, r->start, '+');
      begun = r->start;
      bad = true;
    }
    bad_end = run_end_sector (r);
  }
  if (bad) {
    mapfile_line (t, begun, bad_end, '-');
    begun = bad_end;
  }
  mapfile_line (t, begun, t->end, '+');
}

void
table_print_badblocks (const struct table *t, unsigned states, uint32_t block)
{
  const uint64_t per_block = block / SECTOR_SIZE;
  uint64_t next = 0, b, last;

  for (size_t i = 0; i < t->n; i++) {
    const struct run *r = &t->v[i].run;

    if (!listed (&t->v[i], states))
      continue;
    b = r->start / per_block;
    last = (run_end_sector (r) - 1) / per_block;
    for (b = max_u64 (b, next); b <= last; b++)
      printf ("%" PRIu64 "\n", b);
    next = last + 1;
  }
}
