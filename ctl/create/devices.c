/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * create: what the two devices are, and values that fit them.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/major.h>

#include "base/bytes.h"
#include "host/blockdev.h"
#include "spare/offline.h"
#include "create/create.h"

/* As the filter does it for a spare that doesn't exist. */
#define DEFAULT_MIN_SIZE (UINT64_C (64) << 20)
#define DEFAULT_FRACTION 64

/* The absolute path of a file that need not exist.  One that is absolute
 * stays as it is: a name in /dev/disk/by-id is worth more than what it stands
 * for today.
 */
static char *
absolute_path (const char *path)
{
  char real[PATH_MAX], cwd[PATH_MAX];

  if (path[0] == '/')
    return copy_text (path);
  if (realpath (path, real) != NULL)
    return copy_text (real);
  if (getcwd (cwd, sizeof cwd) == NULL)
    return copy_text (path);
  return text_of ("%s/%s", cwd, path);
}

/* A loop device is for trying things out: like an image file, which the
 * filter doesn't look behind either.
 */
static bool
is_image (int fd)
{
  struct loop_info64 info;
  struct stat st;

  return ioctl (fd, LOOP_GET_STATUS64, &info) == 0 &&
         fstat (fd, &st) == 0 && major (st.st_rdev) == LOOP_MAJOR;
}

static int
look_at_device (struct target *t, int fd)
{
  unsigned physical = 0;
  int logical = 0;

  if (ioctl (fd, BLKGETSIZE64, &t->size) == -1 ||
      ioctl (fd, BLKSSZGET, &logical) == -1 ||
      ioctl (fd, BLKPBSZGET, &physical) == -1)
    return errno;
  t->is_image = is_image (fd);
  t->logical = logical;
  t->physical = physical < (unsigned) logical ? (unsigned) logical : physical;
  return 0;
}

/* Returns 0 or an errno; ENOENT for what isn't there. */
static int
look_at (struct target *t, const char *arg)
{
  struct stat st;
  int fd, err = 0;

  t->path = absolute_path (arg);
  fd = open (t->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd == -1)
    return errno;
  t->exists = true;
  if (fstat (fd, &st) == -1)
    err = errno;
  else if (S_ISBLK (st.st_mode)) {
    t->is_block = true;
    err = look_at_device (t, fd);
  }
  else if (S_ISREG (st.st_mode))
    t->size = st.st_size;
  else
    err = ENOTBLK;
  close (fd);
  return err;
}

static const char *
why_not (int err)
{
  switch (err) {
  case ENOTBLK: return "is neither a regular file nor a block device";
  case EACCES: case EPERM: return "permission denied (are you root?)";
  default: return strerror (err);
  }
}

/* Whether two devices have the same sector sizes; a file matches any. */
static int
compare_sector_sizes (const struct create *c)
{
  if (c->main.physical == 0 || c->spare.physical == 0 ||
      (c->main.physical == c->spare.physical &&
       c->main.logical == c->spare.logical))
    return 0;
  error ("create: sector sizes differ: %s has physical sectors of %" PRIu32
         " bytes (logical %" PRIu32 "), %s of %" PRIu32 " bytes (logical %"
         PRIu32 "): use devices with the same, or a file as the spare",
         c->main.path, c->main.physical, c->main.logical, c->spare.path,
         c->spare.physical, c->spare.logical);
  return CREATE_SECTOR_SIZES;
}

int
create_look (struct create *c)
{
  int err = look_at (&c->main, c->main_arg);

  if (err) {
    error ("create: main_dev=%s: %s", c->main_arg, why_not (err));
    return CREATE_MAIN;
  }
  err = look_at (&c->spare, c->spare_arg);
  if (err && err != ENOENT) {
    error ("create: spare_dev=%s: %s", c->spare_arg, why_not (err));
    return CREATE_SPARE;
  }
  return compare_sector_sizes (c);
}

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

/* What is at the spare's place: nothing, a spare of this disk, or something
 * that must be left alone.
 */
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
  else {
    c->spare_total = main_size / DEFAULT_FRACTION;
    if (c->spare_total < DEFAULT_MIN_SIZE)
      c->spare_total = DEFAULT_MIN_SIZE;
    c->spare_total = round_down (c->spare_total >> SECTOR_SHIFT, unit);
  }
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

/* A part of a disk must not be taken for the whole disk, nor for another
 * part of the same size.
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
create_align (struct create *c)
{
  uint64_t unit = 1, main_size;
  int status;

  if (c->main.physical > unit * SECTOR_SIZE)
    unit = c->main.physical / SECTOR_SIZE;
  if (c->spare.physical > unit * SECTOR_SIZE)
    unit = c->spare.physical / SECTOR_SIZE;
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
  status = choose_total (c, unit, main_size);
  if (status == 0)
    status = look_into_spare (c, main_size);
  choose_label (c);
  return status;
}
