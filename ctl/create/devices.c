/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "host/parent.h"
#include "create/devices.h"
#include "text.h"

/* The absolute path of a file that need not exist, in new memory.  One that
 * is absolute stays as it is: a name in /dev/disk/by-id means the same disk
 * after a restart, unlike the name that it stands for now.
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

/* A loop device is used for trials.  It is taken for an image file: the
 * filter doesn't look on which disk such a file lies either.
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

/* Returns 0 or an errno: ENOENT if nothing is there, ENOTBLK if it is neither
 * a file nor a block device.
 */
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

/* A file matches any sector size. */
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
  /* A spare that doesn't exist is created; its directory isn't. */
  if (err == ENOENT && parent_is_missing (c->spare.path)) {
    error ("create: spare_dev=%s: its directory doesn't exist", c->spare.path);
    return CREATE_SPARE;
  }
  return compare_sector_sizes (c);
}
