/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/recognise.h"
#include "spare/arguments.h"
#include "spare/check.h"
#include "spare/examine.h"
#include "spare/offline.h"
#include "spare/owner.h"
#include "exit-status.h"
#include "text.h"
#include "units.h"

enum check_status {
  CHECK_SOUND = 0,
  CHECK_DAMAGED = 1,                    /* but it can be read */
  CHECK_UNUSABLE = 2,
  CHECK_NOT_LOOKED_AT = 3,              /* in use, or can't be opened */
};

#define MAX_LISTED 20
#define CHUNK 2048                      /* slots read at once: 1 MiB */

struct check {
  struct held_spare h;
  enum check_status status;
  uint64_t bad_slots;
};

static void
print_line (const char *what, const char *verdict, const char *fs,
            va_list args)
{
  char text[1024];

  vsnprintf (text, sizeof text, fs, args);
  printf ("%-10s %-7s  ", what, verdict);
  print_text (stdout, text);
  putchar ('\n');
}

static void __attribute__ ((format (printf, 4, 5)))
say (struct check *c, bool good, const char *what, const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  print_line (what, good ? "good" : "DAMAGED", fs, args);
  va_end (args);
  if (!good && c->status == CHECK_SOUND)
    c->status = CHECK_DAMAGED;
}

/* Says something that is neither good nor bad. */
static void __attribute__ ((format (printf, 1, 2)))
note (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  print_line ("", "note", fs, args);
  va_end (args);
}

static void
check_headers (struct check *c)
{
  struct spare_report report;
  struct message ignored;

  /* hold_open has refused a spare whose headers can't be used. */
  spare_examine_headers (&c->h.file.device, c->h.file.size, &report,
                         &ignored);
  for (int i = 0; i < 2; i++) {
    const struct spare_header_report *r = &report.header[i];
    const char *name = i ? "header B" : "header A";

    if (r->complete)
      say (c, true, name, "at byte %" PRIu64 ", sequence %" PRIu64 "%s",
           r->offset, r->sequence,
           report.used == i ? ", the one that counts" : "");
    else
      say (c, false, name, "at byte %" PRIu64 ": %s; the next start of a "
           "server writes it again", r->offset, r->what);
  }
  if (report.header[0].complete && report.header[1].complete && !report.same)
    note ("they differ: a change was interrupted; the newer one counts, the "
          "next start makes them equal");
}

static void
check_owner (struct check *c)
{
  char *text;
  const enum spare_stamp stamp = spare_owner (&c->h, &text);

  say (c, stamp != SPARE_STAMP_DAMAGED, "owner", "%s", text);
  if (stamp == SPARE_HELD)
    note ("it did not give the spare back: it was killed, or it is on another "
          "host, uses the spare now, and changes what is looked at here");
  else if (stamp == SPARE_STAMP_DAMAGED)
    note ("the next start waits up to 15 seconds for somebody who renews it, "
          "and writes it anew");
  free (text);
}

static void
check_log (struct check *c)
{
  struct spare_status st;
  struct map_totals m;
  uint64_t number, pages;

  spare_log_end (c->h.spare, &number, &pages);
  spare_get_status (c->h.spare, &st);
  map_get_totals (c->h.map, &m);
  say (c, true, "log", "%" PRIu64 " pages: checksums, numbers and order of "
       "all commits up to number %" PRIu64 "; nothing later is behind them",
       pages, number);
  if (spare_has_incomplete_commit (c->h.spare))
    note ("an incomplete commit follows: it was never acknowledged, and "
          "doesn't count (a crash leaves that)");
  say (c, true, "map", "%s: %" PRIu64 " sectors remapped, %" PRIu64
       " LOST, %" PRIu64 " zero%s; all lie within the disk, no slot is used "
       "twice or retired", show_count (m.runs, "run").s, m.remapped, m.lost,
       m.zero, show_rescued (m.kept, m.written).s);
  if (st.claimed > st.size)
    note ("growing to %" PRIu64 " bytes was interrupted: it can be repeated",
          st.claimed);
}

