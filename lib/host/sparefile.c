/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare as a file or block device of the host.
 *
 * One user at a time (promise 22 of remap-promises(7)): opening the spare
 * takes flock(2), shared for a reader, and a block device is opened with
 * O_EXCL as well, so that nobody can mount it.  A network's filesystem may pass
 * on only locks of the other kind: those are taken, too.  The kernel releases
 * all when the process ends, however it ends.  Between the open and the lock
 * another server may remove the file, if it had created it and gives up: so
 * after locking, the path must still lead to what was opened.  Only the open
 * that has created a file removes it again, and only while it has the lock.
 *
 * A block device is used with O_DIRECT.  A slot that can't be written says
 * so at once, alone, and another one is taken (promise 17); through the page
 * cache the next flush would fail, and the whole spare with it.  O_DIRECT
 * wants whole sectors of the device.  Slots and the log's pages are aligned
 * to 512 bytes, so on a disk with sectors of 4096 bytes a slot is a part of
 * a sector, which directio.c has to read, modify and write.  A regular file
 * goes through the page cache, since not every filesystem has O_DIRECT.
 *
 * That is why there is a lock, and why it is a rwlock.  Writes of whole
 * sectors may run side by side, as the core sees to it that they don't touch
 * the same slots: they hold it shared.  A write of a part of a sector could
 * undo what another thread has written beside it meanwhile, and so holds the
 * lock exclusively.  A read takes no lock: what is under way when a client
 * writes and reads a slot at once may be anything.  Whoever copies the spare
 * keeps what it reads, though, and so must not see half of a write: it holds
 * the lock exclusively where one may be under way.
 *
 * After a failed write the page cache may hold what never got to the disk,
 * and a second fsync(2) would say that all is well.  Before a spare is
 * loaded the cache is therefore written back and dropped (promise 16).
 *
 * Room is made before it is needed (promise 17), by fallocate(2); where the
 * filesystem doesn't have that, by writing what is there already, with the
 * lock held exclusively.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <linux/fs.h>

#include "base/bytes.h"
#include "host/blockdev.h"
#include "host/directio.h"
#include "host/filesystem.h"
#include "host/ofd-lock.h"
#include "host/parent.h"
#include "host/sparefile.h"

static bool
in_range (const struct spare_file *sf, uint64_t count, uint64_t offset)
{
  return offset <= sf->size && count <= sf->size - offset;
}

static int
file_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  struct spare_file *sf = ctx;

  if (!in_range (sf, count, offset))
    return EIO;
  return directio_read (sf->fd, sf->sector, buf, count, sf->offset + offset);
}

/* Does the file end before END, since somebody has truncated it?  Whatever is
 * written behind its end then makes what was before that readable again, as
 * zeroes that nobody has written (promise 1).
 */
static bool
is_cut_off (const struct spare_file *sf, uint64_t end)
{
  struct stat st;

  return !sf->is_block && fstat (sf->fd, &st) == 0 &&
    (uint64_t) st.st_size < sf->offset + end;
}

static int
write_unlocked (struct spare_file *sf, const uint8_t *buf, uint32_t count,
                uint64_t offset)
{
  if (!in_range (sf, count, offset) || sf->read_only ||
      is_cut_off (sf, offset))
    return EIO;
  return directio_write (sf->fd, sf->sector, buf, count, sf->offset + offset);
}

static int
file_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  struct spare_file *sf = ctx;
  int err;

  if (directio_is_aligned (sf->sector, sf->offset + offset, count))
    pthread_rwlock_rdlock (&sf->writing);
  else
    pthread_rwlock_wrlock (&sf->writing);
  atomic_fetch_add (&sf->begun, 1);
  err = write_unlocked (sf, buf, count, offset);
  atomic_fetch_add (&sf->ended, 1);
  pthread_rwlock_unlock (&sf->writing);
  return err;
}

/* What is read of the page cache while it is written may be old in its first
 * half, and new in the other one.  O_DIRECT leaves that to the disk, which
 * knows sectors.  The first read takes as long as the disk does, and holds up
 * nobody; the second one has all it needs in the cache.
 */
static int
file_pread_whole (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  struct spare_file *sf = ctx;
  const uint64_t ended = atomic_load (&sf->ended);
  const uint64_t begun = atomic_load (&sf->begun);
  int err = file_pread (sf, buf, count, offset);

  if (err || sf->is_block ||
      (begun == ended && atomic_load (&sf->begun) == begun))
    return err;
  pthread_rwlock_wrlock (&sf->writing);
  err = file_pread (sf, buf, count, offset);
  pthread_rwlock_unlock (&sf->writing);
  return err;
}

