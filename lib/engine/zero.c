/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Zero and trim (promise 9 of remap-promises(7)).
 *
 * Whole main blocks are zeroed as they are written (write.c).  Of what doesn't
 * cover whole blocks, whole sectors that are not DIRECT become ZERO in the map;
 * parts of sectors, and DIRECT parts of blocks, are written (edge.c).  A trim
 * reaches DIRECT blocks only, and changes no state.  With a copy neither
 * reaches main (promise 25): rescue-zero.c does them.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/edge.h"
#include "engine/errors.h"
#include "engine/flush.h"
#include "engine/lost.h"
#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine/read.h"
#include "engine/record.h"
#include "engine/rescue-zero.h"
#include "engine/states.h"
#include "engine/stats.h"
#include "engine/write.h"

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
    err = complete_block_locked (r, block);
    if (err == 0)
      err = zero_sectors (r, start, end, WHY_AUTO_WRITE);
  }
  unlock_block (e, &hold);
  return err;
}

/* Whole sectors within one main block, but not the whole block. */
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
zero_range (struct request *r, uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  const uint64_t size = e->config.main_size;
  uint64_t first = min_u64 (round_up (start, SECTOR_SIZE), end);
  uint64_t last = end == size ? end : round_down (end, SECTOR_SIZE);
  uint64_t head_end, tail;
  int err;

  if (rescue_of (e))
    return rescue_zero (r, start, end);
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
    err = write_blocks (r, NULL, head_end, tail);
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
  r.zero_flags = flags;
  do {
    err = zero_range (&r, offset, offset + count);
    if (err == 0 && fua)
      err = flush_written (&r);
  } while (lost_again (&r, &err));
  if (err == NOT_FAST) {
    finish_write (&r, EIO, false);
    return ENOTSUP;
  }
  return finish_write (&r, err, fua);
}

static int
trim_blocks (struct request *r, uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  struct shared_hold hold;
  uint64_t class_end;
  int err = 0;

  for (; start < end && err == 0; start = class_end) {
    if (classify (e, start, end, &class_end) != ALL_DIRECT)
      continue;
    class_end = min_u64 (class_end, start + MAIN_PIECE);
    class_end = range_lock_shared (e->ranges, &hold, start, class_end);
    if (map_all_direct (e->map, sector_of (start),
                        sectors_in (start, class_end)))
      err = main_trim (r, start, class_end);
    range_unlock_shared (e->ranges, &hold);
    if (err == ETIMEDOUT)
      late_add (e, start, class_end);
  }
  return err;
}

int
engine_trim (struct engine_conn *conn, uint32_t count, uint64_t offset,
             bool fua)
{
  struct engine *e = conn->engine;
  uint64_t start = round_up (offset, e->config.main_block);
  uint64_t end = offset + count;
  struct request r;
  int err;

  if (count == 0)
    return 0;
  stat_request (e, STAT_TRIMS, count);
  request_init (&r, conn, offset, count);
  if (end != e->config.main_size)
    end = block_of (e, end);
  do {
    err = rescue_of (e) ? rescue_trim (&r, offset, offset + count)
      : trim_blocks (&r, start, end);
    if (err == 0 && fua)
      err = flush_written (&r);
  } while (lost_again (&r, &err));
  return finish_write (&r, err, fua);
}
