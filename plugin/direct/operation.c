/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Runs one operation of the kernel, and waits for its end.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include "base/bytes.h"
#include "host/blockdev.h"
#include "operation.h"

/* Removes the page of a tail from the page cache.  It has just been written to
 * the disk, so that fails only if another process uses the page.
 */
static void
drop_tail (const struct operation *op)
{
  posix_fadvise (op->target->tail_fd,
                 round_down (op->offset, op->target->block), 0,
                 POSIX_FADV_DONTNEED);
}

static int
transfer (const struct operation *op)
{
  const int fd = operation_fd (op);
  uint32_t done = 0;
  ssize_t r;
  int err;

  do {
    struct iovec iov = {
      .iov_base = (char *) op->buf + done, .iov_len = op->count - done
    };

    if (op->kind == OP_READ)
      r = preadv (fd, &iov, 1, op->offset + done);
    else
      r = pwritev2 (fd, &iov, 1, op->offset + done,
                    op->fua ? RWF_DSYNC : 0);
  } while (!operation_progress (op, &done, r == -1 ? -errno : r, &err));
  if (op->tail)
    drop_tail (op);
  return err;
}

/* Where the device has no command for it, the kernel writes zeroes itself,
 * which isn't fast.  It knows that only once the device has refused the
 * command, and shows a maximum of 0 from then on.
 */
static bool
is_zeroing_fast (const struct target *t)
{
  uint64_t max;

  return !t->is_block ||
    (disk_number (t->dev, "queue/write_zeroes_max_bytes", &max) && max > 0);
}

static int
zero (const struct operation *op)
{
  uint64_t range[2] = { op->offset, op->count };
  int r;

  if (op->fast && !is_zeroing_fast (op->target))
    return EOPNOTSUPP;
  if (op->target->is_block)
    r = ioctl (op->target->fd, BLKZEROOUT, range);
  else
    r = fallocate (op->target->fd, FALLOC_FL_ZERO_RANGE, op->offset,
                   op->count);
  return r == -1 ? errno : 0;
}

static int
trim (const struct operation *op)
{
  uint64_t range[2] = { op->offset, op->count };
  int r;

  if (op->target->is_block)
    r = ioctl (op->target->fd, BLKDISCARD, range);
  else
    r = fallocate (op->target->fd,
                   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, op->offset,
                   op->count);
  return r == -1 ? errno : 0;
}

const char *
operation_name (enum kind kind)
{
  static const char *const names[] = {
    [OP_READ] = "read", [OP_WRITE] = "write", [OP_FLUSH] = "flush",
    [OP_ZERO] = "zero", [OP_TRIM] = "trim",
  };

  return names[kind];
}

/* A short count may be the part before a bad sector: the rest is asked for,
 * and then the kernel says what is wrong there.
 */
bool
operation_progress (const struct operation *op, uint32_t *done,
                    ssize_t result, int *err)
{
  const uint32_t need = op->kind == OP_READ ? op->need : op->count;

  *err = 0;
  if (result == -EINTR)
    return false;
  if (result < 0) {
    *err = -result;
    return true;
  }
  *done += result;
  if (*done >= need)
    return true;
  /* The file ends here, or what is left can't be asked for. */
  if (result == 0 || (!op->tail && *done % op->target->logical != 0)) {
    *err = EIO;
    return true;
  }
  return false;
}

int
operation_run (const struct operation *op)
{
  int err = 0;

  switch (op->kind) {
  case OP_READ:
  case OP_WRITE:
    return transfer (op);
  case OP_FLUSH:
    return fdatasync (op->target->fd) == -1 ? errno : 0;
  case OP_ZERO:
    do {
      err = zero (op);
    } while (err == EINTR);
    break;
  case OP_TRIM:
    do {
      err = trim (op);
    } while (err == EINTR);
    break;
  }
  return err == ENOTTY || err == ENOSYS ? EOPNOTSUPP : err;
}