static int
file_flush (void *ctx)
{
  struct spare_file *sf = ctx;

  return fdatasync (sf->fd) == -1 ? errno : 0;
}

/* For filesystems that can't preallocate: writing back what is there makes
 * room for it just as well.  Slots beside the wanted ones may be in use.
 */
static int
allocate_by_writing (struct spare_file *sf, uint64_t offset, uint64_t count)
{
  char buf[65536];
  uint32_t n;
  int err;

  for (; count > 0; offset += n, count -= n) {
    n = min_u64 (count, sizeof buf);
    pthread_rwlock_wrlock (&sf->writing);
    err = file_pread (sf, buf, n, offset);
    if (err == 0)
      err = write_unlocked (sf, (uint8_t *) buf, n, offset);
    pthread_rwlock_unlock (&sf->writing);
    if (err)
      return err;
  }
  return 0;
}

static int
file_allocate (void *ctx, uint64_t offset, uint64_t count)
{
  struct spare_file *sf = ctx;

  if (!in_range (sf, count, offset) || is_cut_off (sf, offset + count))
    return EIO;
  if (sf->is_block)
    return 0;
  while (fallocate (sf->fd, 0, sf->offset + offset, count) == -1) {
    if (errno == EOPNOTSUPP || errno == ENOSYS)
      return allocate_by_writing (sf, offset, count);
    if (errno != EINTR)
      return errno;
  }
  return 0;
}

/* What lies beside the range goes along: a cache holds whole pages, of 64 KiB
 * at most.
 */
static int
file_share (void *ctx, uint64_t offset, uint32_t count)
{
  const struct spare_file *sf = ctx;
  const uint64_t start = round_down (sf->offset + offset, 65536);
  const uint64_t end = round_up (sf->offset + offset + count, 65536);

  if (sf->is_block)
    return 0;
  if (!sf->read_only &&
      sync_file_range (sf->fd, start, end - start,
                       SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                       SYNC_FILE_RANGE_WAIT_AFTER) == -1 &&
      errno != ENOSYS && errno != EINVAL)
    return errno;
  posix_fadvise (sf->fd, start, end - start, POSIX_FADV_DONTNEED);
  return 0;
}

static const struct device_ops file_ops = {
  .pread = file_pread,
  .pwrite = file_pwrite,
  .flush = file_flush,
  .allocate = file_allocate,
  .share = file_share,
  .pread_whole = file_pread_whole,
};

/* Nothing is created through a symbolic link (O_EXCL doesn't): where it
 * leads may be somebody else's choice.
 */
static int
open_or_create (struct spare_file *sf, int flags, bool create,
                struct message *message)
{
  int err = 0;

  /* Somebody may create it between the two calls: then it is there. */
  for (int i = 0; i < 2; i++) {
    sf->fd = open (sf->path, flags);
    if (sf->fd == -1 && errno == ENOENT && create) {
      sf->fd = open (sf->path, flags | O_CREAT | O_EXCL, 0600);
      sf->created = sf->fd != -1;
    }
    if (sf->fd != -1)
      return 0;
    err = errno;
    if (err != EEXIST)
      break;
  }
  if (err == EEXIST)
    message_set (message, "%s %s: is a symbolic link to a file that does "
                 "not exist: nothing is created through a link",
                 sf->what, sf->path);
  else if (err == ENOENT && parent_is_missing (sf->path))
    message_set (message, "%s %s: its directory doesn't exist",
                 sf->what, sf->path);
  else
    message_set (message, "%s %s: can't open%s: %s", sf->what, sf->path,
                 create ? " or create" : "", strerror (err));
  return err;
}

static int
find_sector (struct spare_file *sf, struct message *message)
{
  int sector, err;

  if (ioctl (sf->fd, BLKSSZGET, &sector) == -1) {
    err = errno;
    message_set (message, "%s %s: can't find its sector size: %s",
                 sf->what, sf->path, strerror (err));
    return err;
  }
  if (sector < (int) SECTOR_SIZE || sector > 65536) {
    message_set (message, "%s %s: has sectors of %d bytes: from 512 to "
                 "65536 are possible", sf->what, sf->path, sector);
    return EINVAL;
  }
  sf->sector = sector;
  return 0;
}

