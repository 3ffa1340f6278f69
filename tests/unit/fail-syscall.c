/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/fs.h>

#include "fail-syscall.h"

struct failure {
  unsigned after;               /* calls until it fails; 0: it doesn't */
  int err;
  unsigned times;               /* failures that are left; 0: no end */
};

static struct failure failure[NR_CALLS];
atomic_uint calls[NR_CALLS];
size_t call_most;
void (*call_hook) (enum call call, bool after);
struct fake_device fake_device;

extern int __real_open (const char *path, int flags, ...);
extern int __wrap_open (const char *path, int flags, ...);
extern int __wrap___open_2 (const char *path, int flags);
extern int __real_fstat (int fd, struct stat *st);
extern int __wrap_fstat (int fd, struct stat *st);
extern int __real_stat (const char *path, struct stat *st);
extern int __wrap_stat (const char *path, struct stat *st);
extern int __real_ioctl (int fd, unsigned long request, ...);
extern int __wrap_ioctl (int fd, unsigned long request, ...);
extern off_t __real_lseek (int fd, off_t offset, int whence);
extern off_t __wrap_lseek (int fd, off_t offset, int whence);
extern int __real_fallocate (int fd, int mode, off_t offset, off_t len);
extern int __wrap_fallocate (int fd, int mode, off_t offset, off_t len);
extern int __real_ftruncate (int fd, off_t length);
extern int __wrap_ftruncate (int fd, off_t length);
extern ssize_t __real_pread (int fd, void *buf, size_t count, off_t offset);
extern ssize_t __wrap_pread (int fd, void *buf, size_t count, off_t offset);
extern ssize_t __real_pwrite (int fd, const void *buf, size_t count,
                              off_t offset);
extern ssize_t __wrap_pwrite (int fd, const void *buf, size_t count,
                              off_t offset);
extern int __real_fdatasync (int fd);
extern int __wrap_fdatasync (int fd);
extern int __real_flock (int fd, int operation);
extern int __wrap_flock (int fd, int operation);

void
call_fail (enum call call, unsigned n, int err, unsigned times)
{
  failure[call] = (struct failure) {
    .after = err ? n : 0, .err = err, .times = times
  };
}

void
call_reset (void)
{
  memset (failure, 0, sizeof failure);
  for (int i = 0; i < NR_CALLS; i++)
    atomic_store (&calls[i], 0);
  call_most = 0;
  call_hook = NULL;
  fake_device = (struct fake_device) { .on = false };
}

int
free_descriptor (void)
{
  int fd = dup (STDERR_FILENO);

  close (fd);
  return fd;
}

/* Returns what the call fails with, or 0. */
static int
begin (enum call call)
{
  struct failure *f = &failure[call];
  int err;

  atomic_fetch_add (&calls[call], 1);
  if (call_hook)
    call_hook (call, false);
  if (f->after == 0 || --f->after > 0)
    return 0;
  err = f->err;
  if (f->times != 1) {
    f->after = 1;
    f->times -= f->times > 0;
  }
  return err;
}

static ssize_t
end (enum call call, ssize_t r)
{
  const int err = errno;

  if (call_hook)
    call_hook (call, true);
  errno = err;
  return r;
}

/* For calls that fail without having done anything. */
static bool
fails (enum call call)
{
  int err = begin (call);

  errno = err ? err : errno;
  return err != 0;
}

static int
open_it (const char *path, int flags, mode_t mode)
{
  if (fails (CALL_OPEN))
    return -1;
  if (fake_device.on) {
    fake_device.open_flags = flags;
    /* Neither means the same for a file, nor has every filesystem both. */
    flags &= ~(flags & O_CREAT ? O_DIRECT : O_DIRECT | O_EXCL);
  }
  return end (CALL_OPEN, __real_open (path, flags, mode));
}

