/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Requests of any alignment.
 *
 * A read is rounded out to whole sectors (the target's, not 512 bytes), and
 * fails if one of them does.  A write is cut into the whole sectors in the
 * middle and what is left at its edges: an edge is read, modified and written
 * under an exclusive lock of its sector, while whole sectors are written under
 * a shared lock, so that neither undoes the other.
 *
 * The last bytes of a file whose size is no multiple of a sector, its tail,
 * can't be written with O_DIRECT.  They go through the page cache, and there
 * they must not meet a write with O_DIRECT in the same page.  At the end of
 * such a write the kernel removes its pages from the cache; if one is dirty, it
 * reports a loss of data ("Page cache invalidation failure on direct I/O"), and
 * the next flush of the file fails with EIO, though the disk is healthy.  So a
 * tail is written through to the disk under an exclusive lock of everything
 * that can be in one folio of the page cache with it: when the lock is
 * released, the page is clean, and as a rule no longer in the cache.
 *
 * For the same reason a filesystem zeroes or trims only whole blocks: a part
 * of one is zeroed in the page cache.  The sectors that are left over are
 * written.
 *
 * Without a timeout, a request that is aligned in memory and on the disk uses
 * the client's own buffer.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nbdkit-plugin.h>

#include "base/bytes.h"
#include "base/rangelock.h"
#include "lane.h"
#include "parameters.h"
#include "request.h"

/* Bytes that one operation zeroes or trims at most: few enough that it takes
 * seconds, not minutes, and so less than a timeout.
 */
#define ZERO_PIECE (UINT32_C (32) << 20)
#define TRIM_PIECE (UINT32_C (256) << 20)

/* No folio of the page cache has more pages (MAX_XAS_ORDER in Linux).  There
 * are folios of several pages after another process has read the file.
 */
#define FOLIO_PAGES 2048

/* A range that is granted in part ends at a multiple of the unit (bytes): it
 * has whole blocks, and that of a tail is granted in one.
 */
static struct range_lock *ranges;
static uint32_t lock_unit;

/* Can the kernel use BUF itself for an operation? */
static inline bool
is_aligned (const struct target *t, const void *buf, uint64_t start,
            uint64_t end)
{
  return ((start | end) & (t->logical - 1)) == 0 &&
    ((uintptr_t) buf & (t->memory - 1)) == 0;
}

/* Runs one operation that has no data. */
static int
run_alone (const struct operation *op)
{
  struct lane *lane;
  int err = lane_take (false, 0, &lane);

  if (err)
    return err;
  err = lane_run (&lane, op);
  lane_give (lane);
  return err;
}

/* Reads the bytes from FROM to UPTO into BUF: the whole sectors around them,
 * a piece at a time.
 */
static int
read_pieces (struct target *t, uint8_t *buf, uint64_t from, uint64_t upto)
{
  uint64_t start = round_down (from, t->logical);
  uint64_t end = round_up (upto, t->logical);
  struct operation op = { .kind = OP_READ, .target = t };
  struct lane *lane;
  uint64_t first, last;
  int err;

  err = lane_take (true, min_u64 (end - start, LANE_BUFFER), &lane);
  if (err)
    return err;
  for (; start < end; start += op.count) {
    op.offset = start;
    op.count = min_u64 (end - start, LANE_BUFFER);
    op.buf = lane_buffer (lane);
    first = start > from ? start : from;
    last = min_u64 (start + op.count, upto);
    op.need = last - start;
    err = lane_run (&lane, &op);
    if (err)
      break;
    memcpy (buf + (first - from), (uint8_t *) op.buf + (first - start),
            last - first);
  }
  lane_give (lane);
  return err;
}

/* Writes whole sectors, locked.  BUF is NULL: zeroes. */
static int
write_sectors (struct target *t, const uint8_t *buf, uint64_t start,
               uint64_t end, bool fua)
{
  struct operation op = {
    .kind = OP_WRITE, .target = t, .offset = start, .fua = fua
  };
  const uint8_t *p = buf;
  struct lane *lane;
  int err;

  if (config.timeout == 0 && buf && is_aligned (t, buf, start, end)) {
    op.buf = (void *) buf;
    op.count = end - start;
    return operation_run (&op);
  }

  err = lane_take (true, min_u64 (end - start, LANE_BUFFER), &lane);
  if (err)
    return err;
  if (buf == NULL)
    memset (lane_buffer (lane), 0, min_u64 (end - start, LANE_BUFFER));
  for (; start < end; start += op.count) {
    op.offset = start;
    op.count = min_u64 (end - start, LANE_BUFFER);
    op.buf = lane_buffer (lane);
    if (buf) {
      memcpy (op.buf, p, op.count);
      p += op.count;
    }
    err = lane_run (&lane, &op);
    if (err)
      break;
  }
  lane_give (lane);
  return err;
}

/* Writes bytes of a tail through the page cache, and to the disk: an error is
 * this request's, and the page isn't dirty when the lock is released.
 */
static int
write_tail (struct target *t, const uint8_t *buf, uint64_t start,
            uint64_t end)
{
  struct operation op = {
    .kind = OP_WRITE, .target = t, .count = end - start, .offset = start,
    .fua = true, .tail = true
  };
  struct lane *lane;
  int err;

  err = lane_take (false, op.count, &lane);
  if (err)
    return err;
  op.buf = lane_buffer (lane);
  if (buf)
    memcpy (op.buf, buf, op.count);
  else
    memset (op.buf, 0, op.count);
  err = lane_run (&lane, &op);
  lane_give (lane);
  return err;
}

/* Reads a sector and writes it again with these bytes changed, locked
 * exclusively.
 */
static int
write_edge (struct target *t, const uint8_t *buf, uint64_t start,
            uint64_t end, bool fua)
{
  const uint64_t sector = round_down (start, t->logical);
  struct operation op = {
    .kind = OP_READ, .target = t, .count = t->logical, .need = t->logical,
    .offset = sector
  };
  struct lane *lane;
  uint8_t *p;
  int err;

  err = lane_take (true, t->logical, &lane);
  if (err)
    return err;
  op.buf = p = lane_buffer (lane);
  err = lane_run (&lane, &op);
  if (err == 0) {
    if (buf)
      memcpy (p + (start - sector), buf, end - start);
    else
      memset (p + (start - sector), 0, end - start);
    op.kind = OP_WRITE;
    op.fua = fua;
    err = lane_run (&lane, &op);
  }
  lane_give (lane);
  return err;
}

/* Writes whole sectors with a shared lock of them, as many at a time as it is
 * granted for.  BUF is NULL: zeroes.  Sectors that a late write may still
 * change are not written.
 */
static int
write_shared (struct target *t, const uint8_t *buf, uint64_t start,
              uint64_t end, bool fua)
{
  struct shared_hold hold;
  uint64_t got;
  int err = 0;

  for (; start < end && err == 0; start = got) {
    got = range_lock_shared (ranges, &hold, start, end);
    err = lanes_overlap (start, got) ? ETIMEDOUT
      : write_sectors (t, buf, start, got, fua);
    range_unlock_shared (ranges, &hold);
    if (buf)
      buf += got - start;
  }
  return err;
}

/* Writes bytes within one sector.  While it is a tail, no other write is under
 * way in its folio, and none that is late in its page.
 */
static int
write_exclusive (struct target *t, const uint8_t *buf, uint64_t start,
                 uint64_t end, bool fua)
{
  const uint64_t sector = round_down (start, t->logical);
  const bool tail = sector + t->logical > t->size;
  const uint32_t unit = tail ? lock_unit : t->logical;
  const uint64_t lock = round_down (sector, unit);
  const uint64_t reach = tail ? round_down (sector, t->block) : sector;
  struct exclusive_hold hold;
  int err;

  range_lock_exclusive (ranges, &hold, lock, lock + unit);
  if (lanes_overlap (reach, sector + t->logical))
    err = ETIMEDOUT;
  else if (tail)
    err = write_tail (t, buf, start, end);
  else
    err = write_edge (t, buf, start, end, fua);
  range_unlock_exclusive (ranges, &hold);
  return err;
}

/* Cuts the range at multiples of UNIT: whole ones reach from *WHOLE to before
 * *REST.
 */
static void
cut (uint32_t unit, uint64_t start, uint64_t end, uint64_t *whole,
     uint64_t *rest)
{
  *whole = min_u64 (round_up (start, unit), end);
  *rest = max_u64 (round_down (end, unit), *whole);
}

static int
write_edges (struct target *t, const uint8_t *buf, uint64_t start,
             uint64_t end, bool fua, uint64_t whole, uint64_t rest)
{
  int err = 0;

  if (start < whole)
    err = write_exclusive (t, buf, start, whole, fua);
  if (err == 0 && rest < end)
    err = write_exclusive (t, buf ? buf + (rest - start) : NULL, rest, end,
                           fua);
  return err;
}

/* Zeroes or trims whole blocks, PIECE bytes at a time. */
static int
no_data (struct target *t, enum kind kind, uint64_t start, uint64_t end,
         uint32_t piece, bool fast)
{
  struct operation op = { .kind = kind, .target = t, .fast = fast };
  struct shared_hold hold;
  uint64_t got;
  int err = 0;

  for (; start < end && err == 0; start = got) {
    got = range_lock_shared (ranges, &hold, start,
                             min_u64 (end, start + piece));
    op.offset = start;
    op.count = got - start;
    err = lanes_overlap (start, got) ? ETIMEDOUT : run_alone (&op);
    range_unlock_shared (ranges, &hold);
  }
  return err;
}

int
requests_start (const struct target *t)
{
  lock_unit = t->block;
  if (target_has_tail (t))
    lock_unit = max_u64 (lock_unit, FOLIO_PAGES * sysconf (_SC_PAGESIZE));
  ranges = range_lock_new (lock_unit);
  if (ranges == NULL) {
    nbdkit_error ("malloc: %m");
    return -1;
  }
  return 0;
}

void
requests_stop (void)
{
  range_lock_free (ranges);
  ranges = NULL;
}

int
request_read (struct target *t, void *buf, uint32_t count, uint64_t offset)
{
  struct operation op = {
    .kind = OP_READ, .target = t, .buf = buf, .count = count,
    .need = count, .offset = offset
  };

  if (config.timeout == 0 && is_aligned (t, buf, offset, offset + count))
    return operation_run (&op);
  return read_pieces (t, buf, offset, offset + count);
}

int
request_write (struct target *t, const void *vbuf, uint32_t count,
               uint64_t offset, bool fua)
{
  const uint8_t *buf = vbuf;
  uint64_t end = offset + count, whole, rest;
  int err;

  if (!t->can_write)
    return EROFS;
  cut (t->logical, offset, end, &whole, &rest);
  err = write_edges (t, buf, offset, end, fua, whole, rest);
  if (err == 0)
    err = write_shared (t, buf + (whole - offset), whole, rest, fua);
  return err;
}

/* Where the device has no command for it, zeroes are written here and not by
 * nbdkit, some versions of which write to the wrong places if there are more
 * than 64 MiB of them.
 */
int
request_zero (struct target *t, uint32_t count, uint64_t offset, bool fast)
{
  uint64_t end = offset + count, whole, rest, from, upto;
  int err;

  if (!t->can_write)
    return EROFS;
  cut (t->logical, offset, end, &whole, &rest);
  cut (t->block, whole, rest, &from, &upto);
  err = no_data (t, OP_ZERO, from, upto, ZERO_PIECE, fast);
  if (err == EOPNOTSUPP && !fast)
    err = write_shared (t, NULL, from, upto, false);
  if (err == 0)
    err = write_shared (t, NULL, whole, from, false);
  if (err == 0)
    err = write_shared (t, NULL, upto, rest, false);
  if (err == 0)
    err = write_edges (t, NULL, offset, end, false, whole, rest);
  return err;
}

/* Sectors, and a file's blocks, of which only a part is trimmed stay as they
 * are: a trim is a hint.
 */
int
request_trim (struct target *t, uint32_t count, uint64_t offset)
{
  uint64_t whole, rest;
  int err;

  if (!t->can_write)
    return EROFS;
  cut (t->block, offset, offset + count, &whole, &rest);
  err = no_data (t, OP_TRIM, whole, rest, TRIM_PIECE, false);
  return err == EOPNOTSUPP ? 0 : err;
}

int
request_flush (struct target *t)
{
  struct operation op = { .kind = OP_FLUSH, .target = t };

  return run_alone (&op);
}
