/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A filter that makes any plugin behave like a failing disk.
 *
 * nbdkit-baddisk-filter(1) says what each operation does.  In this order:
 * is the disk gone; is a sector bad, and does that make the operation
 * fail; wait, as a disk does, or sum that up; do it, or the part of it that
 * a failing disk would have done; log it; answer.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <nbdkit-filter.h>

#include "areas.h"
#include "clock.h"
#include "log.h"
#include "parameters.h"

static struct params params = DEFAULT_PARAMS;
static struct areas areas;
static struct drive_clock drive_clock;
static struct op_log op_log = { .fd = -1 };

static void
baddisk_unload (void)
{
  log_end (&op_log);
  areas_free (&areas);
  params_free (&params);
}

static int
baddisk_config (nbdkit_next_config *next, nbdkit_backend *nxdata,
                const char *key, const char *value)
{
  switch (params_set (&params, key, value)) {
  case 0: return next (nxdata, key, value);
  case 1: return 0;
  default: return -1;
  }
}

/* Before the server goes into the background, so that errors are seen. */
static int
baddisk_get_ready (int thread_model)
{
  params_complete (&params);
  if (params.clock)
    clock_start (&drive_clock, params.delay, params.fail_delay,
                 params.stream);
  if (areas_start (&areas, &params) == -1)
    return -1;
  return log_start (&op_log, params.log, params.clock ? &drive_clock : NULL);
}

static void *
baddisk_open (nbdkit_next_open *next, nbdkit_context *nxdata,
              int readonly, const char *exportname, int is_tls)
{
  struct disk *disk;

  if (next (nxdata, readonly, exportname) == -1)
    return NULL;
  disk = calloc (1, sizeof *disk);
  if (disk == NULL)
    nbdkit_error ("calloc: %m");
  return disk;
}

static void
baddisk_close (void *handle)
{
  free (handle);
}

static int
baddisk_prepare (nbdkit_next *next, void *handle, int readonly)
{
  const int64_t size = next->get_size (next);

  if (size == -1)
    return -1;
  return areas_open_disk (&areas, (uint64_t) size, handle);
}

