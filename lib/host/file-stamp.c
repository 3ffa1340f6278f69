/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <unistd.h>
#include <sys/xattr.h>

#include "host/file-stamp.h"

#define NAME "user.nbdkit-remap"

int
file_stamp_get (int fd, uint8_t stamp[FILE_STAMP])
{
  const ssize_t n = fgetxattr (fd, NAME, stamp, FILE_STAMP);

  if (n == FILE_STAMP)
    return 0;
  return n >= 0 || errno == ERANGE ? ENODATA : errno;
}

int
file_stamp_set (int fd, const uint8_t stamp[FILE_STAMP])
{
  return fsetxattr (fd, NAME, stamp, FILE_STAMP, 0) == -1 ||
    fsync (fd) == -1 ? errno : 0;
}

int
file_stamp_remove (int fd)
{
  if (fremovexattr (fd, NAME) == -1)
    return errno == ENODATA ? 0 : errno;
  return fsync (fd) == -1 ? errno : 0;
}
