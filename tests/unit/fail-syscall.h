/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * System calls that fail on command, and files that look like block devices.
 * Programs that use this are linked with --wrap for all of these calls
 * (fail_syscall_ldflags in Makefile.am).
 *
 * Only one thread may change what is said here, and not while another one
 * is in one of these calls.
 */

#ifndef FAIL_SYSCALL_H
#define FAIL_SYSCALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum call {
  CALL_OPEN, CALL_FSTAT, CALL_STAT, CALL_IOCTL, CALL_LSEEK, CALL_FALLOCATE,
  CALL_FTRUNCATE, CALL_PREAD, CALL_PWRITE, CALL_FDATASYNC, CALL_FLOCK,
  NR_CALLS
};

/* The Nth call of this kind from now on (1: the next one) fails with ERR,
 * and so do TIMES - 1 more after it (0: all).  ERR = 0: none does; for pread
 * and pwrite with ERR = -1: it moves nothing, as at the end of a file.
 */
extern void call_fail (enum call call, unsigned n, int err, unsigned times);

/* Calls so far, failed ones too; set to 0 at will. */
extern atomic_uint calls[NR_CALLS];

/* pread and pwrite move at most so many bytes; 0: any number. */
extern size_t call_most;

/* Called before (AFTER: after) each call of this kind, for what somebody
 * else does at that moment.  May be NULL.
 */
extern void (*call_hook) (enum call call, bool after);

/* What stat, open and ioctl say of every regular file: it is a block device.
 * With SECTOR not 0, pread and pwrite fail with EINVAL if they aren't aligned
 * to that many bytes, buffer included, as with O_DIRECT.
 */
struct fake_device {
  bool on;
  mode_t type;                  /* S_IFBLK, or another type with this number */
  dev_t rdev;
  int sector;                   /* what BLKSSZGET says */
  int open_flags;               /* of the last open */
  unsigned flushes;             /* BLKFLSBUF */
};
extern struct fake_device fake_device;

/* All of the above as at the start. */
extern void call_reset (void);

/* The lowest descriptor that is free: unchanged where none has leaked. */
extern int free_descriptor (void);

#endif /* FAIL_SYSCALL_H */
