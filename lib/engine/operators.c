/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What operators ask for.  All of it moves whole main blocks, a few or one
 * at a time, under an exclusive lock of their own: clients go on meanwhile.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/errors.h"
#include "engine/log.h"
#include "engine/main-dev.h"
#include "engine/operation.h"
#include "engine/read.h"
#include "engine/record.h"

/* Nothing but a record is written for these. */
#define RECORD_PIECE (UINT32_C (16) << 20)

/* Reports the sectors of a block that are in a state. */
static void
report_bad_state (struct operation *op, uint64_t start, uint64_t end,
                  enum sector_state state)
{
  struct run run;

  for (; start < end; start = run_end_byte (&run)) {
    run = map_lookup (op->e->map, sector_of (start),
                      sectors_in (start, end));
    if (run.state == state)
      report_bad (op, run.start, run.count);
  }
}

/* Sectors of a block in a state. */
static uint64_t
count_state (struct engine *e, uint64_t block, enum sector_state state)
{
  uint64_t n = 0, end = block_end (e, block);

  for (uint64_t pos = block; pos < end; pos += SECTOR_SIZE)
    n += map_lookup (e->map, sector_of (pos), 1).state == state;
  return n;
}

static int
remap_block (struct operation *op, struct request *r, uint64_t block,
             uint64_t end)
{
  struct engine *e = op->e;
  uint64_t direct = count_state (e, block, DIRECT);
  bool weak = false;
  int err;

  op->res->left += sectors_in (block, end) - direct;
  if (direct == 0)
    return 0;
  err = read_block_locked (r, op->buf, block, 1 + e->config.retries, &weak);
  if (err == 0)
    err = move_direct (r, block, end, op->buf, op->why);
  else {
    err = only_a_bad_place (r, err);
    if (err == 0) {
      report_bad_state (op, block, end, DIRECT);
      err = move_direct (r, block, end, NULL, op->why);
    }
  }
  if (err == 0)
    op->res->done += direct;
  return err;
}

/* DIRECT blocks together, if they can be read and there is room for all of
 * them; if not, LOOK_AGAIN, and nothing has changed.
 */
static int
remap_together (struct operation *op, uint64_t start, uint64_t end)
{
  struct request r;
  int err;

  request_init (&r, op->conn, start, end - start);
  err = main_read (&r, op->buf, start, end);
  if (err)
    return error_classify (err) == ERROR_MEDIA ? LOOK_AGAIN : err;
  err = move_direct (&r, start, end, op->buf, op->why);
  if (err == 0)
    op->res->done += sectors_in (start, end);
  return err == ENOSPC ? LOOK_AGAIN : err;
}

/* Reads DIRECT blocks without a lock, and forgets what they hold: a sector on
 * which main hangs is met here, where it holds up nobody.  What can be read is
 * in the drive's memory when it is read again.  Returns main's error.
 */
static int
look_ahead (struct operation *op, uint64_t start, uint64_t end)
{
  uint64_t class_end;
  struct request r;

  if (end - start <= op->e->config.main_block ||
      classify (op->e, start, end, &class_end) != ALL_DIRECT)
    return 0;
  request_init (&r, op->conn, start, class_end - start);
  return main_read (&r, op->buf, start, class_end);
}

static int
remap_piece (struct operation *op, uint64_t start, uint64_t end,
             uint64_t *done)
{
  struct engine *e = op->e;
  struct exclusive_hold hold;
  int err;

  err = look_ahead (op, start, end);
  if (err) {
    if (error_classify (err) != ERROR_MEDIA)
      return err;
    return one_by_one_from (op, start, end, remap_block, done);
  }

  err = LOOK_AGAIN;
  end = range_lock_exclusive (e->ranges, &hold, start, end);
  switch (classify (e, start, end, &end)) {
  case ALL_MAPPED:
    op->res->left += sectors_in (start, end);
    err = 0;
    break;
  case ALL_DIRECT:
    if (end - start > e->config.main_block)
      err = remap_together (op, start, end);
    break;
  case MIXED:
    break;
  }
  range_unlock_exclusive (e->ranges, &hold);
  *done = end;
  if (err != LOOK_AGAIN)
    return err;

  return one_by_one_from (op, start, end, remap_block, done);
}

int
engine_remap (struct engine_conn *conn, sector_t start, uint64_t count,
              enum change_reason why, const struct engine_watch *watch,
              struct engine_result *res)
{
  struct operation op = { .e = conn->engine, .conn = conn, .watch = watch,
                          .res = res, .why = why, .size = OPERATION_PIECE };

