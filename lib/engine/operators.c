/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What operators ask for.  All of it moves whole main blocks, a few or one
 * at a time, under an exclusive lock of their own: clients go on meanwhile.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"

/* Nothing but a record is written for these. */
#define RECORD_PIECE (UINT32_C (16) << 20)

void
report_bad (struct operation *op, sector_t start, uint64_t count)
{
  if (op->res->bad == 0)
    op->res->first_bad = start;
  op->res->bad += count;
  if (op->watch && op->watch->bad)
    op->watch->bad (op->watch->opaque, start, count);
}

/* Reports the sectors of a block that are in a state. */
static void
report_bad_state (struct operation *op, uint64_t start, uint64_t end,
                  enum sector_state state)
{
  struct run run;

  for (; start < end; start = (run.start + run.count) << SECTOR_SHIFT) {
    run = map_lookup (op->e->map, sector_of (start),
                      sectors_in (start, end));
    if (run.state == state)
      report_bad (op, run.start, run.count);
  }
}

int
only_a_bad_place (struct request *r, int err)
{
  if (error_classify (err) != ERROR_MEDIA)
    return err;
  /* Whether automatic remapping is on doesn't matter here. */
  may_act_on (r, err);
  return atomic_load (&r->e->main_lost) || !r->canaries_asked ? err : 0;
}

/* The first block at or after POS that isn't all DIRECT; at most END. */
static uint64_t
skip_direct (struct operation *op, uint64_t pos, uint64_t end)
{
  struct engine *e = op->e;
  struct run run;
  uint64_t next = end;

  if (map_next (e->map, sector_of (pos), &run))
    next = min_u64 (block_of (e, run.start << SECTOR_SHIFT), end);
  if (next <= pos)
    return pos;
  op->res->left += sectors_in (pos, next);
  return next;
}

static bool
is_stopped (const struct operation *op)
{
  return op->watch && op->watch->stop &&
    op->watch->stop (op->watch->opaque);
}

int
operate (struct operation *op, sector_t start, uint64_t count,
         bool mapped_only, piece_function *piece)
{
  struct engine *e = op->e;
  uint64_t pos, end;
  int err = 0;

  memset (op->res, 0, sizeof *op->res);
  if (count == 0 || start >= e->nr_sectors || count > e->nr_sectors - start)
    return EINVAL;
  op->size = max_u64 (op->size, e->config.main_block);
  /* Who only makes records needs no buffer. */
  if (op->conn &&
      posix_memalign ((void **) &op->buf, 4096, 2 * (size_t) op->size) != 0)
    return ENOMEM;

  pos = block_of (e, start << SECTOR_SHIFT);
  end = block_end (e, ((start + count) << SECTOR_SHIFT) - 1);
  while (pos < end && err == 0) {
    if (mapped_only)
      pos = skip_direct (op, pos, end);
    if (pos >= end)
      break;
    if (is_stopped (op)) {
      err = ECANCELED;
      break;
    }
    err = piece (op, pos, min_u64 (pos + op->size, end), &pos);
  }
  free (op->buf);
  return err == ECANCELED ? err : error_for_nbd (err);
}

static int
with_block (struct operation *op, uint64_t block, block_function *f)
{
  struct engine *e = op->e;
  uint64_t end = block_end (e, block);
  struct exclusive_hold hold;
  struct request r;
  int err;

  request_init (&r, op->conn, block, end - block);
  memset (op->buf, 0, 2 * (size_t) e->config.main_block);
  lock_block (e, &hold, block);
  err = f (op, &r, block, end);
  unlock_block (e, &hold);
  settle_canaries (&r);
  return err;
}

int
one_by_one_from (struct operation *op, uint64_t start, uint64_t end,
                 block_function *f, uint64_t *done)
{
  int err;

  do {
    err = with_block (op, start, f);
    start = block_end (op->e, start);
  } while (err == 0 && start < end && !is_stopped (op));
  *done = start;
  return err;
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
    err = move_blocks_locked (r, block, end, op->buf, op->why);
  else {
    err = only_a_bad_place (r, err);
    if (err == 0) {
      report_bad_state (op, block, end, DIRECT);
      err = move_blocks_locked (r, block, end, NULL, op->why);
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
  err = move_blocks_locked (&r, start, end, op->buf, op->why);
  if (err == 0)
    op->res->done += sectors_in (start, end);
  return err == ENOSPC ? LOOK_AGAIN : err;
}

static int
remap_piece (struct operation *op, uint64_t start, uint64_t end,
             uint64_t *done)
{
  struct engine *e = op->e;
  struct exclusive_hold hold;
  int err = LOOK_AGAIN;

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

/* Makes a list of all sectors in a state: they become another one. */
static int
list_state (struct engine *e, struct change_list *list, uint64_t start,
            uint64_t end, enum sector_state from, struct change change,
            uint64_t *n)
{
  struct run run;
  int err = 0;

  *n = 0;
  for (; start < end && err == 0;
       start = (run.start + run.count) << SECTOR_SHIFT) {
    run = map_lookup (e->map, sector_of (start), sectors_in (start, end));
    if (run.state != from)
      continue;
    change.sector = run.start;
    change.count = run.count;
    change.slot = NO_SLOT;
    err = change_list_add (list, &change);
    *n += run.count;
  }
  if (err)
    change_list_free (list);
  return err;
}

static int
record_piece (struct operation *op, uint64_t start, uint64_t end,
              enum sector_state from, enum change_kind to,
              enum spare_counter counter, uint64_t *done)
{
  const struct change change = { .kind = to, .reason = op->why };
  uint64_t counters[NR_SPARE_COUNTERS] = { 0 };
  struct engine *e = op->e;
  struct change_list list = { 0 };
  struct exclusive_hold hold;
  uint64_t n;
  int err;

  end = range_lock_exclusive (e->ranges, &hold, start, end);
  err = list_state (e, &list, start, end, from, change, &n);
  if (err == 0) {
    if (counter != NR_SPARE_COUNTERS)
      counters[counter] = n;
    err = commit (e, &list, counters);
  }
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
  int err = record_piece (op, start, end, DIRECT, CHANGE_LOST, COUNT_LOST,
                          done);

  if (err == 0 && op->res->done > before)
    engine_log (op->e, LOG_DEBUG, "%" PRIu64 " of the sectors %" PRIu64
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
  return record_piece (op, start, end, LOST, CHANGE_ZERO, NR_SPARE_COUNTERS,
                       done);
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
  uint64_t counters[NR_SPARE_COUNTERS] = { [COUNT_RECOVERED] = lost };
  struct change_list list = { 0 };
  uint64_t pos, next, end = block_end (e, block), moved;
  int err = 0;

  for (pos = block; pos < end && err == 0; pos = next) {
    next = min_u64 (pos + SECTOR_SIZE, end);
    if (map_lookup (e->map, sector_of (pos), 1).state == LOST)
      err = place_sectors (r, &list, buf + (pos - block), pos, next,
                           WHY_MANUAL, &moved);
  }
  if (err) {
    spare_abandon (e->spare, &list);
    change_list_free (&list);
    return err;
  }
  return commit (e, &list, counters);
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
