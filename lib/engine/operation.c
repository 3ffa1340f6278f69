/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/errors.h"
#include "engine/lost.h"
#include "engine/main-dev.h"
#include "engine/operation.h"
#include "engine/read.h"

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

static bool
is_within_main (const struct engine *e, const struct sector_range *ranges,
                size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (ranges[i].count == 0 || ranges[i].start >= e->nr_sectors ||
        ranges[i].count > e->nr_sectors - ranges[i].start)
      return false;
  return n > 0;
}

/* An operation that only makes records needs no buffers. */
static int
get_memory (struct operation *op)
{
  op->size = max_u64 (op->size, op->e->config.main_block);
  if (op->conn &&
      posix_memalign ((void **) &op->buf, 4096, 2 * (size_t) op->size) != 0)
    return ENOMEM;
  if (op->apply == NULL)
    return 0;
  op->piece = calloc (BATCH_PIECES, sizeof *op->piece);
  if (op->piece == NULL ||
      (op->conn && posix_memalign ((void **) &op->data, 4096,
                                   max_u64 (BATCH_BYTES, op->size)) != 0))
    return ENOMEM;
  return 0;
}

/* Is there no room for another piece, or is it time? */
static bool
is_due (const struct operation *op)
{
  return op->nr_pieces > 0 &&
    (op->nr_pieces == BATCH_PIECES || op->changes >= BATCH_CHANGES ||
     (op->conn && op->used + op->size > BATCH_BYTES) ||
     op->e->config.now_ms (op->e->config.opaque) - op->since_ms >= BATCH_MS);
}

/* The pieces from FROM to TO that are held, in one commit. */
static int
commit_pieces (struct operation *op, unsigned from, unsigned to)
{
  struct request r, *request = NULL;
  struct record rec;
  int err;

  if (op->conn) {
    request_init (&r, op->conn, 0, 0);
    request = &r;
  }
  record_init (&rec, op->e, request);
  for (unsigned i = from; i < to && rec.err == 0; i++)
    if (op->piece[i].there)
      op->apply (op, &rec, &op->piece[i]);
  err = record_commit (&rec);
  for (unsigned i = from; i < to && err == 0; i++) {
    op->res->done += op->piece[i].done;
    op->res->left += op->piece[i].left;
  }
  return err;
}

/* Commits what has been gathered; where there isn't room for all of it, as much
 * as there is: piece by piece, then block by block.
 */
static int
commit_gathered (struct operation *op)
{
  const unsigned n = op->nr_pieces;
  struct piece *p = op->piece;
  unsigned i;
  int err = op->before ? op->before (op) : 0;

  for (i = 0; i < n; i++) {
    p[i].there = range_confirm (op->e->ranges, &p[i].hold) && !p[i].again &&
      !p[i].settled;
    p[i].again = !p[i].there && !p[i].settled;
  }
  if (err == 0)
    err = commit_pieces (op, 0, n);
  if (err == ENOSPC) {
    for (i = 0; i < n && commit_pieces (op, i, i + 1) == 0; i++)
      ;
    for (; i < n; i++)
      p[i].again |= p[i].there;
    err = 0;
  }
  for (i = 0; i < n; i++)
    range_unlock_exclusive (op->e->ranges, &p[i].hold);

  /* Nothing is held now. */
  op->nr_pieces = 0;
  op->used = op->changes = 0;
  for (i = 0; i < n && err == 0; i++)
    if (p[i].again)
      err = op->again (op, p[i].start, p[i].end);
  return err;
}

/* The whole blocks that a range touches; returns how many sectors they have. */
static uint64_t
whole_blocks (const struct engine *e, const struct sector_range *range,
              uint64_t *start, uint64_t *end)
{
  *start = block_of (e, range->start << SECTOR_SHIFT);
  *end = block_end (e, ((range->start + range->count) << SECTOR_SHIFT) - 1);
  return sectors_in (*start, *end);
}

static void
report_passed (const struct operation *op, uint64_t start, uint64_t pos)
{
  if (op->watch && op->watch->passed)
    op->watch->passed (op->watch->opaque,
                       op->passed + sectors_in (start, pos), op->total);
}

static int
operate_range (struct operation *op, const struct sector_range *range,
               bool mapped_only, piece_function *piece)
{
  uint64_t start, end, pos;
  const uint64_t sectors = whole_blocks (op->e, range, &start, &end);
  int err = 0;

  op->single_until = 0;
  pos = start;
  while (pos < end && err == 0) {
    if (mapped_only)
      pos = skip_direct (op, pos, end);
    if (pos >= end)
      break;
    if (is_stopped (op))
      return ECANCELED;
    report_passed (op, start, pos);
    err = piece (op, pos, min_u64 (pos + op->size, end), &pos);
    if (err == 0 && is_due (op))
      err = commit_gathered (op);
  }
  op->passed += sectors;
  return err;
}

void
report_bad (struct operation *op, sector_t start, uint64_t count)
{
  if (op->res->bad == 0)
    op->res->first_bad = start;
  op->res->bad += count;
  if (op->watch && op->watch->bad)
    op->watch->bad (op->watch->opaque, start, count);
}

int
only_a_bad_place (struct request *r, int err)
{
  return main_is_alive (r, err) ? 0 : err;
}

int
perhaps_a_bad_place (struct request *r, int err)
{
  return main_seems_alive (r, err) ? 0 : err;
}

int
operate (struct operation *op, const struct sector_range *ranges, size_t n,
         bool mapped_only, piece_function *piece)
{
  struct engine *e = op->e;
  struct request r;
  uint64_t start, end;
  int err, err2 = 0;

  memset (op->res, 0, sizeof *op->res);
  if (!is_within_main (e, ranges, n))
    return EINVAL;
  for (size_t i = 0; i < n; i++)
    op->total += whole_blocks (e, &ranges[i], &start, &end);
  err = get_memory (op);
  if (err == 0 && op->conn && main_is_lost (e)) {
    request_init (&r, op->conn, 0, 0);
    if (!main_wait (&r, 0))
      err = ENODEV;
    settle_canaries (&r);
  }
  for (size_t i = 0; i < n && err == 0; i++)
    err = operate_range (op, &ranges[i], mapped_only, piece);
  /* What was read before the error is good. */
  if (op->nr_pieces > 0)
    err2 = commit_gathered (op);
  free (op->buf);
  free (op->data);
  free (op->piece);
  if (err == 0)
    err = err2;
  return err == ECANCELED ? err : error_for_nbd (err);
}

struct piece *
hold_piece (struct operation *op, uint64_t start, uint64_t end,
            uint64_t changes)
{
  struct engine *e = op->e;
  struct piece *p = &op->piece[op->nr_pieces];

  if (op->nr_pieces++ == 0)
    op->since_ms = e->config.now_ms (e->config.opaque);
  memset (p, 0, sizeof *p);
  p->start = start;
  p->end = range_lock_tentative (e->ranges, &p->hold, start, end);
  op->changes += changes;
  if (op->conn) {
    p->data = op->data + op->used;
    op->used += round_up (p->end - start, e->config.main_block);
  }
  return p;
}

void
drop_piece (struct operation *op)
{
  struct piece *p = &op->piece[--op->nr_pieces];

  range_unlock_exclusive (op->e->ranges, &p->hold);
  op->used -= round_up (p->end - p->start, op->e->config.main_block);
}

int
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
                 block_function *f)
{
  int err = 0;

  for (; start < end && err == 0; start = block_end (op->e, start)) {
    err = with_block (op, start, f);
    if (err == 0 && is_stopped (op))
      err = ECANCELED;
  }
  return err;
}
