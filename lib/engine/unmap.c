/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Giving sectors back to main: when main has returned what was written to it,
 * and has flushed it (promises 1 and 13 of remap-promises(7)), and not where a
 * write that timed out may still land (promise 3).
 */

#include <config.h>

#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/flush.h"
#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine/operation.h"
#include "engine/read.h"
#include "engine/record.h"

/* The content of blocks that aren't DIRECT, from their slots. */
static int
read_mapped (struct engine *e, uint64_t start, uint64_t end, uint8_t *buf)
{
  struct run run;
  uint64_t n;
  int err = 0;

  memset (buf, 0, end - start);
  for (; start < end && err == 0; start += n, buf += n) {
    run = map_lookup (e->map, sector_of (start), sectors_in (start, end));
    n = run.count << SECTOR_SHIFT;
    if (run.state == REMAPPED)
      err = slots_read (e, buf, run.slot, run.count);
  }
  return err;
}

/* How far the blocks from START on can be given back: whole blocks. */
static uint64_t
can_be_unmapped (struct engine *e, uint64_t start, uint64_t end)
{
  uint64_t pos = start;
  struct run run;

  for (; pos < end; pos = run_end_byte (&run)) {
    run = map_lookup (e->map, sector_of (pos), sectors_in (pos, end));
    if (run.state == DIRECT || run.state == LOST)
      break;
  }
  pos = pos < end ? block_of (e, pos) : end;
  return pos > start && !late_overlaps (e, start, pos) ? pos : start;
}

/* Blocks that are held exclusively.  Sets BAD if all that is wrong is that
 * slots, main, or what it returns aren't as they should be.
 */
static int
unmap_locked (struct operation *op, struct request *r, uint64_t start,
              uint64_t end, bool *bad)
{
  struct engine *e = op->e;
  uint64_t n = sectors_in (start, end);
  uint8_t *back = op->buf + op->size;
  const struct run run = { .start = sector_of (start), .count = n };
  struct record rec;
  int err;

  /* A slot that can't be read says nothing about main. */
  *bad = read_mapped (e, start, end, op->buf) != 0;
  if (*bad)
    return 0;
  err = main_write (r, op->buf, start, end);
  if (err == 0)
    err = flush_main (r);
  if (err == 0)
    err = main_read (r, back, start, end);
  if (err == ETIMEDOUT)
    late_add (e, start, end);
  if (err || memcmp (op->buf, back, end - start) != 0) {
    if (err)
      err = only_a_bad_place (r, err);
    *bad = err == 0;
    return err;
  }

  record_init (&rec, e, r);
  record_state (&rec, &run, DIRECT, WHY_MANUAL);
  err = record_commit (&rec);
  if (err == 0)
    op->res->done += n;
  return err;
}

static int
unmap_block (struct operation *op, struct request *r, uint64_t block,
             uint64_t end)
{
  uint64_t n = sectors_in (block, end);
  bool bad;
  int err;

  if (can_be_unmapped (op->e, block, end) != end) {
    op->res->left += n;
    return 0;
  }
  err = unmap_locked (op, r, block, end, &bad);
  if (err == 0 && bad)
    report_bad (op, sector_of (block), n);
  return err;
}

/* Together what can be given back; if that fails, or if there is little of
 * it, one by one.
 */
static int
unmap_piece (struct operation *op, uint64_t start, uint64_t end,
             uint64_t *done)
{
  struct engine *e = op->e;
  const uint64_t first_end = block_end (e, start);
  struct exclusive_hold hold;
  struct request r;
  bool one_by_one = true;
  int err = 0;

  end = range_lock_exclusive (e->ranges, &hold, start, end);
  end = max_u64 (can_be_unmapped (e, start, end), first_end);
  request_init (&r, op->conn, start, end - start);
  if (end > first_end)
    err = unmap_locked (op, &r, start, end, &one_by_one);
  range_unlock_exclusive (e->ranges, &hold);
  settle_canaries (&r);
  *done = end;
  if (err || !one_by_one)
    return err;
  return one_by_one_from (op, start, end, unmap_block);
}

int
engine_unmap (struct engine_conn *conn, sector_t start, uint64_t count,
              const struct engine_watch *watch, struct engine_result *res)
{
  const struct sector_range range = { start, count };
  struct operation op = { .e = conn->engine, .conn = conn, .watch = watch,
                          .res = res, .why = WHY_MANUAL,
                          .size = OPERATION_PIECE };

  return operate (&op, &range, 1, true, unmap_piece);
}
