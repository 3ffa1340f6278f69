/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Opens a device or file, and finds out its size and alignments.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <linux/cdrom.h>
#include <linux/fs.h>

#include <nbdkit-plugin.h>

#include "base/bytes.h"
#include "host/blockdev.h"
#include "parameters.h"
#include "target.h"

#define MAX_PREFERRED (UINT32_C (32) << 20)

/* Filesystems on disks have no larger blocks; those on networks say what they
 * like to transfer.
 */
#define MAX_BLOCK 65536

static bool
is_power_of_2 (uint64_t n)
{
  return n != 0 && (n & (n - 1)) == 0;
}

/* Checked before anything is opened: opening alone may block, or rewind a
 * tape.
 */
static int
check_type (const char *path, const struct stat *st, struct message *message)
{
  const char *what;

  if (S_ISREG (st->st_mode) || S_ISBLK (st->st_mode))
    return 0;
  what = S_ISDIR (st->st_mode) ? "a directory"
    : S_ISCHR (st->st_mode) ? "a character device (a terminal, tape ...)"
    : S_ISFIFO (st->st_mode) ? "a pipe"
    : S_ISSOCK (st->st_mode) ? "a socket" : "something else";
  message_set (message, "%s: is %s: a block device or a regular file is "
               "needed", path, what);
  return EINVAL;
}

static int
open_failed (const char *path, bool is_block, int err,
             struct message *message)
{
  const char *hint = "";

  switch (err) {
  case EBUSY:
    hint = ": it is mounted, or used as swap, or by RAID, LVM or another "
      "program: make it free (or say direct-force=on, if you must)";
    break;
  case EACCES:
  case EPERM:
    hint = is_block ? ": be root, or a member of the device's group" : "";
    break;
  case EINVAL:
    hint = ": its filesystem has no O_DIRECT: use nbdkit's file plugin";
    break;
  case ENXIO:
  case ENODEV:
    hint = ": there is no device behind this name (any more)";
    break;
  case ENOMEDIUM:
    hint = ": there is no medium in the drive";
    break;
  }
  message_set (message, "%s: can't open: %s%s", path, strerror (err), hint);
  return err;
}

/* Where it may not be written, it is opened read-only, and served so. */
static int
open_rw_or_ro (const char *path, int flags, bool *can_write)
{
  int fd = open (path, O_RDWR | flags);

  *can_write = fd != -1;
  if (fd == -1 && (errno == EACCES || errno == EROFS || errno == EPERM ||
                   errno == ETXTBSY))
    fd = open (path, O_RDONLY | flags);
  return fd;
}

static int
open_fd (struct target *t, const char *path, struct message *message)
{
  const int flags = O_DIRECT | O_CLOEXEC | O_NOCTTY;

  t->fd = open_rw_or_ro (path, flags | (t->is_block ? O_EXCL : 0),
                         &t->can_write);
  if (t->fd == -1 && errno == EBUSY && t->is_block && config.force) {
    t->fd = open_rw_or_ro (path, flags, &t->can_write);
    if (t->fd != -1)
      nbdkit_error ("direct: warning: %s: is mounted or in use otherwise, "
                    "and is served all the same (direct-force=on): what is "
                    "written may destroy its content", path);
  }
  return t->fd == -1 ? open_failed (path, t->is_block, errno, message) : 0;
}

static int
device_geometry (struct target *t, const char *path, struct message *message)
{
  unsigned physical = 0, optimal = 0;
  int logical = 0, read_only = 0;
  uint64_t alignment;

  if (ioctl (t->fd, CDROM_GET_CAPABILITY, 0) >= 0) {
    message_set (message, "%s: is a CD or DVD drive: copy it with ddrescue",
                 path);
    return EINVAL;
  }
  if (ioctl (t->fd, BLKGETSIZE64, &t->size) == -1 ||
      ioctl (t->fd, BLKSSZGET, &logical) == -1) {
    int err = errno;

    message_set (message, "%s: can't find its size: %s", path,
                 strerror (err));
    return err;
  }
  if (ioctl (t->fd, BLKROGET, &read_only) == 0 && read_only)
    t->can_write = false;
  if (ioctl (t->fd, BLKPBSZGET, &physical) == -1)
    physical = 0;
  if (ioctl (t->fd, BLKIOOPT, &optimal) == -1)
    optimal = 0;

  t->logical = t->block = logical;
  t->preferred = is_power_of_2 (optimal) && optimal <= MAX_PREFERRED &&
    optimal >= physical ? optimal : physical;
  /* Where the kernel doesn't say, memory is aligned as the disk is. */
  t->memory = t->logical;
  if (disk_number (t->dev, "queue/dma_alignment", &alignment) &&
      is_power_of_2 (alignment + 1) && alignment < t->logical)
    t->memory = alignment + 1;
  return 0;
}

