/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Loaded into a server: as on a filesystem that passes no locks on, all are
 * granted.
 */

#include <config.h>

#include <stdarg.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/syscall.h>

int
flock (int fd, int operation)
{
  return 0;
}

static int
filtered (int fd, int cmd, void *arg)
{
  return cmd == F_OFD_SETLK ? 0 : (int) syscall (SYS_fcntl, fd, cmd, arg);
}

int
fcntl (int fd, int cmd, ...)
{
  va_list args;
  void *arg;

  va_start (args, cmd);
  arg = va_arg (args, void *);
  va_end (args);
  return filtered (fd, cmd, arg);
}

int fcntl64 (int fd, int cmd, ...) __attribute__ ((alias ("fcntl")));
