/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A filter for tests: it doesn't want to know the errors of the layer below
 * it, and says so by passing NULL, as nbdkit's scan and readahead filters do
 * when they fill caches.  Only nbdkit itself minds, when a call fails.
 */

#include <config.h>

#include <errno.h>

#include <nbdkit-filter.h>

/* Not a constant: newer compilers know that nbdkit doesn't want NULL. */
static int *volatile nowhere;

static int
result (int r, int *err)
{
  if (r == -1)
    *err = EIO;
  return r;
}

static int
null_err_pread (nbdkit_next *next, void *handle, void *buf, uint32_t count,
                uint64_t offset, uint32_t flags, int *err)
{
  return result (next->pread (next, buf, count, offset, flags, nowhere), err);
}

static int
null_err_pwrite (nbdkit_next *next, void *handle, const void *buf,
                 uint32_t count, uint64_t offset, uint32_t flags, int *err)
{
  return result (next->pwrite (next, buf, count, offset, flags, nowhere), err);
}

static int
null_err_flush (nbdkit_next *next, void *handle, uint32_t flags, int *err)
{
  return result (next->flush (next, flags, nowhere), err);
}

static int
null_err_trim (nbdkit_next *next, void *handle, uint32_t count,
               uint64_t offset, uint32_t flags, int *err)
{
  return result (next->trim (next, count, offset, flags, nowhere), err);
}

static int
null_err_zero (nbdkit_next *next, void *handle, uint32_t count,
               uint64_t offset, uint32_t flags, int *err)
{
  return result (next->zero (next, count, offset, flags, nowhere), err);
}

static int
null_err_extents (nbdkit_next *next, void *handle, uint32_t count,
                  uint64_t offset, uint32_t flags,
                  struct nbdkit_extents *extents, int *err)
{
  return result (next->extents (next, count, offset, flags, extents, nowhere),
                 err);
}

static int
null_err_cache (nbdkit_next *next, void *handle, uint32_t count,
                uint64_t offset, uint32_t flags, int *err)
{
  return result (next->cache (next, count, offset, flags, nowhere), err);
}

static struct nbdkit_filter filter = {
  .name = "null-err",
  .longname = "nbdkit filter that wants no errors",
  .pread = null_err_pread,
  .pwrite = null_err_pwrite,
  .flush = null_err_flush,
  .trim = null_err_trim,
  .zero = null_err_zero,
  .extents = null_err_extents,
  .cache = null_err_cache,
};

NBDKIT_REGISTER_FILTER (filter)
