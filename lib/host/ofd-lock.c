/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "host/ofd-lock.h"

#define LOCK_BYTE 1000

int
ofd_lock (int fd, bool alone)
{
  struct flock lock = {
    .l_type = alone ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET,
    .l_start = LOCK_BYTE, .l_len = 1,
  };

  if (fcntl (fd, F_OFD_SETLK, &lock) == 0 ||
      (errno != EAGAIN && errno != EACCES))
    return 0;
  return EBUSY;
}
