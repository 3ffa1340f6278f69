/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The operations of a device: what the core asks of main and of the spare.
 *
 * Whoever embeds the core implements this: the nbdkit filter over the
 * layer below it, host/sparefile.c over a file or block device, the tests
 * over memory that fails, tears and crashes on command.
 *
 * All functions return 0, or a positive errno value; a short read or
 * write is an error (EIO).  Offsets and counts are bytes.  All of them
 * may be called from any number of threads at once.  Unused operations
 * may be NULL where it says so.
 */

#ifndef REMAP_DEVICE_H
#define REMAP_DEVICE_H

#include "base/sector.h"

/* Flags of zero. */
#define DEVICE_MAY_TRIM 1U
#define DEVICE_FAST_ZERO 2U

struct device_ops {
  int (*pread) (void *ctx, void *buf, uint32_t count, uint64_t offset);
  int (*pwrite) (void *ctx, const void *buf, uint32_t count, uint64_t offset);

  /* Everything that was written before is durable when this returns 0. */
  int (*flush) (void *ctx);

  /* Main only; NULL: the engine writes zeroes instead. */
  int (*zero) (void *ctx, uint32_t count, uint64_t offset, unsigned flags);

  /* Main only; NULL: trims succeed and do nothing. */
  int (*trim) (void *ctx, uint32_t count, uint64_t offset);

  /* Main only: opens a main that was lost anew, as far as that is
   * needed, and returns its present size.  NULL: the size is taken to be
   * unchanged.
   */
  int (*probe) (void *ctx, uint64_t *size);

  /* Spare only: makes sure that later writes to the range will find room,
   * without changing what it reads as.  NULL: there is always room.
   */
  int (*allocate) (void *ctx, uint64_t offset, uint64_t count);

  /* Spare only: others, on other hosts too, see what was written to the range
   * before, and what they have written there is seen from now on.  It need not
   * be durable.  An error means what that of a flush means.  NULL: that is
   * always so.
   */
  int (*share) (void *ctx, uint64_t offset, uint32_t count);

  /* Spare only: as pread; but of a sector that is written meanwhile it reads
   * all as it was before, or all as it is after that.  It may hold up writes
   * for as long as it takes to read that much once more.  NULL: pread does so
   * anyway.
   */
  int (*pread_whole) (void *ctx, void *buf, uint32_t count, uint64_t offset);
};

struct device {
  const struct device_ops *ops;
  void *ctx;
};

static inline int
device_pread (const struct device *d, void *buf, uint32_t count,
              uint64_t offset)
{
  return d->ops->pread (d->ctx, buf, count, offset);
}

static inline int
device_pwrite (const struct device *d, const void *buf, uint32_t count,
               uint64_t offset)
{
  return d->ops->pwrite (d->ctx, buf, count, offset);
}

static inline int
device_flush (const struct device *d)
{
  return d->ops->flush (d->ctx);
}

static inline int
device_allocate (const struct device *d, uint64_t offset, uint64_t count)
{
  return d->ops->allocate ? d->ops->allocate (d->ctx, offset, count) : 0;
}

static inline int
device_share (const struct device *d, uint64_t offset, uint32_t count)
{
  return d->ops->share ? d->ops->share (d->ctx, offset, count) : 0;
}

static inline int
device_pread_whole (const struct device *d, void *buf, uint32_t count,
                    uint64_t offset)
{
  return d->ops->pread_whole ? d->ops->pread_whole (d->ctx, buf, count, offset)
    : d->ops->pread (d->ctx, buf, count, offset);
}

#endif /* REMAP_DEVICE_H */