static void
wait_ns (uint64_t ns)
{
  struct timespec t = {
    .tv_sec = (time_t) (ns / 1000000000), .tv_nsec = (long) (ns % 1000000000),
  };

  if (ns == 0)
    return;
  while (clock_nanosleep (CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
    ;
}

/* Whether all operations fail now; if so, this one is finished. */
static bool
is_gone (enum op op, uint32_t count, uint64_t offset, int *err)
{
  if (params.gone == NULL || access (params.gone, F_OK) == -1)
    return false;
  if (!params.clock)
    wait_ns (params.fail_delay);
  log_operation (&op_log, op, offset, count, params.gone_error, NULL);
  *err = params.gone_error;
  return true;
}

/* Common to operations on a range.  0: go on; it has waited already.  -1:
 * fails with *err; VERDICT says what it may still do before end_operation.
 */
static int
begin_operation (enum op op, const struct disk *disk, uint32_t count,
                 uint64_t offset, struct verdict *verdict, int *err)
{
  const int r = areas_judge (&areas, disk, op, offset, count, verdict);

  if (r != 0) {
    nbdkit_error ("baddisk: out of memory");
    verdict->fails = true;
    *err = r;
    return -1;
  }
  if (!params.clock)
    wait_ns (verdict->fails ? params.fail_delay : params.delay);
  else if (op != OP_TRIM)
    clock_operation (&drive_clock, offset, count, verdict);
  *err = verdict->fails ? params.error : 0;
  return verdict->fails ? -1 : 0;
}

/* R is what the next layer returned, or -1. */
static int
end_operation (enum op op, uint32_t count, uint64_t offset,
               struct verdict *verdict, int r, int *err)
{
  if (r == -1 && *err == 0)
    *err = EIO;
  log_operation (&op_log, op, offset, count, r == -1 ? *err : 0, verdict);
  free (verdict->stopped);
  return r;
}

static int
baddisk_pread (nbdkit_next *next, void *handle, void *buf, uint32_t count,
               uint64_t offset, uint32_t flags, int *err)
{
  struct verdict verdict;
  int r;

  if (is_gone (OP_READ, count, offset, err))
    return -1;
  r = begin_operation (OP_READ, handle, count, offset, &verdict, err);
  if (r == 0)
    r = next->pread (next, buf, count, offset, flags, err);
  return end_operation (OP_READ, count, offset, &verdict, r, err);
}

/* Writes a piece (BUF), or zeroes it (NULL). */
static int
put (nbdkit_next *next, const struct disk *disk, const char *buf,
     uint32_t count, uint64_t offset, uint32_t flags, int *err)
{
  int r;

  *err = 0;
  r = buf ? next->pwrite (next, buf, count, offset, flags, err)
          : next->zero (next, count, offset, flags, err);
  if (r == 0)
    areas_written (&areas, disk, offset, count);
  return r;
}

/* What a write that fails leaves on the disk.  Its pieces may fail too:
 * then that is what it leaves.
 */
static void
put_partly (nbdkit_next *next, const struct disk *disk, const char *buf,
            uint32_t count, uint64_t offset, uint32_t flags,
            const struct verdict *verdict)
{
  const uint64_t end = offset + count;
  const sector_t begin = offset >> SECTOR_SHIFT;
  uint64_t from = offset;       /* of the piece that is being collected */
  uint64_t at = offset;

  if (verdict->stopped == NULL)
    return;
  while (at < end) {
    const sector_t sector = at >> SECTOR_SHIFT;
    const size_t i = (size_t) (sector - begin);
    bool skip = verdict->stopped[i / 8] >> (i % 8) & 1;
    int ignored;

    if (!skip && params.partial == PARTIAL_RANDOM)
      skip = random_coin (&params.choice, offset, count, sector);
    if (skip && from < at)
      put (next, disk, buf ? buf + (from - offset) : NULL,
           (uint32_t) (at - from), from, flags, &ignored);
    at = (sector + 1) << SECTOR_SHIFT;
    if (skip)
      from = at;
    else if (at >= end)
      put (next, disk, buf ? buf + (from - offset) : NULL,
           (uint32_t) (end - from), from, flags, &ignored);
  }
}

static int
write_or_zero (enum op op, nbdkit_next *next, void *handle, const void *buf,
               uint32_t count, uint64_t offset, uint32_t flags, int *err)
{
  struct verdict verdict;
  int r;

  if (is_gone (op, count, offset, err))
    return -1;
  r = begin_operation (op, handle, count, offset, &verdict, err);
  if (r == 0)
    r = put (next, handle, buf, count, offset, flags, err);
  else
    put_partly (next, handle, buf, count, offset, flags, &verdict);
  return end_operation (op, count, offset, &verdict, r, err);
}

static int
baddisk_pwrite (nbdkit_next *next, void *handle, const void *buf,
                uint32_t count, uint64_t offset, uint32_t flags, int *err)
{
  return write_or_zero (OP_WRITE, next, handle, buf, count, offset, flags,
                        err);
}

static int
baddisk_zero (nbdkit_next *next, void *handle, uint32_t count,
              uint64_t offset, uint32_t flags, int *err)
{
  return write_or_zero (OP_ZERO, next, handle, NULL, count, offset, flags,
                        err);
}

static int
baddisk_trim (nbdkit_next *next, void *handle, uint32_t count,
              uint64_t offset, uint32_t flags, int *err)
{
  struct verdict verdict;
  int r;

  if (is_gone (OP_TRIM, count, offset, err))
    return -1;
  r = begin_operation (OP_TRIM, handle, count, offset, &verdict, err);
  if (r == 0)
    r = next->trim (next, count, offset, flags, err);
  return end_operation (OP_TRIM, count, offset, &verdict, r, err);
}

static int
baddisk_cache (nbdkit_next *next, void *handle, uint32_t count,
               uint64_t offset, uint32_t flags, int *err)
{
  struct verdict verdict;
  int r;

  if (is_gone (OP_CACHE, count, offset, err))
    return -1;
  r = begin_operation (OP_CACHE, handle, count, offset, &verdict, err);
  if (r == 0)
    r = next->cache (next, count, offset, flags, err);
  return end_operation (OP_CACHE, count, offset, &verdict, r, err);
}

static int
baddisk_flush (nbdkit_next *next, void *handle, uint32_t flags, int *err)
{
  struct verdict verdict = { 0 };
  int r;

  if (is_gone (OP_FLUSH, 0, 0, err))
    return -1;
  if (!params.clock)
    wait_ns (params.delay);
  *err = 0;
  r = next->flush (next, flags, err);
  return end_operation (OP_FLUSH, 0, 0, &verdict, r, err);
}

/* What is allocated is a matter of the filesystem below: bad sectors
 * don't matter, and there is nothing to wait for.
 */
static int
baddisk_extents (nbdkit_next *next, void *handle, uint32_t count,
                 uint64_t offset, uint32_t flags,
                 struct nbdkit_extents *extents, int *err)
{
  struct verdict verdict = { 0 };
  int r;

  if (is_gone (OP_EXTENTS, count, offset, err))
    return -1;
  *err = 0;
  r = next->extents (next, count, offset, flags, extents, err);
  return end_operation (OP_EXTENTS, count, offset, &verdict, r, err);
}

static struct nbdkit_filter filter = {
  .name = "baddisk",
  .longname = "nbdkit failing disk filter",
  .unload = baddisk_unload,
  .config = baddisk_config,
  .config_help = params_help,
  .get_ready = baddisk_get_ready,
  .open = baddisk_open,
  .close = baddisk_close,
  .prepare = baddisk_prepare,
  .pread = baddisk_pread,
  .pwrite = baddisk_pwrite,
  .zero = baddisk_zero,
  .trim = baddisk_trim,
  .cache = baddisk_cache,
  .flush = baddisk_flush,
  .extents = baddisk_extents,
};

NBDKIT_REGISTER_FILTER (filter)
