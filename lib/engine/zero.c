/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Zero and trim.
 *
 * Zeroing is a write whose data costs no slot: whole sectors that are not
 * DIRECT become ZERO in the map, and so do DIRECT ones that main fails to
 * zero.  Parts of sectors, and DIRECT parts of main blocks, are written.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/edge.h"
#include "engine/errors.h"
#include "engine/flush.h"
#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine/read.h"
#include "engine/record.h"
#include "engine/stats.h"

static int zero_blocks (struct request *r, uint64_t start, uint64_t end,
                        unsigned flags);

static int
zero_in_map (struct request *r, uint64_t start, uint64_t end,
             enum change_reason why)
{
  struct exclusive_hold hold;
  uint64_t got;
  int err = 0;

  for (; start < end && err == 0; start = got) {
    got = range_lock_exclusive (r->e->ranges, &hold, start, end);
    err = zero_sectors (r, start, got, why);
    range_unlock_exclusive (r->e->ranges, &hold);
  }
  return err;
}

/* Main failed to zero these blocks with ERR: as with writes. */
static int
zero_failed (struct request *r, uint64_t start, uint64_t end, unsigned flags,
             int err)
{
  const uint32_t block = r->e->config.main_block;
  uint64_t half;

  if (err == ETIMEDOUT)
    late_add (r->e, start, end);
  if (!may_act_on (r, err))
    return err;
  if (++r->failing_pieces > MAX_FAILING_PIECES || err == ETIMEDOUT ||
      end - start <= block)
    return zero_in_map (r, start, end, WHY_AUTO_WRITE);

  half = start + round_up ((end - start) / 2, block);
  err = zero_blocks (r, start, half, flags);
  return err ? err : zero_blocks (r, half, end, flags);
}

/* Whole blocks that the map said are DIRECT, as far as the lock is to be
 * had: *DONE says how far.  LOOK_AGAIN if they are not DIRECT any more.
 */
static int
zero_direct (struct request *r, uint64_t start, uint64_t end, unsigned flags,
             uint64_t *done)
{
  struct engine *e = r->e;
  struct shared_hold hold;
  int err;

  end = *done = range_lock_shared (e->ranges, &hold, start, end);
  if (!map_all_direct (e->map, sector_of (start), sectors_in (start, end)))
    err = LOOK_AGAIN;
  else if (late_overlaps (e, start, end))
    err = MAIN_IS_LATE;
  else
    err = main_zero (r, start, end, flags);
  range_unlock_shared (e->ranges, &hold);

  if (err == 0 || err == LOOK_AGAIN)
    return err;
  if (err == MAIN_IS_LATE)
    return may_move_late (r)
      ? zero_in_map (r, start, end, WHY_AUTO_WRITE) : EIO;
  return zero_failed (r, start, end, flags, err);
}

/* Whole sectors that are not DIRECT, as far as the lock is to be had: *DONE
 * says how far.  LOOK_AGAIN if some are DIRECT.
 */
static int
zero_mapped (struct request *r, uint64_t start, uint64_t end, uint64_t *done)
{
  struct engine *e = r->e;
  struct exclusive_hold hold;
  struct run run;
  sector_t sector = sector_of (start), sector_end;
  int err = 0;

  end = *done = range_lock_exclusive (e->ranges, &hold, start, end);
  sector_end = sector + sectors_in (start, end);
  while (sector < sector_end && err == 0) {
    run = map_lookup (e->map, sector, sector_end - sector);
    if (run.state == DIRECT)
      err = LOOK_AGAIN;
    sector = run.start + run.count;
  }
  if (err == 0)
    err = zero_sectors (r, start, end, WHY_CLIENT);
  range_unlock_exclusive (e->ranges, &hold);
  return err;
}

/* Zeroes whole sectors of a mixed block, after it was completed. */
static int
zero_mixed (struct request *r, uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  uint64_t block = block_of (e, start), bend = block_end (e, start);
  struct exclusive_hold hold;
  uint64_t class_end;
  int err = LOOK_AGAIN;

  lock_block (e, &hold, block);
  if (classify (e, block, bend, &class_end) == MIXED) {
    err = start == block && end == bend ? 0
      : complete_block_locked (r, block);
    if (err == 0)
      err = zero_sectors (r, start, end, WHY_AUTO_WRITE);
  }
  unlock_block (e, &hold);
  return err;
}

