/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The copy of a spare that no server holds: it is given up, or becomes main.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/recognise.h"
#include "exit-status.h"
#include "host/blockdev.h"
#include "host/file-stamp.h"
#include "host/sparefile.h"
#include "rescue/words.h"
#include "spare/copy-id.h"
#include "spare/offline.h"
#include "text.h"
#include "units.h"

/* All kept sectors become DIRECT, and all written ones WRITTEN_TO, in one
 * commit.
 */
static int
leave_copy (struct held_spare *h, enum change_kind written_to)
{
  uint64_t counters[NR_SPARE_COUNTERS] = { 0 };
  struct change_list list = { 0 };
  sector_t at = 0;
  struct run run;
  int err = 0;

  for (; err == 0 && map_next (h->map, at, &run); at = run_end_sector (&run)) {
    struct change c = {
      .sector = run.start, .count = run.count, .slot = NO_SLOT,
      .kind = run.state == KEPT ? CHANGE_DIRECT : written_to,
      .reason = WHY_MANUAL,
    };

    if (!state_is_rescued (run.state))
      continue;
    if (c.kind == CHANGE_LOST)
      counters[COUNT_LOST] += run.count;
    err = change_list_add (&list, &c);
  }
  if (err == 0 && list.n > 0)
    err = spare_commit (h->spare, &list, counters);
  change_list_free (&list);
  return err ? err : copy_id_forget (h->spare);
}

/* Opens a spare that knows of a copy.  False after a message. */
static bool
hold_with_copy (struct held_spare *h, const char *path, struct copy_id *id)
{
  bool there;
  int err;

  if (!hold_spare (h, path, 0, HOLD_TO_CHANGE))
    return false;
  err = copy_id_read (h->spare, id, &there);
  if (err == 0 && there)
    return true;
  error ("%s: %s", path, err ? "what it says of its copy makes no sense"
         : "knows of no copy");
  hold_close (h);
  return false;
}

int
rescue_abandon (const struct rescue_options *o, const char *path)
{
  struct map_totals t;
  struct held_spare h;
  struct copy_id id;
  int err = 0;

  if (!hold_with_copy (&h, path, &id))
    return STATUS_REFUSED;
  map_get_totals (h.map, &t);
  if (o->yes) {
    err = spare_start (h.spare, &h.message);
    if (err == 0 && (err = leave_copy (&h, CHANGE_LOST)) != 0)
      message_set (&h.message, "%s", strerror (err));
  }
  hold_close (&h);
  if (err) {
    error ("%s: %s", path, h.message.text);
    return STATUS_REFUSED;
  }
  printf ("%s: without the copy ", path);
  print_text (stdout, id.path);
  printf (" %s %s read from the disk again, and %s that clients wrote %s LOST",
          show_count (t.kept, "sector").s, o->yes ? "are" : "would be",
          show_count (t.written, "sector").s, o->yes ? "are" : "would be");
  printf ("%s\n", o->yes ? "" : ": say --yes if that is what you want");
  return o->yes ? STATUS_DONE : STATUS_REFUSED;
}

/* ---- the copy becomes main --------------------------------------------- */

static bool
is_that_copy (const struct spare_file *f, const struct copy_id *id,
              const char *label)
{
  uint8_t stamp[COPY_STAMP];

  if (id->is_device != f->is_block || strcmp (id->label, label) != 0 ||
      (id->is_device && id->size != f->size))
    return false;
  if (!id->stamped && !id->has_next)
    return true;
  if (file_stamp_get (f->fd, stamp) != 0)
    return false;
  return (id->stamped && memcmp (stamp, id->stamp, COPY_STAMP) == 0) ||
    (id->has_next && memcmp (stamp, id->next, COPY_STAMP) == 0);
}

/* The label comes first: a crash after it leaves a spare that no server starts
 * with, neither for the old disk nor for the new one, and that can be given to
 * this command again.
 */
static int
change_owner (struct held_spare *h, const struct spare_file *copy,
              const char *label)
{
  const uint64_t old = spare_get_identity (h->spare)->main_size;
  int err = spare_start (h->spare, &h->message);

  if (err)
    return err;
  err = recognise_forget_all (h->spare);
  if (err == 0 && strcmp (spare_get_identity (h->spare)->label, label) != 0) {
    err = spare_relabel (h->spare, label, &h->message);
    if (err)
      return err;
  }
  if (err == 0)
    err = leave_copy (h, CHANGE_DIRECT);
  if (err) {
    message_set (&h->message, "%s", strerror (err));
    return err;
  }
  if (copy->size > old)
    err = spare_main_has_grown (h->spare, copy->size, &h->message);
  return err;
}

static int
check (struct held_spare *h, const struct copy_id *id,
       const struct spare_file *copy, const char *label)
{
  struct map_totals t;
  uint64_t n;

  map_get_totals (h->map, &t);
  n = bytes_to_sectors (spare_get_identity (h->spare)->main_size);
  n -= t.kept + t.written + t.remapped + t.zero + t.lost;
  if (!is_that_copy (copy, id, label))
    message_set (&h->message, "copy %.200s: isn't the one that the spare "
                 "knows, or is an older one", id->path);
  else if (n > 0)
    message_set (&h->message, "%s nowhere but on the old disk: rescue finish "
                 "comes first", show_count (n, "sector").s);
  else
    return 0;
  return EINVAL;
}

int
rescue_new_main (const char *path)
{
  char label[SPARE_LABEL_MAX + 1] = "";
  struct spare_file copy;
  struct map_totals t;
  struct held_spare h;
  struct copy_id id;
  int err;

  if (!hold_with_copy (&h, path, &id))
    return STATUS_REFUSED;
  err = spare_file_open_copy (&copy, id.path, false, &h.message);
  if (err == 0) {
    if (copy.is_block)
      disk_label (copy.dev, label, sizeof label);
    err = check (&h, &id, &copy, label);
    if (err == 0)
      err = change_owner (&h, &copy, label);
    if (err == 0 && !copy.is_block)
      file_stamp_remove (copy.fd);
    spare_file_close (&copy, false);
  }
  map_get_totals (h.map, &t);
  hold_close (&h);
  if (err) {
    error ("%s: %s", path, h.message.text);
    return STATUS_REFUSED;
  }
  printf ("%s: belongs to ", path);
  print_text (stdout, id.path);
  printf (" now: %s in the spare, %" PRIu64 " LOST, %" PRIu64 " zeroes",
          show_count (t.remapped, "sector").s, t.lost, t.zero);
  printf ("%s\n", t.remapped + t.lost + t.zero == 0
          ? ": it can be used alone" : "");
  return STATUS_DONE;
}