int
__wrap_open (const char *path, int flags, ...)
{
  mode_t mode = 0;
  va_list args;

  if (flags & O_CREAT) {
    va_start (args, flags);
    mode = va_arg (args, mode_t);
    va_end (args);
  }
  return open_it (path, flags, mode);
}

/* With _FORTIFY_SOURCE, where there is no mode. */
int
__wrap___open_2 (const char *path, int flags)
{
  return open_it (path, flags, 0);
}

static void
pretend (struct stat *st)
{
  if (!fake_device.on || !S_ISREG (st->st_mode))
    return;
  st->st_mode = (st->st_mode & ~S_IFMT) | fake_device.type;
  st->st_rdev = fake_device.rdev;
}

int
__wrap_fstat (int fd, struct stat *st)
{
  int r;

  if (fails (CALL_FSTAT))
    return -1;
  r = __real_fstat (fd, st);
  if (r == 0)
    pretend (st);
  return end (CALL_FSTAT, r);
}

int
__wrap_stat (const char *path, struct stat *st)
{
  int r;

  if (fails (CALL_STAT))
    return -1;
  r = __real_stat (path, st);
  if (r == 0)
    pretend (st);
  return end (CALL_STAT, r);
}

int
__wrap_ioctl (int fd, unsigned long request, ...)
{
  va_list args;
  void *arg;

  va_start (args, request);
  arg = va_arg (args, void *);
  va_end (args);
  if (fails (CALL_IOCTL))
    return -1;
  if (fake_device.on && request == BLKSSZGET) {
    *(int *) arg = fake_device.sector;
    return 0;
  }
  if (fake_device.on && request == BLKFLSBUF) {
    fake_device.flushes++;
    return 0;
  }
  return end (CALL_IOCTL, __real_ioctl (fd, request, arg));
}

off_t
__wrap_lseek (int fd, off_t offset, int whence)
{
  return fails (CALL_LSEEK) ? -1
    : end (CALL_LSEEK, __real_lseek (fd, offset, whence));
}

int
__wrap_fallocate (int fd, int mode, off_t offset, off_t len)
{
  return fails (CALL_FALLOCATE) ? -1
    : end (CALL_FALLOCATE, __real_fallocate (fd, mode, offset, len));
}

int
__wrap_ftruncate (int fd, off_t length)
{
  return fails (CALL_FTRUNCATE) ? -1
    : end (CALL_FTRUNCATE, __real_ftruncate (fd, length));
}

/* How much of COUNT is moved; -1 and errno, or 0: nothing. */
static ssize_t
begin_transfer (enum call call, const void *buf, size_t count, off_t offset)
{
  const uint64_t sector = fake_device.on ? fake_device.sector : 0;
  int err = begin (call);

  if (err == 0 && sector > 0 &&
      ((uintptr_t) buf | count | (uint64_t) offset) % sector != 0)
    err = EINVAL;
  if (err) {
    errno = err;
    return err == -1 ? 0 : -1;
  }
  return call_most > 0 && call_most < count ? call_most : count;
}

ssize_t
__wrap_pread (int fd, void *buf, size_t count, off_t offset)
{
  ssize_t n = begin_transfer (CALL_PREAD, buf, count, offset);

  return n <= 0 ? n : end (CALL_PREAD, __real_pread (fd, buf, n, offset));
}

ssize_t
__wrap_pwrite (int fd, const void *buf, size_t count, off_t offset)
{
  ssize_t n = begin_transfer (CALL_PWRITE, buf, count, offset);

  return n <= 0 ? n : end (CALL_PWRITE, __real_pwrite (fd, buf, n, offset));
}

int
__wrap_fdatasync (int fd)
{
  return fails (CALL_FDATASYNC) ? -1
    : end (CALL_FDATASYNC, __real_fdatasync (fd));
}

int
__wrap_flock (int fd, int operation)
{
  return fails (CALL_FLOCK) ? -1
    : end (CALL_FLOCK, __real_flock (fd, operation));
}
