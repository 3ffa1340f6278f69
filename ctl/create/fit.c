/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "host/blockdev.h"
#include "spare/offline.h"
#include "create/fit.h"
#include "text.h"

static void __attribute__ ((format (printf, 2, 3)))
note_adjusted (struct create *c, const char *fs, ...)
{
  char line[256], *all;
  va_list args;

  va_start (args, fs);
  vsnprintf (line, sizeof line, fs, args);
  va_end (args);
  all = text_of ("%sAdjusted: %s\n", c->adjusted, line);
  free (c->adjusted);
  c->adjusted = all;
}

static void
align (struct create *c, const char *name, uint64_t *n, uint64_t unit,
       bool up)
{
  const uint64_t given = *n;

  *n = up ? round_up (given, unit) : round_down (given, unit);
  if (*n != given)
    note_adjusted (c, "%s from %" PRIu64 " to %" PRIu64 " sectors, to whole "
                   "physical sectors of %" PRIu64 " B", name, given, *n,
                   unit * SECTOR_SIZE);
}

/* As the filter does when it starts (promise 22 of remap-promises(7)). */
static bool
has_other_label (const struct create *c, const char *label)
{
  char disk[SPARE_LABEL_MAX + 1] = "";
  const char *own = c->label ? c->label : disk;
  struct stat st;

  if (c->label == NULL && c->main.is_block && stat (c->main.path, &st) == 0)
    disk_label (st.st_rdev, disk, sizeof disk);
  if (strcmp (label, own) == 0)
    return false;
  error ("create: spare_dev=%s: belongs to the disk labelled \"%s\", but "
         "main_dev is \"%s\": give it the right disk, or, if this is a copy "
         "that takes its place: remapctl relabel %s '%s'", c->spare.path,
         label, own, c->spare.path, own);
  return true;
}

/* The spare's place must hold nothing, or a spare of this disk. */
static int
look_into_spare (struct create *c, uint64_t main_size)
{
  const uint64_t offset = c->spare_start << SECTOR_SHIFT;
  struct held_spare h;
  char *why;
  int err;

  if (!c->spare.exists)
    return 0;
  err = hold_open (&h, c->spare.path, offset, 0, HOLD_TO_READ);
  if (err) {
    why = hold_open_error (&h, c->spare.path);
    error ("create: %s", why);
    free (why);
    return CREATE_SPARE;
  }
  c->spare_valid = h.content == SPARE_VALID;
  if (h.content == SPARE_FOREIGN) {
    error ("create: spare_dev=%s: is neither blank nor a spare: it holds "
           "something else and is left alone", c->spare.path);
    err = CREATE_SPARE;
  }
  else if (h.content != SPARE_BLANK && h.id.main_size != main_size) {
    error ("create: spare_dev=%s: belongs to a disk of %" PRIu64 " bytes, "
           "but main_dev has %" PRIu64 " from main_start on", c->spare.path,
           h.id.main_size, main_size);
    err = CREATE_SPARE;
  }
  else if (c->spare_valid && has_other_label (c, h.id.label))
    err = CREATE_SPARE;
  hold_close (&h);
  return err;
}

static int
choose_total (struct create *c, uint64_t unit, uint64_t main_size)
{
  const uint64_t start = c->spare_start << SECTOR_SHIFT;
  const uint64_t rest = c->spare.size > start ? c->spare.size - start : 0;

  if (c->has_total)
    align (c, "spare_total", &c->spare_total, unit, false);
  else if (rest > 0 || c->spare.is_block)
    c->spare_total = round_down (rest >> SECTOR_SHIFT, unit);
  else
    c->spare_total = round_up (spare_default_size (main_size),
                               4096) >> SECTOR_SHIFT;
  if (c->spare_total < SPARE_MIN_SIZE >> SECTOR_SHIFT) {
    error ("create: spare_dev=%s: a spare needs at least %" PRIu64
           " sectors, and would have %" PRIu64, c->spare.path,
           SPARE_MIN_SIZE >> SECTOR_SHIFT, c->spare_total);
    return CREATE_SPARE;
  }
  if (c->spare.is_block && c->spare_total > rest >> SECTOR_SHIFT) {
    error ("create: spare_total=%" PRIu64 ": %s has %" PRIu64 " sectors from "
           "spare_start on", c->spare_total, c->spare.path,
           rest >> SECTOR_SHIFT);
    return CREATE_SPARE;
  }
  return 0;
}

/* The label of a part of a disk says where it begins, so that it isn't taken
 * for the whole disk, or for another part of the same size.
 */
static void
choose_label (struct create *c)
{
  char disk[SPARE_LABEL_MAX + 1] = "";
  struct stat st;

  if (c->main_start == 0)
    return;
  if (c->main.is_block && stat (c->main.path, &st) == 0)
    disk_label (st.st_rdev, disk, 200);
  c->label = text_of ("%s+%" PRIu64 "s", disk, c->main_start);
}

int
create_fit (struct create *c)
{
  const uint32_t physical = max_u64 (c->main.physical, c->spare.physical);
  const uint64_t unit = max_u64 (physical / SECTOR_SIZE, 1);
  uint64_t main_size;
  int status;

  align (c, "main_start", &c->main_start, unit, true);
  align (c, "spare_start", &c->spare_start, unit, true);
  if (c->main_start >= c->main.size >> SECTOR_SHIFT &&
      (c->main_start > 0 || c->main.size == 0)) {
    error ("create: main_dev=%s: has %" PRIu64 " sectors: nothing is left "
           "from main_start=%" PRIu64 " on", c->main.path,
           c->main.size >> SECTOR_SHIFT, c->main_start);
    return CREATE_MAIN;
  }
  main_size = c->main.size - (c->main_start << SECTOR_SHIFT);
  choose_label (c);
  status = choose_total (c, unit, main_size);
  if (status == 0)
    status = look_into_spare (c, main_size);
  return status;
}
