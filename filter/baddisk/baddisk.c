/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A filter that makes any plugin behave like a failing disk.
 *
 * nbdkit-baddisk-filter(1) says what each operation does.  In this order:
 * is the disk away; does it refuse writes; is a sector bad, and does that
 * make the operation fail; wait, as a disk does, or sum that up; do it, or
 * the part of it that a failing disk would have done; log it; answer.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <nbdkit-filter.h>

#include "areas.h"
#include "away.h"
#include "clock.h"
#include "log.h"
#include "parameters.h"
#include "readonly.h"
#include "reads.h"
#include "slow.h"

static struct params params = DEFAULT_PARAMS;
static struct areas areas;
static struct away away;
static struct readonly readonly_disk;
static struct slow_areas slow;
static struct drive_clock drive_clock;
static struct op_log op_log = { .fd = -1 };
static struct reads reads;

static void
baddisk_unload (void)
{
  log_end (&op_log);
  reads_end (&reads);
  areas_free (&areas);
  away_free (&away);
  slow_free (&slow);
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
  uint64_t vanish_time;

  params_complete (&params);
  if (params.clock)
    clock_start (&drive_clock, params.delay, params.fail_delay,
                 params.stream);
  if (areas_start (&areas, &params) == -1 ||
      slow_start (&slow, params.slow, params.block, params.slow_time) == -1)
    return -1;
  /* That is counted from when the operation that makes it vanish is answered,
   * so that it isn't over by then.
   */
  vanish_time = params.vanish_time + (params.clock ? 0 : params.fail_delay);
  if (away_start (&away, params.gone, params.vanish, params.block, vanish_time,
                  params.vanish_requests) == -1)
    return -1;
  readonly_start (&readonly_disk, params.readonly, params.readonly_after);
  if (log_start (&op_log, params.log, params.clock ? &drive_clock : NULL,
                 params.slow != NULL) == -1)
    return -1;
  return reads_start (&reads, params.reads);
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

/* One operation, from the callback's beginning to its end. */
struct operation {
  enum op op;
  uint64_t offset;
  uint32_t count;               /* 0: a flush */
  bool fast_zero;               /* fails unless it is fast */
  struct verdict verdict;
  uint64_t vanished;            /* how often the disk had when it began */
  int error;                    /* errno, or 0 */
};

/* Fails what was under way when the disk vanished. */
static int
unless_away (struct operation *o, int r)
{
  if (!away_since (&away, o->vanished))
    return r;
  o->error = params.gone_error;
  free (o->verdict.stopped);
  o->verdict.stopped = NULL;
  return -1;
}

/* What bad sectors, slow areas and time mean for an operation on a range. */
static int
judge (struct operation *o, const struct disk *disk)
{
  o->error = areas_judge (&areas, disk, o->op, o->offset, o->count,
                          &o->verdict);
  if (o->error) {
    nbdkit_error ("baddisk: out of memory");
    o->verdict.fails = true;
    return -1;
  }
  o->verdict.extra = slow_time (&slow, o->op, o->offset, o->count);
  if (!params.clock)
    wait_ns ((o->verdict.fails ? params.fail_delay : params.delay) +
             o->verdict.extra);
  else if (o->op != OP_TRIM)
    clock_operation (&drive_clock, o->offset, o->count, &o->verdict);
  o->error = o->verdict.fails ? params.error : 0;
  return o->verdict.fails ? -1 : 0;
}

/* 0: the next layer is to be called, with &o->error; there is nothing left
 * to wait for.  -1: the operation fails with o->error, and the verdict says
 * what of it may still be done.  end_operation is called in either case.
 */
static int
begin_operation (struct operation *o, const struct disk *disk)
{
  const enum presence presence =
    away_look (&away, o->op, o->offset, o->count, &o->vanished);

  if (presence != HERE) {
    if (presence == VANISHES)
      o->verdict.attempt = (uint32_t) o->vanished;
    if (!params.clock)
      wait_ns (params.fail_delay);
    o->error = params.gone_error;
    return -1;
  }
  if (o->op == OP_FLUSH) {
    if (!params.clock)
      wait_ns (params.delay);
    return unless_away (o, 0);
  }
  if (readonly_refuses (&readonly_disk, o->op)) {
    if (!params.clock)
      wait_ns (params.delay);
    o->error = params.readonly_error;
    return unless_away (o, -1);
  }
  /* What is allocated is a matter of the filesystem below: bad sectors
   * don't matter, and there is nothing to wait for.
   */
  if (o->op == OP_EXTENTS)
    return 0;
  return unless_away (o, judge (o, disk));
}

/* R is what the next layer returned, or -1.  The filter above may not want
 * to know the error: then ERR is NULL.  Returns what the callback returns.
 */
static int
end_operation (struct operation *o, int r, int *err)
{
  if (r == 0)
    r = unless_away (o, r);
  else if (o->error == 0)
    o->error = EIO;
  /* nbdkit takes this of other zeroes for a bug, and aborts. */
  if (o->error == EOPNOTSUPP && o->op == OP_ZERO && !o->fast_zero)
    o->error = EINVAL;
  if (r == 0 && o->op == OP_READ)
    reads_count (&reads, o->offset, o->count);
  log_operation (&op_log, o->op, o->offset, o->count, r == -1 ? o->error : 0,
                 &o->verdict);
  free (o->verdict.stopped);
  if (r == -1 && err)
    *err = o->error;
  return r;
}

/* Writes a piece (BUF), or zeroes it (NULL). */
static int
put (nbdkit_next *next, const struct disk *disk, const char *buf,
     uint32_t count, uint64_t offset, uint32_t flags, int *error)
{
  int r;

  *error = 0;
  r = buf ? next->pwrite (next, buf, count, offset, flags, error)
          : next->zero (next, count, offset, flags, error);
  if (r == 0)
    areas_written (&areas, disk, offset, count);
  return r;
}

/* What a write that fails leaves on the disk.  Its pieces may fail too:
 * then that is what it leaves.
 */
static void
put_partly (nbdkit_next *next, const struct disk *disk, const char *buf,
            uint32_t flags, const struct operation *o)
{
  const uint64_t end = o->offset + o->count;
  const sector_t begin = sector_of (o->offset);
  uint64_t from = o->offset;    /* of the piece that is being collected */
  uint64_t at = from;

  if (o->verdict.stopped == NULL)
    return;
  while (at < end) {
    const sector_t sector = sector_of (at);
    const size_t i = (size_t) (sector - begin);
    bool skip = o->verdict.stopped[i / 8] >> (i % 8) & 1;
    int ignored;

    if (!skip && params.partial == PARTIAL_RANDOM)
      skip = random_coin (&params.choice, o->offset, o->count, sector);
    if (skip && from < at)
      put (next, disk, buf ? buf + (from - o->offset) : NULL,
           (uint32_t) (at - from), from, flags, &ignored);
    at = (sector + 1) << SECTOR_SHIFT;
    if (skip)
      from = at;
    else if (at >= end)
      put (next, disk, buf ? buf + (from - o->offset) : NULL,
           (uint32_t) (end - from), from, flags, &ignored);
  }
}

static int
write_or_zero (enum op op, nbdkit_next *next, void *handle, const void *buf,
               uint32_t count, uint64_t offset, uint32_t flags, int *err)
{
  struct operation o = {
    .op = op, .offset = offset, .count = count,
    .fast_zero = flags & NBDKIT_FLAG_FAST_ZERO,
  };
  int r = begin_operation (&o, handle);

  if (r == 0)
    r = put (next, handle, buf, count, offset, flags, &o.error);
  else
    put_partly (next, handle, buf, flags, &o);
  return end_operation (&o, r, err);
}

static int
baddisk_pread (nbdkit_next *next, void *handle, void *buf, uint32_t count,
               uint64_t offset, uint32_t flags, int *err)
{
  struct operation o = { .op = OP_READ, .offset = offset, .count = count };
  int r = begin_operation (&o, handle);

  if (r == 0)
    r = next->pread (next, buf, count, offset, flags, &o.error);
  return end_operation (&o, r, err);
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
  struct operation o = { .op = OP_TRIM, .offset = offset, .count = count };
  int r = begin_operation (&o, handle);

  if (r == 0)
    r = next->trim (next, count, offset, flags, &o.error);
  return end_operation (&o, r, err);
}

/* A caller that passes NULL for ERR doesn't look at what is returned either,
 * but nbdkit does, and looks for the error of a call that failed: so it
 * mustn't have failed.  Nothing is lost, as filling a cache is a hint.
 */
static int
baddisk_cache (nbdkit_next *next, void *handle, uint32_t count,
               uint64_t offset, uint32_t flags, int *err)
{
  struct operation o = { .op = OP_CACHE, .offset = offset, .count = count };
  int r = begin_operation (&o, handle);

  if (r == 0)
    r = next->cache (next, count, offset, flags, &o.error);
  r = end_operation (&o, r, err);
  return err ? r : 0;
}

static int
baddisk_flush (nbdkit_next *next, void *handle, uint32_t flags, int *err)
{
  struct operation o = { .op = OP_FLUSH };
  int r = begin_operation (&o, handle);

  if (r == 0)
    r = next->flush (next, flags, &o.error);
  return end_operation (&o, r, err);
}

static int
baddisk_extents (nbdkit_next *next, void *handle, uint32_t count,
                 uint64_t offset, uint32_t flags,
                 struct nbdkit_extents *extents, int *err)
{
  struct operation o = { .op = OP_EXTENTS, .offset = offset, .count = count };
  int r = begin_operation (&o, handle);

  if (r == 0)
    r = next->extents (next, count, offset, flags, extents, &o.error);
  return end_operation (&o, r, err);
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