static int
open_fd (struct spare_file *sf, bool create, struct message *message)
{
  int flags = (sf->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY |
    O_NONBLOCK;
  struct stat st;
  int err;

  err = open_or_create (sf, flags, create, message);
  if (err)
    return err;
  if (fstat (sf->fd, &st) == -1) {
    err = errno;
    message_set (message, "%s %s: stat: %s",
                 sf->what, sf->path, strerror (err));
    return err;
  }
  if (!S_ISREG (st.st_mode) && !S_ISBLK (st.st_mode)) {
    message_set (message, "%s %s: is neither a regular file nor a block "
                 "device", sf->what, sf->path);
    return EINVAL;
  }
  sf->is_block = S_ISBLK (st.st_mode);
  sf->dev = sf->is_block ? st.st_rdev : st.st_dev;
  sf->ino = sf->is_block ? 0 : st.st_ino;
  if (!sf->is_block)
    return 0;

  /* O_EXCL on a block device: not mounted, nor anybody else's. */
  close (sf->fd);
  sf->fd = open (sf->path, (flags & ~O_NONBLOCK) | O_EXCL | O_DIRECT);
  if (sf->fd == -1) {
    err = errno;
    message_set (message, "%s %s: can't open for exclusive use: %s%s",
                 sf->what, sf->path, strerror (err),
                 err == EBUSY ? ": it is mounted, or in use otherwise" : "");
    return err;
  }
  if (fstat (sf->fd, &st) == -1 || !S_ISBLK (st.st_mode) ||
      st.st_rdev != sf->dev) {
    message_set (message, "%s %s: changed while it was opened",
                 sf->what, sf->path);
    return EINVAL;
  }
  return find_sector (sf, message);
}

/* Is the path still that of the file that was opened? */
static bool
is_in_place (const struct spare_file *sf)
{
  struct stat st;

  return stat (sf->path, &st) == 0 &&
    (sf->is_block ? S_ISBLK (st.st_mode) && st.st_rdev == sf->dev
     : st.st_dev == sf->dev && st.st_ino == sf->ino);
}

static int
lock_fd (struct spare_file *sf, struct message *message)
{
  int err = flock (sf->fd, (sf->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == -1
    ? errno : ofd_lock (sf->fd, !sf->read_only);

  if (err == 0) {
    /* Another server that gave up may have removed what it had created,
     * between our open and this lock.
     */
    if (is_in_place (sf))
      return 0;
    sf->created = false;
    message_set (message, "%s %s: was removed or replaced while it was "
                 "opened: try again", sf->what, sf->path);
    return EBUSY;
  }
  /* Created by us, but somebody else has it now: not ours to remove. */
  sf->created = false;
  if (err == EWOULDBLOCK || err == EBUSY) {
    message_set (message, "%s %s: is in use by another server or tool "
                 "(it is locked)", sf->what, sf->path);
    return EBUSY;
  }
  message_set (message, "%s %s: can't lock: %s", sf->what, sf->path,
               strerror (err));
  return err;
}

int
spare_file_find_size (struct spare_file *sf, struct message *message)
{
  off_t end = lseek (sf->fd, 0, SEEK_END);
  int err;

  if (end == -1) {
    err = errno;
    message_set (message, "%s %s: can't find its size: %s", sf->what, sf->path,
                 strerror (err));
    return err;
  }
  if ((uint64_t) end < sf->offset && sf->is_block) {
    message_set (message, "%s %s: spare-offset %" PRIu64 " lies beyond "
                 "the end of the device (%" PRIu64 " bytes)",
                 sf->what, sf->path,
                 sf->offset, (uint64_t) end);
    return EINVAL;
  }
  sf->size = (uint64_t) end < sf->offset ? 0 : end - sf->offset;
  return 0;
}

/* Whoever wants it exclusively has it next, also where writes never pause. */
static void
init_lock (pthread_rwlock_t *lock)
{
  pthread_rwlockattr_t attr;

  pthread_rwlockattr_init (&attr);
  pthread_rwlockattr_setkind_np (&attr,
                                 PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init (lock, &attr);
  pthread_rwlockattr_destroy (&attr);
}

static int
open_file (struct spare_file *sf, const char *what, const char *path,
           uint64_t offset, bool create, bool read_only,
           struct message *message)
{
  int err;

  *sf = (struct spare_file) {
    .what = what, .fd = -1, .offset = offset, .read_only = read_only,
    .device = { .ops = &file_ops, .ctx = sf }
  };
  init_lock (&sf->writing);
  sf->path = strdup (path);
  if (sf->path == NULL) {
    pthread_rwlock_destroy (&sf->writing);
    message_set (message, "%s %s: %s", what, path, strerror (ENOMEM));
    return ENOMEM;
  }
  err = open_fd (sf, create, message);
  if (err == 0)
    err = lock_fd (sf, message);
  if (err == 0)
    err = spare_file_find_size (sf, message);
  if (err)
    spare_file_close (sf, true);
  return err;
}

int
spare_file_open (struct spare_file *sf, const char *path, uint64_t offset,
                 bool create, bool read_only, struct message *message)
{
  return open_file (sf, "spare", path, offset, create, read_only, message);
}

int
spare_file_open_copy (struct spare_file *sf, const char *path, bool create,
                      struct message *message)
{
  return open_file (sf, "copy", path, 0, create, false, message);
}

void
spare_file_close (struct spare_file *sf, bool remove)
{
  if (sf->fd != -1) {
    if (remove && sf->created && is_in_place (sf))
      unlink (sf->path);
    close (sf->fd);
  }
  pthread_rwlock_destroy (&sf->writing);
  free (sf->path);
  sf->fd = -1;
  sf->path = NULL;
}

int
spare_file_extend (struct spare_file *sf, uint64_t size,
                   struct message *message)
{
  int err;

  if (size <= sf->size)
    return 0;
  if (sf->is_block) {
    message_set (message, "%s %s: the device has %" PRIu64 " bytes from "
                 "spare-offset on, not %" PRIu64,
                 sf->what, sf->path, sf->size, size);
    return EINVAL;
  }
  if (size > (uint64_t) INT64_MAX - sf->offset ||
      ftruncate (sf->fd, sf->offset + size) == -1) {
    err = size > (uint64_t) INT64_MAX - sf->offset ? EFBIG : errno;
    message_set (message, "%s %s: can't be made %" PRIu64 " bytes long: "
                 "%s", sf->what, sf->path, size, strerror (err));
    return err;
  }
  sf->size = size;
  return 0;
}

bool
spare_file_is_local (const struct spare_file *sf)
{
  char node[64];

  if (!sf->is_block)
    return filesystem_is_local (sf->fd);
  return disk_node (sf->dev, node, sizeof node) &&
    strncmp (node, "/dev/nbd", 8) != 0 && strncmp (node, "/dev/rbd", 8) != 0 &&
    strncmp (node, "/dev/drbd", 9) != 0;
}

int
spare_file_room (const struct spare_file *sf, struct spare_room *room)
{
  struct statvfs fs;
  struct stat st;

  if (sf->is_block)
    return ENOTBLK;
  if (fstatvfs (sf->fd, &fs) == -1 || fstat (sf->fd, &st) == -1)
    return errno;
  room->total = (uint64_t) fs.f_blocks * fs.f_frsize;
  room->free = (uint64_t) fs.f_bavail * fs.f_frsize;
  room->allocated = (uint64_t) st.st_blocks * 512;
  return 0;
}

int
spare_file_drop_cache (struct spare_file *sf, struct message *message)
{
  int err;

  if (!sf->read_only && fdatasync (sf->fd) == -1) {
    err = errno;
    message_set (message, "%s %s: earlier writes could not be brought to "
                 "the disk: %s", sf->what, sf->path, strerror (err));
    return err;
  }
  if (sf->is_block)
    ioctl (sf->fd, BLKFLSBUF, 0);
  posix_fadvise (sf->fd, sf->offset, 0, POSIX_FADV_DONTNEED);
  return 0;
}

uint64_t
spare_file_next_data (void *ctx, uint64_t offset)
{
  struct spare_file *sf = ctx;
  off_t r;

  if (sf->is_block || offset >= sf->size)
    return offset;
  r = lseek (sf->fd, sf->offset + offset, SEEK_DATA);
  if (r == -1)
    return errno == ENXIO ? sf->size : offset;
  return (uint64_t) r - sf->offset;
}

int
spare_file_is_blank (struct spare_file *sf, uint64_t start, uint64_t end)
{
  const uint32_t size = 1024 * 1024;
  char *buf;
  uint32_t n;
  int err = 0;

  buf = malloc (size);
  if (buf == NULL)
    return ENOMEM;
  while (err == 0 && (start = spare_file_next_data (sf, start)) < end) {
    n = min_u64 (end - start, size);
    err = file_pread (sf, buf, n, start);
    if (err == 0 && !is_zero (buf, n))
      err = EEXIST;
    start += n;
  }
  free (buf);
  return err;
}
