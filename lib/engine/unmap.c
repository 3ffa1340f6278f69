/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Giving sectors back to main: when main has returned what was written to it,
 * and has flushed it (promises 1 and 13 of remap-promises(7)), and not where a
 * write that timed out may still land (promise 3).
 *
 * Pieces are written under an exclusive hold, which then becomes tentative:
 * main must not get two contents at once, as it may from two operators; but
 * nobody has to wait for its flush, of which there is one for all pieces, nor
 * while it is read back.  Whoever writes a sector meanwhile gets its slot, or
 * another; the hold is gone then, the sector stays where it is, and what main
 * has of it doesn't matter (operation.h).
 */

#include <config.h>

#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/finish.h"
#include "engine/flush.h"
#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine/operation.h"
#include "engine/read.h"
#include "engine/record.h"
#include "engine/states.h"

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
      err = perhaps_a_bad_place (r, err);
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

static int
unmap_again (struct operation *op, uint64_t start, uint64_t end)
{
  return one_by_one_from (op, start, end, unmap_block);
}

/* A piece can't be given back as a whole.  One block that was tried alone is
 * bad.
 */
static void
give_up (struct operation *op, struct piece *p, bool was_tried)
{
  if (was_tried && p->end == block_end (op->e, p->start)) {
    report_bad (op, sector_of (p->start), sectors_in (p->start, p->end));
    p->settled = true;
  }
  else
    p->again = true;
}

/* Blocks that are held exclusively: main gets what their slots hold. */
static int
write_back (struct operation *op, struct request *r, struct piece *p)
{
  int err;

  /* The map has changed since it was looked at without the hold. */
  if (can_be_unmapped (op->e, p->start, p->end) != p->end) {
    p->again = true;
    return 0;
  }
  if (read_mapped (op->e, p->start, p->end, p->data) != 0) {
    give_up (op, p, true);
    return 0;
  }
  err = main_write (r, p->data, p->start, p->end);
  if (err == 0)
    return 0;
  if (err == ETIMEDOUT)
    late_add (op->e, p->start, p->end);
  err = perhaps_a_bad_place (r, err);
  if (err == 0)
    give_up (op, p, true);
  return err;
}

/* Flushes main, and compares what it returns with what it was given. */
static int
read_back (struct operation *op)
{
  struct request r;
  struct piece *p;
  int err, flush_err;

  request_init (&r, op->conn, 0, 0);
  flush_err = flush_main (&r);
  err = flush_err ? perhaps_a_bad_place (&r, flush_err) : 0;
  for (unsigned i = 0; i < op->nr_pieces && err == 0; i++) {
    p = &op->piece[i];
    if (p->again || p->settled)
      continue;
    if (flush_err == 0)
      err = main_read (&r, op->buf, p->start, p->end);
    if (err == ETIMEDOUT)
      late_add (op->e, p->start, p->end);
    if (flush_err) {
      give_up (op, p, op->nr_pieces == 1);
      continue;
    }
    if (err == 0 && memcmp (op->buf, p->data, p->end - p->start) == 0)
      continue;
    if (err)
      err = perhaps_a_bad_place (&r, err);
    give_up (op, p, true);
  }
  settle_canaries (&r);
  return err;
}

static void
unmap_apply (struct operation *op, struct record *rec, struct piece *p)
{
  const struct run run = { .start = sector_of (p->start),
                           .count = sectors_in (p->start, p->end) };

  record_state (rec, &run, DIRECT, op->why);
  p->done = run.count;
}

static int
unmap_piece (struct operation *op, uint64_t start, uint64_t end,
             uint64_t *done)
{
  struct request r;
  struct piece *p;
  int err = 0;

  end = can_be_unmapped (op->e, start, end);
  if (end == start) {
    *done = end = block_end (op->e, start);
    op->res->left += sectors_in (start, end);
    return 0;
  }
  p = hold_piece (op, start, end, 1);
  *done = p->end;
  request_init (&r, op->conn, start, p->end - start);
  if (range_confirm (op->e->ranges, &p->hold))
    err = write_back (op, &r, p);
  else
    p->again = true;
  range_relax (op->e->ranges, &p->hold);
  if (err)
    drop_piece (op);
  settle_canaries (&r);
  return err;
}

int
engine_unmap (struct engine_conn *conn, sector_t start, uint64_t count,
              const struct engine_watch *watch, struct engine_result *res)
{
  const struct sector_range range = { start, count };
  struct operation op = { .e = conn->engine, .conn = conn, .watch = watch,
                          .res = res, .why = WHY_MANUAL,
                          .size = OPERATION_PIECE, .before = read_back,
                          .apply = unmap_apply, .again = unmap_again };

  if (rescue_of (conn->engine))
    return engine_unmap_to_copy (conn, start, count, watch, res);
  return operate (&op, &range, 1, true, unmap_piece);
}
