/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "main-identity.h"
#include "startup.h"

static const char *
main_name (const struct main_identity *m)
{
  return m->config->main_path ? m->config->main_path : "of the plugin";
}

/* How many sectors beyond byte SIZE the spare holds, or knows. */
static uint64_t
sectors_beyond (const struct map *map, uint64_t size)
{
  sector_t at = size / SECTOR_SIZE;
  uint64_t n = 0;
  struct run run;

  for (; map_next (map, at, &run); at = run_end_sector (&run))
    n += run_clip (&run, at, run_end_sector (&run)).count;
  return n;
}

static int
refuse_smaller (const struct main_identity *m, uint64_t had, uint64_t size)
{
  startup_refuse ("remap: spare %s belongs to a disk of %" PRIu64 " bytes, but "
                  "main has %" PRIu64 " bytes, which is less, and the spare "
                  "holds %" PRIu64 " sectors beyond that: if this is its disk, "
                  "give it its former size again (an image: truncate -s %"
                  PRIu64 "); if it is another one, give it a spare of its own",
                  m->config->spare_path, had, size,
                  sectors_beyond (m->map, size), had);
  return -1;
}

static int
check_size (struct main_identity *m, uint64_t size)
{
  const uint64_t had = spare_get_identity (m->spare)->main_size;

  if (size == had)
    return 0;
  if (size < had)
    return refuse_smaller (m, had, size);
  if (!m->config->main_grown) {
    startup_refuse ("remap: spare %s belongs to a disk of %" PRIu64 " bytes, "
                    "but main has %" PRIu64 " bytes, which is more: if this is "
                    "its disk and it has grown, say so, once, with "
                    "spare-main-grown=yes; if it is another one, give it a "
                    "spare of its own", m->config->spare_path, had, size);
    return -1;
  }
  if (!m->writable) {
    startup_refuse ("remap: spare-main-grown=yes: the spare has to be told of "
                    "the disk's new size, and of a read-only server it isn't: "
                    "start it once without -r and without remap-lost=zero");
    return -1;
  }
  m->has_grown = true;
  return 0;
}

static int
refuse_changed (const struct main_identity *m, uint64_t size)
{
  const struct spare_identity *id = spare_get_identity (m->spare);
  struct map_totals totals;
  char uuid[SPARE_UUID_TEXT];

  spare_uuid_text (id->uuid, uuid);
  map_get_totals (m->map, &totals);
  startup_refuse ("remap: main (%s, %" PRIu64 " bytes) isn't what spare %s "
                  "(UUID %s) knows of its disk: of %u places that were "
                  "compared %u differ, the first one at byte %" PRIu64 ".  "
                  "Either it is another disk, or somebody wrote to it without "
                  "the filter, or a server did whose spare had failed.  The "
                  "spare holds %" PRIu64 " sectors that would be taken for "
                  "this disk's: give it the right disk; or, if you have "
                  "looked and this is the right one, start once with "
                  "spare-main-changed=yes",
                  main_name (m), size, m->config->spare_path, uuid,
                  m->found.compared, m->found.different, m->found.where,
                  totals.remapped + totals.lost + totals.zero);
  return -1;
}

static int
check_samples (struct main_identity *m, const struct main_reader *main)
{
  if (recognise (m->spare, m->map, main, &m->found) != 0) {
    startup_refuse ("remap: out of memory");
    return -1;
  }
  m->is_changed = m->found.different > 0;
  if (m->is_changed && m->found.entries && !m->config->main_changed)
    return refuse_changed (m, main->size);
  if (m->is_changed)
    nbdkit_error ("remap: warning: main (%s) isn't what spare %s knows of its "
                  "disk (of %u places %u differ, the first one at byte %"
                  PRIu64 "): it is taken for its disk all the same, since %s",
                  main_name (m), m->config->spare_path, m->found.compared,
                  m->found.different, m->found.where, m->found.entries
                  ? "spare-main-changed=yes" : "the spare holds nothing of it");
  else if (m->config->main_changed)
    startup_say ("warning: spare-main-changed=yes: main is as the spare knows "
                 "it: leave that out, or another disk would be accepted, too");
  if (m->found.compared == 0 && m->found.entries)
    startup_say ("nothing names main, and spare %s knows no place of it that "
                 "could be compared: only its size says that it is the right "
                 "disk (remap-label=TEXT would name it)",
                 m->config->spare_path);
  return 0;
}

int
main_identity_check (struct main_identity *m, const struct main_reader *main)
{
  if (check_size (m, main->size) == -1)
    return -1;
  /* A label says more, and samples that nobody keeps up would soon be wrong. */
  if (spare_get_identity (m->spare)->label[0] != '\0') {
    m->is_changed = true;
    return 0;
  }
  return check_samples (m, main);
}

int
main_identity_settle (struct main_identity *m, const struct main_reader *main)
{
  struct message message;
  int err;

  if (m->has_grown) {
    if (spare_main_has_grown (m->spare, main->size, &message)) {
      startup_refuse ("remap: spare %s: %s", m->config->spare_path,
                      message.text);
      return -1;
    }
    startup_say ("spare %s: its disk has grown, and has %" PRIu64 " bytes from "
                 "now on", m->config->spare_path, main->size);
  }
  else if (m->config->main_grown)
    startup_say ("warning: spare-main-grown=yes: main hasn't grown: leave that "
                 "out, or another, larger disk would be accepted, too");
  /* A place that failed isn't read again, by whatever server (promise 5). */
  err = m->is_changed && m->writable ? recognise_forget_all (m->spare)
    : recognise_forget (m->spare, m->found.key, m->found.failed);
  if (err)
    nbdkit_error ("remap: warning: spare %s: what it knows of main can't be "
                  "updated (%s): the next start may take main for another "
                  "disk", m->config->spare_path, strerror (err));
  return 0;
}