/* Asks the kernel what O_DIRECT needs; else the disk below (not there for
 * a network's filesystem); else tries to read 512 bytes.
 */
static int
file_geometry (struct target *t, const struct stat *st, const char *path,
               struct message *message)
{
  uint64_t logical = 0;
  void *buf;

  t->size = st->st_size;
  t->memory = 0;
#ifdef STATX_DIOALIGN
  {
    struct statx stx;

    if (statx (t->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
        (stx.stx_mask & STATX_DIOALIGN)) {
      if (stx.stx_dio_offset_align == 0)
        return open_failed (path, false, EINVAL, message);
      logical = stx.stx_dio_offset_align;
      t->memory = stx.stx_dio_mem_align;
    }
  }
#endif
  if (logical == 0 &&
      !disk_number (st->st_dev, "queue/logical_block_size", &logical)) {
    logical = 512;
    if (posix_memalign (&buf, 4096, 4096) != 0) {
      message_set (message, "%s: %s", path, strerror (ENOMEM));
      return ENOMEM;
    }
    if (pread (t->fd, buf, 512, 0) == -1 && errno == EINVAL)
      logical = 4096;
    free (buf);
  }
  t->logical = logical < 512 ? 512 : logical;
  if (!is_power_of_2 (t->memory) || t->memory > t->logical)
    t->memory = t->logical;
  t->preferred = 4096;
  t->block = max_u64 (sysconf (_SC_PAGESIZE), t->logical);
  if (is_power_of_2 (st->st_blksize) && st->st_blksize <= MAX_BLOCK)
    t->block = max_u64 (t->block, st->st_blksize);
  if (t->can_write && t->size % t->logical != 0) {
    /* Not through PATH, which may be another file by now. */
    char fd_path[64];

    snprintf (fd_path, sizeof fd_path, "/proc/self/fd/%d", t->fd);
    t->tail_fd = open (fd_path, O_RDWR | O_CLOEXEC);
    if (t->tail_fd == -1) {
      int err = errno;

      message_set (message, "%s: can't open a second time: %s", path,
                   strerror (err));
      return err;
    }
  }
  return 0;
}

static int
check_geometry (const struct target *t, const char *path,
                struct message *message)
{
  if (t->size == 0) {
    message_set (message, "%s: has a size of 0 bytes: there is nothing to "
                 "serve", path);
    return EINVAL;
  }
  if (!is_power_of_2 (t->logical) || t->logical < 512 ||
      t->logical > 65536) {
    message_set (message, "%s: has sectors of %" PRIu32 " bytes: from 512 "
                 "to 65536 are possible", path, t->logical);
    return EINVAL;
  }
  return 0;
}

static int
open_and_look (struct target *t, const char *path, struct message *message)
{
  struct stat st, opened;
  int err;

  if (stat (path, &st) == -1) {
    err = errno;
    message_set (message, "%s: %s", path, strerror (err));
    return err;
  }
  err = check_type (path, &st, message);
  if (err)
    return err;
  t->is_block = S_ISBLK (st.st_mode);
  t->dev = t->is_block ? st.st_rdev : 0;
  err = open_fd (t, path, message);
  if (err)
    return err;
  if (fstat (t->fd, &opened) == -1 ||
      (opened.st_mode & S_IFMT) != (st.st_mode & S_IFMT) ||
      opened.st_rdev != st.st_rdev) {
    message_set (message, "%s: changed while it was opened", path);
    return EINVAL;
  }
  err = t->is_block ? device_geometry (t, path, message)
    : file_geometry (t, &opened, path, message);
  if (err == 0)
    err = check_geometry (t, path, message);
  if (t->preferred < 4096)
    t->preferred = 4096;
  if (t->preferred < t->logical)
    t->preferred = t->logical;
  return err;
}

int
target_open (const char *path, struct target **result,
             struct message *message)
{
  struct target *t = calloc (1, sizeof *t);
  int err;

  if (t == NULL) {
    message_set (message, "%s: %s", path, strerror (ENOMEM));
    return ENOMEM;
  }
  atomic_init (&t->refs, 1);
  t->fd = t->tail_fd = -1;
  err = open_and_look (t, path, message);
  if (err) {
    target_unref (t);
    return err;
  }
  *result = t;
  return 0;
}

struct target *
target_ref (struct target *t)
{
  atomic_fetch_add (&t->refs, 1);
  return t;
}

void
target_unref (struct target *t)
{
  if (atomic_fetch_sub (&t->refs, 1) != 1)
    return;
  if (t->fd != -1)
    close (t->fd);
  if (t->tail_fd != -1)
    close (t->tail_fd);
  free (t);
}
