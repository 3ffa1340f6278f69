/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/recognise.h"
#include "spare/arguments.h"
#include "spare/backup.h"
#include "spare/info.h"
#include "spare/offline.h"
#include "spare/owner.h"
#include "exit-status.h"
#include "reply.h"
#include "text.h"
#include "units.h"

static void __attribute__ ((format (printf, 2, 3)))
print_line (const char *name, const char *fs, ...)
{
  va_list args;
  char text[1024];

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  printf ("%-12s ", name);
  print_text (stdout, text);
  putchar ('\n');
}

static const char *const stamp_names[] = {
  [SPARE_NEVER_STAMPED] = "none", [SPARE_GIVEN_BACK] = "given-back",
  [SPARE_HELD] = "held", [SPARE_STAMP_DAMAGED] = "damaged",
};

static void
print_owner (struct held_spare *h)
{
  char *text;

  spare_owner (h, &text);
  print_line ("owner", "%s", text);
  free (text);
}

static void
add_owner (struct held_spare *h, json_t *spare)
{
  struct owner owner;
  uint64_t renewed;
  enum spare_stamp stamp = spare_read_stamp (&h->file.device, &owner,
                                             &renewed);

  json_object_set_new (spare, "owner", json_pack (
                         "{s:s,s:s,s:I,s:I}", "stamp", stamp_names[stamp],
                         "host", owner.host, "pid", (json_int_t) owner.pid,
                         "renewed", (json_int_t) renewed));
}

static unsigned
samples_of (struct held_spare *h)
{
  struct sample v[SAMPLES_MAX];
  unsigned n;

  return recognise_list (h->spare, v, &n) == 0 ? n : 0;
}

static void
print_info (struct held_spare *h)
{
  const unsigned samples = samples_of (h);
  struct spare_status st;
  struct map_totals m;
  uint64_t commit, time;

  spare_get_status (h->spare, &st);
  map_get_totals (h->map, &m);
  print_line ("spare", "%s%s", h->file.path,
              h->file.is_block ? " (a block device)" : "");
  if (h->file.offset)
    print_line ("offset", "%" PRIu64 " bytes", h->file.offset);
  print_line ("UUID", "%s", show_uuid (h->id.uuid).s);
  print_line ("created", "%s", show_time (h->id.created).s);
  print_line ("belongs to", "a disk of %" PRIu64 " bytes (%s)%s%s",
              h->id.main_size, show_bytes (h->id.main_size).s,
              h->id.label[0] ? ", label " : ", without a label",
              h->id.label);
  if (h->id.label[0] == '\0' || samples > 0)
    print_line ("samples", "%u of what that disk held, to recognise it",
                samples);
  print_line ("size", "%" PRIu64 " bytes (%s)%s", st.size,
              show_bytes (st.size).s,
              st.whole ? ", grows with what contains it" : "");
  if (st.claimed > st.size)
    print_line ("", "growing to %" PRIu64 " bytes was interrupted",
                st.claimed);
  print_line ("slots", "%s", show_slots (st.slots_used, st.slots_retired,
                                         st.slots_free, st.slots_total).s);
  print_line ("log", "%" PRIu64 " of %" PRIu64 " pages used", st.log_used,
              st.log_pages);
  print_line ("commit", "%" PRIu64, st.commit_number);
  print_owner (h);
  if (spare_was_backup (h->spare, &commit, &time))
    print_line ("backup", "made at %s, as of commit %" PRIu64,
                show_time (time).s, commit);
  if (st.features[0])
    print_line ("features", "%s", st.features);
  print_line ("sectors", "%" PRIu64 " remapped, %" PRIu64 " LOST, %" PRIu64
              " zero%s, in %s", m.remapped, m.lost, m.zero,
              show_rescued (m.kept, m.written).s,
              show_count (m.runs, "run").s);
  print_line ("ever", "%s", show_events (st.counters[COUNT_AUTO_REMAPS],
                                         st.counters[COUNT_WEAK],
                                         st.counters[COUNT_MANUAL_REMAPS],
                                         st.counters[COUNT_LOST],
                                         st.counters[COUNT_RECOVERED]).s);
}

/* The keys are those of a server's status. */
static void
print_info_json (struct held_spare *h)
{
  struct spare_status st;
  struct map_totals m;
  json_t *j;

  spare_get_status (h->spare, &st);
  map_get_totals (h->map, &m);
#define N(x) (json_int_t) (x)
  j = json_pack ("{s:b,s:{s:I,s:s,s:I},"
                 "s:{s:s,s:I,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s},"
                 "s:{s:I,s:I,s:I,s:I,s:I,s:I},s:I,s:I,s:I,s:I,s:I}",
                 "ok", 1,
                 "main", "size", N (h->id.main_size), "label", h->id.label,
                 "samples", N (samples_of (h)),
                 "spare", "path", h->file.path, "offset", N (h->file.offset),
                 "uuid", show_uuid (h->id.uuid).s,
                 "created", N (h->id.created), "size", N (st.size),
                 "claimed", N (st.claimed), "total", N (st.slots_total),
                 "used", N (st.slots_used), "retired", N (st.slots_retired),
                 "free", N (st.slots_free), "log_pages", N (st.log_pages),
                 "log_used", N (st.log_used),
                 "commit", N (st.commit_number), "features", st.features,
                 "sectors", "remapped", N (m.remapped), "lost", N (m.lost),
                 "zero", N (m.zero), "kept", N (m.kept),
                 "written", N (m.written), "runs", N (m.runs),
                 "auto_remaps", N (st.counters[COUNT_AUTO_REMAPS]),
                 "manual_remaps", N (st.counters[COUNT_MANUAL_REMAPS]),
                 "weak", N (st.counters[COUNT_WEAK]),
                 "became_lost", N (st.counters[COUNT_LOST]),
                 "recovered", N (st.counters[COUNT_RECOVERED]));
#undef N
  if (j == NULL) {
    /* A label or a path that isn't UTF-8. */
    error ("%s: what it says can't be put into JSON", h->file.path);
    return;
  }
  add_owner (h, json_object_get (j, "spare"));
  print_json (j);
  json_decref (j);
}

int
command_info (struct ctl *ctl, int argc, char **argv)
{
  struct held_spare h;
  const char *path;
  uint64_t offset;

  if (!spare_arguments (ctl, argc, argv, 1, 1, &path, &offset, NULL))
    return STATUS_USAGE;
  if (!hold_spare (&h, path, offset, HOLD_TO_READ))
    return STATUS_REFUSED;
  if (ctl->json)
    print_info_json (&h);
  else
    print_info (&h);
  hold_close (&h);
  return STATUS_DONE;
}
