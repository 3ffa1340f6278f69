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
operate (struct operation *op, sector_t start, uint64_t count,
         bool mapped_only, piece_function *piece)
{
  struct engine *e = op->e;
  struct request r;
  uint64_t pos, end;
  int err = 0;

  memset (op->res, 0, sizeof *op->res);
  if (count == 0 || start >= e->nr_sectors || count > e->nr_sectors - start)
    return EINVAL;
  op->size = max_u64 (op->size, e->config.main_block);
  /* A request that only makes records needs no buffer. */
  if (op->conn &&
      posix_memalign ((void **) &op->buf, 4096, 2 * (size_t) op->size) != 0)
    return ENOMEM;

  if (op->conn && main_is_lost (e)) {
    request_init (&r, op->conn, 0, 0);
    if (!main_wait (&r, 0))
      err = ENODEV;
    settle_canaries (&r);
  }
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
