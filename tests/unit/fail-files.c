/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fail-files.h"

unsigned asprintf_fails, dprintf_fails, mkostemp_fails, rename_fails,
  write_fails;

extern int __wrap_asprintf (char **text, const char *fs, ...);
extern int __wrap___asprintf_chk (char **text, int flag, const char *fs, ...);
extern int __wrap_dprintf (int fd, const char *fs, ...);
extern int __wrap___dprintf_chk (int fd, int flag, const char *fs, ...);
extern int __real_mkostemp (char *path, int flags);
extern int __wrap_mkostemp (char *path, int flags);
extern ssize_t __real_write (int fd, const void *buf, size_t count);
extern ssize_t __wrap_write (int fd, const void *buf, size_t count);
extern int __real_rename (const char *from, const char *to);
extern int __wrap_rename (const char *from, const char *to);

static bool
fails (unsigned *countdown)
{
  return *countdown > 0 && --*countdown == 0;
}

static int __attribute__ ((format (printf, 2, 0)))
print (char **text, const char *fs, va_list args)
{
  if (fails (&asprintf_fails)) {
    *text = (char *) "undefined";
    return -1;
  }
  return vasprintf (text, fs, args);
}

int __attribute__ ((format (printf, 2, 3)))
__wrap_asprintf (char **text, const char *fs, ...)
{
  va_list args;
  int r;

  va_start (args, fs);
  r = print (text, fs, args);
  va_end (args);
  return r;
}

/* With _FORTIFY_SOURCE. */
int __attribute__ ((format (printf, 3, 4)))
__wrap___asprintf_chk (char **text, int flag, const char *fs, ...)
{
  va_list args;
  int r;

  va_start (args, fs);
  r = print (text, fs, args);
  va_end (args);
  return r;
}

static int __attribute__ ((format (printf, 2, 0)))
print_to (int fd, const char *fs, va_list args)
{
  if (fails (&dprintf_fails)) {
    errno = ENOSPC;
    return -1;
  }
  return vdprintf (fd, fs, args);
}

int __attribute__ ((format (printf, 2, 3)))
__wrap_dprintf (int fd, const char *fs, ...)
{
  va_list args;
  int r;

  va_start (args, fs);
  r = print_to (fd, fs, args);
  va_end (args);
  return r;
}

int __attribute__ ((format (printf, 3, 4)))
__wrap___dprintf_chk (int fd, int flag, const char *fs, ...)
{
  va_list args;
  int r;

  va_start (args, fs);
  r = print_to (fd, fs, args);
  va_end (args);
  return r;
}

int
__wrap_mkostemp (char *path, int flags)
{
  if (fails (&mkostemp_fails)) {
    errno = ENOSPC;
    return -1;
  }
  return __real_mkostemp (path, flags);
}

ssize_t
__wrap_write (int fd, const void *buf, size_t count)
{
  return __real_write (fd, buf, fails (&write_fails) ? count / 2 : count);
}

int
__wrap_rename (const char *from, const char *to)
{
  if (fails (&rename_fails)) {
    errno = EIO;
    return -1;
  }
  return __real_rename (from, to);
}