static void
bad_slot (struct check *c, const struct run *r, uint64_t i, int err)
{
  if (c->bad_slots < MAX_LISTED)
    say (c, false, "slot", "%" PRIu64 ", which holds sector %" PRIu64 ": %s",
         r->slot + i, r->start + i, strerror (err));
  else if (c->bad_slots == MAX_LISTED)
    say (c, false, "slot", "... and more");
  c->bad_slots++;
}

/* Reads the slots of a run, one by one where that fails.  Returns their
 * number.
 */
static uint64_t
check_run (struct check *c, const struct run *r, void *buf)
{
  uint64_t i, j, n;
  int err;

  for (i = 0; i < r->count; i += n) {
    n = min_u64 (r->count - i, CHUNK);
    if (spare_read (c->h.spare, buf, r->slot + i, n) == 0)
      continue;
    for (j = i; j < i + n; j++) {
      err = spare_read (c->h.spare, buf, r->slot + j, 1);
      if (err)
        bad_slot (c, r, j, err);
    }
  }
  return r->count;
}

static void
check_slots (struct check *c)
{
  const bool bar = isatty (STDERR_FILENO);
  void *buf = allocate (CHUNK, SECTOR_SIZE);
  uint64_t done = 0, shown = 0;
  struct map_totals m;
  struct run run;
  sector_t at = 0;

  map_get_totals (c->h.map, &m);
  while (map_next (c->h.map, at, &run)) {
    at = run_end_sector (&run);
    if (run.state != REMAPPED)
      continue;
    done += check_run (c, &run, buf);
    if (bar && done - shown >= 65536) {
      fprintf (stderr, "\rreading slots: %3.0f %%",
               100.0 * done / m.remapped);
      shown = done;
    }
  }
  if (shown)
    fprintf (stderr, "\r%40s\r", "");
  free (buf);
  if (c->bad_slots == 0)
    say (c, true, "slots", "all %" PRIu64 " that are in use can be read",
         m.remapped);
  else
    say (c, false, "slots", "%" PRIu64 " of %" PRIu64 " that are in use "
         "can't be read: reading these sectors fails, writing them gives "
         "them new slots", c->bad_slots, m.remapped);
}

static int
unusable (struct check *c, const char *path, const char *why)
{
  say (c, false, "spare", "%s", why);
  printf ("%s: UNUSABLE\n", path);
  c->status = CHECK_UNUSABLE;
  return c->status;
}

static int
check (struct check *c, const char *path, uint64_t offset)
{
  struct held_spare *h = &c->h;
  struct sample v[SAMPLES_MAX];
  unsigned samples;
  int err;

  err = hold_open (h, path, offset, 0, HOLD_TO_READ);
  if (err && !h->opened) {
    error ("%s", h->message.text);
    return CHECK_NOT_LOOKED_AT;
  }
  if (err)
    return unusable (c, path, h->message.text);
  if (h->content != SPARE_VALID) {
    unusable (c, path, content_name (h->content));
    goto out;
  }
  check_headers (c);
  check_owner (c);
  /* What loading would warn of was said just now. */
  h->quiet = true;
  if (hold_load (h)) {
    unusable (c, path, h->message.text);
    goto out;
  }
  say (c, true, "geometry", "%" PRIu64 " bytes: log areas and slots lie "
       "within the spare, and don't overlap", h->file.size);
  check_log (c);
  check_slots (c);
  if (recognise_list (h->spare, v, &samples) != 0)
    samples = 0;
  printf ("not verified: the content of slots, which has no checksums; and "
          "that it is the right disk's (%s)\n",
          h->id.label[0] ? "compare the label"
          : samples > 0 ? "a server compares samples of it when it starts"
          : "only its size is known");
  printf ("%s: %s\n", path, c->status == CHECK_SOUND ? "sound"
          : "damaged, but readable");
 out:
  hold_close (h);
  return c->status;
}

int
command_check (struct ctl *ctl, int argc, char **argv)
{
  struct check c = { .status = CHECK_SOUND };
  const char *path;
  uint64_t offset;

  if (!spare_arguments (ctl, argc, argv, 1, 1, &path, &offset, NULL))
    return STATUS_USAGE;
  return check (&c, path, offset);
}
