/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "host/copy-file.h"

static int
copy_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  return EIO;                   /* it is only written */
}

static int
copy_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  const struct copy_file *c = ctx;
  const char *p = buf;
  ssize_t r;

  while (count > 0) {
    r = pwrite (c->fd, p, count, offset);
    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1)
      return errno;
    if (r == 0)
      return EIO;
    p += r;
    count -= r;
    offset += r;
  }
  return 0;
}

static int
copy_flush (void *ctx)
{
  const struct copy_file *c = ctx;

  return fdatasync (c->fd) == -1 ? errno : 0;
}

int
copy_file_init (struct copy_file *c, int fd, struct message *message)
{
  static const struct device_ops ops = {
    .pread = copy_pread, .pwrite = copy_pwrite, .flush = copy_flush,
  };
  const int flags = fcntl (fd, F_GETFL);
  struct stat st;

  c->fd = fd;
  c->device = (struct device) { .ops = &ops, .ctx = c };
  if (flags != -1 && (flags & O_ACCMODE) != O_RDONLY &&
      (flags & O_APPEND) == 0 && fstat (fd, &st) == 0 &&
      S_ISREG (st.st_mode) && st.st_size == 0)
    return 0;
  message_set (message, "the copy can only be written into an empty regular "
               "file that is open for writing");
  return EINVAL;
}
