/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What operators ask for.  All of it moves whole main blocks, and clients go on
 * meanwhile: operation.h says how.
 */

#include <config.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/copying.h"
#include "engine/errors.h"
#include "engine/finish.h"
#include "engine/log.h"
#include "engine/main-dev.h"
#include "engine/operation.h"
#include "engine/read.h"
#include "engine/record.h"
#include "engine/states.h"

/* Nothing but a record is written for these; but holds that are wide would be
 * in the way of all requests (base/rangelock.h).
 */
#define RECORD_PIECE (UINT32_C (4) << 20)
static_assert (RECORD_PIECE >> RANGE_REGION_SHIFT < RANGE_WIDE, "wide");

/* Reports the sectors of a block that are in a state. */
static void
report_bad_state (struct operation *op, uint64_t start, uint64_t end,
                  enum sector_state state)
{
  struct run run;

  for (; start < end; start = run_end_byte (&run)) {
    run = state_lookup (op->e, sector_of (start),
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
    n += state_lookup (e, sector_of (pos), 1).state == state;
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

/* What becomes of blocks that were read, or can't be. */
static void
remap_apply (struct operation *op, struct record *rec, struct piece *p)
{
  struct engine *e = op->e;
  uint64_t pos, next;
  struct run run;

  p->done = p->left = 0;
  for (pos = p->start; pos < p->end && rec->err == 0; pos = next) {
    run = state_lookup (e, sector_of (pos), sectors_in (pos, p->end));
    next = min_u64 (run_end_byte (&run), p->end);
    if (run.state != DIRECT) {
      p->left += run.count;
      continue;
    }
    p->done += run.count;
    if (p->data) {
      store_sectors (rec, p->data + (pos - p->start), pos, next, op->why);
      continue;
    }
    record_state (rec, &run, LOST, op->why);
    if (!p->reported)
      report_bad (op, run.start, run.count);
  }
  if (p->data == NULL)
    p->reported = true;
}

static int
remap_again (struct operation *op, uint64_t start, uint64_t end)
{
  return one_by_one_from (op, start, end, remap_block);
}

/* Many blocks at once, and if that fails, one at a time. */
static int
remap_piece (struct operation *op, uint64_t start, uint64_t end,
             uint64_t *done)
{
  struct engine *e = op->e;
  struct request r;
  struct piece *p;
  bool weak = false;
  int err;

  if (start < op->single_until)
    end = block_end (e, start);
  if (classify (e, start, end, &end) == ALL_MAPPED) {
    op->res->left += sectors_in (start, end);
    *done = end;
    return 0;
  }
  p = hold_piece (op, start, end, 1);
  *done = end = p->end;
  request_init (&r, op->conn, start, end - start);
  if (end - start > e->config.main_block) {
    err = main_read (&r, p->data, start, end);
    if (err) {
      drop_piece (op);
      if (error_classify (err) != ERROR_MEDIA)
        return err;
      op->single_until = end;
      *done = start;
    }
    return 0;
  }
  err = read_block_locked (&r, p->data, start, 1 + e->config.retries, &weak);
  if (err) {
    p->data = NULL;
    err = only_a_bad_place (&r, err);
    if (err)
      drop_piece (op);
  }
  settle_canaries (&r);
  return err;
}

int
engine_remap_ranges (struct engine_conn *conn,
                     const struct sector_range *ranges, size_t n,
                     enum change_reason why, const struct engine_watch *watch,
                     struct engine_result *res)
{
  struct operation op = { .e = conn->engine, .conn = conn, .watch = watch,
                          .res = res, .why = why, .size = OPERATION_PIECE,
                          .apply = remap_apply, .again = remap_again };

  if (rescue_of (conn->engine))
    return engine_keep_ranges (conn, ranges, n, watch, res);
  return operate (&op, ranges, n, false, remap_piece);
}

int
engine_remap (struct engine_conn *conn, sector_t start, uint64_t count,
              enum change_reason why, const struct engine_watch *watch,
              struct engine_result *res)
{
  const struct sector_range range = { start, count };

  return engine_remap_ranges (conn, &range, 1, why, watch, res);
}

/* The sectors in state FROM become TO. */
static void
record_apply (struct operation *op, struct record *rec, struct piece *p)
{
  struct run run;
  uint64_t pos;

  p->done = 0;
  for (pos = p->start; pos < p->end && rec->err == 0;
       pos = run_end_byte (&run)) {
    run = state_lookup (op->e, sector_of (pos), sectors_in (pos, p->end));
    if (run.state != op->from)
      continue;
    record_state (rec, &run, op->to, op->why);
    p->done += run.count;
  }
  p->left = sectors_in (p->start, p->end) - p->done;
}

static int
record_again (struct operation *op, uint64_t start, uint64_t end)
{
  struct piece p = { .start = start };
  struct exclusive_hold hold;
  struct record rec;
  int err = 0;

  for (; p.start < end && err == 0; p.start = p.end) {
    p.end = range_lock_exclusive (op->e->ranges, &hold, p.start, end);
    record_init (&rec, op->e, NULL);
    record_apply (op, &rec, &p);
    err = record_commit (&rec);
    range_unlock_exclusive (op->e->ranges, &hold);
    if (err == 0) {
      op->res->done += p.done;
      op->res->left += p.left;
    }
  }
  return err;
}

static int
record_piece (struct operation *op, uint64_t start, uint64_t end,
              uint64_t *done)
{
  struct run run;
  uint64_t pos, n = 0;

  for (pos = start; pos < end && n < BATCH_CHANGES;
       pos = run_end_byte (&run)) {
    run = state_lookup (op->e, sector_of (pos), sectors_in (pos, end));
    n += run.state == op->from;
  }
  *done = end = min_u64 (block_end (op->e, pos - 1), end);
  if (n > 0)
    *done = hold_piece (op, start, end, n)->end;
  else
    op->res->left += sectors_in (start, end);
  return 0;
}

int
engine_declare_lost_ranges (struct engine *e,
                            const struct sector_range *ranges, size_t n,
                            enum change_reason why,
                            const struct engine_watch *watch,
                            struct engine_result *res)
{
  struct operation op = { .e = e, .watch = watch, .res = res, .why = why,
                          .size = RECORD_PIECE, .from = DIRECT, .to = LOST,
                          .apply = record_apply, .again = record_again };
  int err = operate (&op, ranges, n, false, record_piece);

  if (res->done > 0)
    engine_log (e, "%" PRIu64 " sectors from %" PRIu64
                " on: LOST by command", res->done, ranges[0].start);
  return err;
}

int
engine_declare_lost (struct engine *e, sector_t start, uint64_t count,
                     enum change_reason why,
                     const struct engine_watch *watch,
                     struct engine_result *res)
{
  const struct sector_range range = { start, count };

  return engine_declare_lost_ranges (e, &range, 1, why, watch, res);
}

int
engine_forget_lost (struct engine *e, sector_t start, uint64_t count,
                    const struct engine_watch *watch,
                    struct engine_result *res)
{
  const struct sector_range range = { start, count };
  struct operation op = { .e = e, .watch = watch, .res = res,
                          .why = WHY_MANUAL, .size = RECORD_PIECE,
                          .from = LOST, .to = ZERO,
                          .apply = record_apply, .again = record_again };

  return operate (&op, &range, 1, true, record_piece);
}

/* Gives the LOST sectors of blocks this content; returns how many. */
static uint64_t
recover_sectors (struct record *rec, const uint8_t *buf, uint64_t start,
                 uint64_t end)
{
  uint64_t pos, next, n = 0;
  struct run run;

  for (pos = start; pos < end && rec->err == 0; pos = next) {
    run = state_lookup (rec->e, sector_of (pos), sectors_in (pos, end));
    next = min_u64 (run_end_byte (&run), end);
    if (run.state != LOST)
      continue;
    store_sectors (rec, buf + (pos - start), pos, next, WHY_MANUAL);
    n += run.count;
  }
  rec->counters[COUNT_RECOVERED] += n;
  return n;
}

static void
retry_apply (struct operation *op, struct record *rec, struct piece *p)
{
  p->done = recover_sectors (rec, p->data, p->start, p->end);
  p->left = sectors_in (p->start, p->end) - p->done;
}

/* Reads a block of which LOST sectors are to be read again.  Returns main's
 * error; if it is about this place alone the sectors were reported.
 */
static int
retry_read (struct operation *op, struct request *r, uint8_t *buf,
            uint64_t block, uint64_t end, bool *is_bad)
{
  bool weak = true;
  int err = read_block_locked (r, buf, block, 1 + op->e->config.retries,
                               &weak);

  *is_bad = err != 0;
  if (err == 0)
    return 0;
  err = perhaps_a_bad_place (r, err);
  if (err == 0) {
    report_bad_state (op, block, end, LOST);
    op->res->left += sectors_in (block, end) -
      count_state (op->e, block, LOST);
  }
  return err;
}

static int
retry_block (struct operation *op, struct request *r, uint64_t block,
             uint64_t end)
{
  uint64_t lost = count_state (op->e, block, LOST);
  struct record rec;
  bool is_bad = false;
  int err = 0;

  if (lost > 0)
    err = retry_read (op, r, op->buf, block, end, &is_bad);
  if (err || is_bad)
    return err;
  record_init (&rec, op->e, r);
  recover_sectors (&rec, op->buf, block, end);
  err = record_commit (&rec);
  if (err == 0) {
    op->res->done += lost;
    op->res->left += sectors_in (block, end) - lost;
  }
  return err;
}

static int
retry_again (struct operation *op, uint64_t start, uint64_t end)
{
  return one_by_one_from (op, start, end, retry_block);
}

static int
retry_piece (struct operation *op, uint64_t start, uint64_t end,
             uint64_t *done)
{
  struct request r;
  struct piece *p;
  bool is_bad;
  int err;

  *done = end = block_end (op->e, start);
  if (count_state (op->e, start, LOST) == 0) {
    op->res->left += sectors_in (start, end);
    return 0;
  }
  p = hold_piece (op, start, end, 1);
  request_init (&r, op->conn, start, end - start);
  err = retry_read (op, &r, p->data, start, end, &is_bad);
  if (is_bad)
    drop_piece (op);
  settle_canaries (&r);
  return err;
}

int
engine_retry (struct engine_conn *conn, sector_t start, uint64_t count,
              const struct engine_watch *watch, struct engine_result *res)
{
  const struct sector_range range = { start, count };
  struct operation op = { .e = conn->engine, .conn = conn, .watch = watch,
                          .res = res, .why = WHY_MANUAL,
                          .apply = retry_apply, .again = retry_again };
  struct engine_result moved;
  int err = operate (&op, &range, 1, true, retry_piece);

  /* What was recovered belongs into the copy, if there is one. */
  if (rescue_of (conn->engine) && res->done > 0 && err == 0)
    err = engine_unmap_to_copy (conn, start, count, NULL, &moved);
  return err;
}