/* Whole sectors within one main block, but not the whole block, or a mixed
 * block.
 */
static int
zero_in_block (struct request *r, uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  uint64_t class_end;
  int err;

  err = zero_mapped (r, start, end, &class_end);
  if (err != LOOK_AGAIN)
    return err;
  if (classify (e, block_of (e, start), block_end (e, start),
                &class_end) == MIXED && may_move (r) &&
      zero_mixed (r, start, end) == 0)
    return 0;
  return write_edge (r, NULL, start, end);
}

static int
zero_blocks (struct request *r, uint64_t start, uint64_t end, unsigned flags)
{
  struct engine *e = r->e;
  uint64_t class_end, done = start;
  int err = 0;

  while (start < end && err == 0) {
    switch (classify (e, start, end, &class_end)) {
    case ALL_DIRECT:
      err = zero_direct (r, start, class_end, flags, &done);
      break;
    case ALL_MAPPED:
      class_end = min_u64 (class_end, start + ZERO_PIECE);
      err = zero_mapped (r, start, class_end, &done);
      break;
    case MIXED:
      done = class_end;
      err = zero_in_block (r, start, class_end);
      break;
    }
    if (err == LOOK_AGAIN)
      err = 0;
    else
      start = done;
  }
  return err;
}

static int
zero_range (struct request *r, uint64_t start, uint64_t end, unsigned flags)
{
  struct engine *e = r->e;
  const uint64_t size = e->config.main_size;
  uint64_t first = min_u64 (round_up (start, SECTOR_SIZE), end);
  uint64_t last = end == size ? end : round_down (end, SECTOR_SIZE);
  uint64_t head_end, tail;
  int err;

  /* Parts of sectors first: they can fail for a LOST one. */
  if (last < first)
    return write_edge (r, NULL, start, end);
  err = last < end ? look_at_edge (r, end) : 0;
  if (err == 0 && start < first)
    err = write_edge (r, NULL, start, first);
  if (err == 0 && last < end)
    err = write_edge (r, NULL, last, end);
  if (err || first == last)
    return err;

  /* Then parts of main blocks, then whole ones. */
  head_end = first == block_of (e, first) ? first
    : min_u64 (block_end (e, first), last);
  tail = last == size ? last : max_u64 (block_of (e, last), head_end);
  if (first < head_end)
    err = zero_in_block (r, first, head_end);
  if (err == 0 && tail < last)
    err = zero_in_block (r, tail, last);
  if (err == 0 && head_end < tail)
    err = zero_blocks (r, head_end, tail, flags);
  return err;
}

int
engine_zero (struct engine_conn *conn, uint32_t count, uint64_t offset,
             unsigned flags, bool fua)
{
  struct request r;
  int err;

  if (count == 0)
    return 0;
  stat_request (conn->engine, STAT_ZEROS, count);
  request_init (&r, conn, offset, count);
  err = zero_range (&r, offset, offset + count, flags);
  if (err == ENOTSUP && (flags & DEVICE_FAST_ZERO)) {
    finish_write (&r, err, false);
    return ENOTSUP;
  }
  return finish_write (&r, err, fua);
}

int
engine_trim (struct engine_conn *conn, uint32_t count, uint64_t offset,
             bool fua)
{
  struct engine *e = conn->engine;
  uint64_t start, end = offset + count, class_end;
  struct shared_hold hold;
  struct request r;
  int err = 0;

  if (count == 0)
    return 0;
  stat_request (e, STAT_TRIMS, count);
  request_init (&r, conn, offset, count);
  start = round_up (offset, e->config.main_block);
  if (end != e->config.main_size)
    end = block_of (e, end);
  while (start < end && err == 0) {
    if (classify (e, start, end, &class_end) == ALL_DIRECT) {
      class_end = range_lock_shared (e->ranges, &hold, start, class_end);
      if (map_all_direct (e->map, sector_of (start),
                          sectors_in (start, class_end)))
        err = main_trim (&r, start, class_end);
      range_unlock_shared (e->ranges, &hold);
      if (err == ETIMEDOUT)
        late_add (e, start, class_end);
    }
    start = class_end;
  }
  return finish_write (&r, err, fua);
}
