/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "status/human.h"
#include "status/rates.h"
#include "terminal.h"
#include "text.h"
#include "units.h"

static void
heading (const char *name)
{
  printf ("%-10s ", name);
}

static const char *
colour_of (const char *health)
{
  if (strcmp (health, "ok") == 0)
    return "32";                        /* green */
  return strcmp (health, "degraded") == 0 ? "33" : "31";
}

static void
print_health (const struct status *st)
{
  const bool colour = use_colour (stdout);

  heading ("health");
  if (colour)
    printf ("\033[1;%sm", colour_of (st->health));
  print_text (stdout, st->health);
  printf ("%s\n", colour ? "\033[0m" : "");
  for (size_t i = 0; i < json_array_size (st->reasons); i++) {
    const char *s = json_string_value (json_array_get (st->reasons, i));

    heading ("");
    print_text (stdout, s ? s : "?");
    putchar ('\n');
  }
}

static void
print_disks (const struct status *st)
{
  const uint64_t gone = st->spare.used + st->spare.retired;

  heading ("disk");
  printf ("%s (%" PRIu64 " bytes), blocks of %" PRIu64 " bytes%s\n",
          show_bytes (st->main.size).s, st->main.size, st->main.block,
          st->main.lost ? ", LOST: it doesn't answer" : "");
  if (st->main.in_flight > 0) {
    heading ("");
    printf ("%s under way, the oldest for %s%s\n",
            show_count (st->main.in_flight, "request").s,
            show_seconds (st->main.oldest).s,
            st->main.hangs ? ": it HANGS" : "");
  }
  if (*st->main.label) {
    heading ("");
    printf ("label ");
    print_text (stdout, st->main.label);
    putchar ('\n');
  }
  heading ("spare");
  print_text (stdout, st->spare.path);
  printf (" (%s%s)%s%s\n", show_bytes (st->spare.size).s,
          st->spare.grows ? ", grows by itself" : "",
          st->spare.failed ? ", FAILED: restart the server" : "",
          st->spare.full ? ", FULL: enlarge it" : "");
  heading ("");
  printf ("UUID ");
  print_text (stdout, st->spare.uuid);
  printf (", made %s\n", show_time (st->spare.created).s);
  heading ("");
  printf ("slots: %s (%.1f %% gone)\n",
          show_slots (st->spare.used, st->spare.retired, st->spare.free,
                      st->spare.total).s,
          st->spare.total ? 100.0 * gone / st->spare.total : 0.0);
  heading ("");
  printf ("log: %" PRIu64 " of %" PRIu64 " pages used\n",
          st->spare.log_used, st->spare.log_pages);
}

static void
print_sectors (const struct status *st)
{
  const bool colour = use_colour (stdout) && st->sectors.lost > 0;

  heading ("sectors");
  printf ("%" PRIu64 " remapped, %s%" PRIu64 " LOST%s, %" PRIu64
          " zero%s, in %s (%s of memory)\n", st->sectors.remapped,
          colour ? "\033[1;31m" : "", st->sectors.lost,
          colour ? "\033[0m" : "", st->sectors.zero,
          show_rescued (st->sectors.kept, st->sectors.written).s,
          show_count (st->sectors.runs, "run").s,
          show_bytes (st->sectors.memory).s);
  heading ("ever");
  printf ("%s\n", show_events (st->auto_remaps, st->weak,
                               st->manual_remaps, st->became_lost,
                               st->recovered).s);
  if (st->last_loss || st->main.last_error) {
    heading ("last");
    if (st->main.last_error)
      printf ("error of the disk %s%s", show_time (st->main.last_error).s,
              st->last_loss ? "; " : "\n");
    if (st->last_loss)
      printf ("loss %s\n", show_time (st->last_loss).s);
  }
  heading ("automatic");
  printf ("remapping is %s; LOST sectors read as %s%s\n",
          st->auto_remap ? "on" : "off",
          st->lost_reads_zero ? "zeroes" : "errors",
          st->read_only ? "; the server is read-only" : "");
}

static void
print_requests (const struct status *st)
{
  printf ("\nsince %s (up for %s)\n", show_time (st->since).s,
          show_seconds (st->uptime).s);
  for (int i = 0; i < NR_KINDS; i++) {
    heading ("");
    printf ("%-6s %12" PRIu64, request_kinds[i], st->requests[i].count);
    if (i < NR_KINDS_WITH_BYTES)
      printf ("  %10s", show_bytes (st->requests[i].bytes).s);
    else if (i == KIND_FUA)
      printf ("  of the writes, zeroes and trims");
    putchar ('\n');
  }
  heading ("errors");
  printf ("disk: %" PRIu64 " reads, %" PRIu64 " writes, %" PRIu64
          " flushes; spare: %" PRIu64 "\n", st->errors.read,
          st->errors.write, st->errors.flush, st->errors.spare);
  if (st->passed_on.refused || st->passed_on.other) {
    heading ("");
    printf ("passed on: %" PRIu64 " refused writes, %" PRIu64 " others\n",
            st->passed_on.refused, st->passed_on.other);
  }
  heading ("");
  printf ("%" PRIu64 " blocks read again, %" PRIu64 " of them with success; "
          "disk gone %" PRIu64 " times\n", st->retries, st->retries_saved,
          st->main_lost_times);
  heading ("LOST");
  printf ("%" PRIu64 " requests refused, %" PRIu64 " sectors read as zeroes, %"
          PRIu64 " overwritten\n", st->lost_refused, st->lost_zeroed,
          st->overwritten);
}

static void
print_rates (const struct status *st)
{
  putchar ('\n');
  heading ("");
  printf ("        last");
  for (int i = 0; i < NR_RATES; i++)
    printf ("%12s", show_seconds (st->rates[i].seconds).s);
  putchar ('\n');
  for (int row = 0; row < NR_RATE_ROWS; row++) {
    heading ("");
    printf ("%-12s", rate_row_name (row));
    for (int i = 0; i < NR_RATES; i++)
      printf ("%12s", rate_cell (&st->rates[i], row).s);
    putchar ('\n');
  }
}

void
status_print_text (const struct status *st, const char *title)
{
  if (title) {
    print_text (stdout, title);
    printf (" (version ");
    print_text (stdout, st->version);
    printf (")\n");
  }
  print_health (st);
  print_disks (st);
  print_sectors (st);
  print_requests (st);
  print_rates (st);
}