  return operate (&op, start, count, false, remap_piece);
}

/* The sectors in state FROM become TO. */
static int
record_piece (struct operation *op, uint64_t start, uint64_t end,
              enum sector_state from, enum sector_state to, uint64_t *done)
{
  struct engine *e = op->e;
  struct exclusive_hold hold;
  struct record rec;
  struct run run;
  uint64_t pos, n = 0;
  int err;

  record_init (&rec, e, NULL);
  end = range_lock_exclusive (e->ranges, &hold, start, end);
  for (pos = start; pos < end && rec.err == 0; pos = run_end_byte (&run)) {
    run = map_lookup (e->map, sector_of (pos), sectors_in (pos, end));
    if (run.state != from)
      continue;
    record_state (&rec, &run, to, op->why);
    n += run.count;
  }
  err = record_commit (&rec);
  range_unlock_exclusive (e->ranges, &hold);
  *done = end;
  if (err)
    return err;
  op->res->done += n;
  op->res->left += sectors_in (start, end) - n;
  return 0;
}

static int
declare_lost_piece (struct operation *op, uint64_t start, uint64_t end,
                    uint64_t *done)
{
  uint64_t before = op->res->done;
  int err = record_piece (op, start, end, DIRECT, LOST, done);

  if (err == 0 && op->res->done > before)
    engine_log (op->e, ENGINE_LOG_DEBUG, "%" PRIu64 " of the sectors %" PRIu64
                "-%" PRIu64 ": LOST by command", op->res->done - before,
                sector_of (start), sector_of (*done - 1));
  return err;
}

int
engine_declare_lost (struct engine *e, sector_t start, uint64_t count,
                     enum change_reason why,
                     const struct engine_watch *watch,
                     struct engine_result *res)
{
  struct operation op = { .e = e, .watch = watch, .res = res, .why = why,
                          .size = RECORD_PIECE };

  return operate (&op, start, count, false, declare_lost_piece);
}

static int
forget_lost_piece (struct operation *op, uint64_t start, uint64_t end,
                   uint64_t *done)
{
  return record_piece (op, start, end, LOST, ZERO, done);
}

int
engine_forget_lost (struct engine *e, sector_t start, uint64_t count,
                    const struct engine_watch *watch,
                    struct engine_result *res)
{
  struct operation op = { .e = e, .watch = watch, .res = res,
                          .why = WHY_MANUAL, .size = RECORD_PIECE };

  return operate (&op, start, count, true, forget_lost_piece);
}

/* Gives the LOST sectors of a block this content. */
static int
recover_sectors (struct request *r, uint64_t block, const uint8_t *buf,
                 uint64_t lost)
{
  struct engine *e = r->e;
  uint64_t pos, next, end = block_end (e, block);
  struct record rec;

  record_init (&rec, e, r);
  rec.counters[COUNT_RECOVERED] = lost;
  for (pos = block; pos < end && rec.err == 0; pos = next) {
    next = min_u64 (pos + SECTOR_SIZE, end);
    if (map_lookup (e->map, sector_of (pos), 1).state == LOST)
      store_sectors (&rec, buf + (pos - block), pos, next, WHY_MANUAL);
  }
  return record_commit (&rec);
}

static int
retry_block (struct operation *op, struct request *r, uint64_t block,
             uint64_t end)
{
  struct engine *e = op->e;
  uint64_t lost = count_state (e, block, LOST);
  bool weak = true;
  int err;

  op->res->left += sectors_in (block, end) - lost;
  if (lost == 0)
    return 0;
  err = read_block_locked (r, op->buf, block, 1 + e->config.retries, &weak);
  if (err) {
    err = only_a_bad_place (r, err);
    if (err == 0)
      report_bad_state (op, block, end, LOST);
    return err;
  }
  err = recover_sectors (r, block, op->buf, lost);
  if (err == 0)
    op->res->done += lost;
  return err;
}

static int
retry_piece (struct operation *op, uint64_t start, uint64_t end,
             uint64_t *done)
{
  *done = block_end (op->e, start);
  return with_block (op, start, retry_block);
}

int
engine_retry (struct engine_conn *conn, sector_t start, uint64_t count,
              const struct engine_watch *watch, struct engine_result *res)
{
  struct operation op = { .e = conn->engine, .conn = conn, .watch = watch,
                          .res = res, .why = WHY_MANUAL };

  return operate (&op, start, count, true, retry_piece);
}
