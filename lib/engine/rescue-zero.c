/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "base/bytes.h"
#include "engine/complete.h"
#include "engine/copy.h"
#include "engine/merge.h"
#include "engine/parts.h"
#include "engine/record.h"
#include "engine/rescue-write.h"
#include "engine/rescue-zero.h"
#include "engine/states.h"
#include "map/pending.h"

/* Whole sectors that have no content in the copy: they become ZERO.  Held
 * exclusively.
 */
static int
say_zero (struct engine *e, const struct run *run)
{
  struct run rest = *run, part;
  struct parts p;
  int err = 0;

  while (rest.count > 0 && err == 0) {
    part = run_take (&rest, pending_page_end (rest.start) - rest.start);
    parts_one (&p, &part);
    err = complete_withdraw (e);
    if (err == 0)
      err = parts_prepare (e, &p);
    if (err == 0)
      parts_finish (e, &p, ZERO);
  }
  /* It may have been said meanwhile that nothing is ZERO. */
  return err ? err : complete_withdraw (e);
}

/* What zeroing makes of sectors in this state. */
enum zeroing { LEAVE, SAY_ZERO, WRITE_ZERO };

static enum zeroing
zeroing_of (enum sector_state state)
{
  switch (state) {
  case DIRECT:
  case LOST:
    return SAY_ZERO;
  case KEPT:
  case WRITTEN:
  case REMAPPED:
    return WRITE_ZERO;
  case ZERO:
    break;
  }
  return LEAVE;
}

/* The same for a trim, which is no promise. */
static enum zeroing
trimming_of (struct engine *e, enum sector_state state)
{
  const struct rescue *rescue = rescue_of (e);

  if (state == DIRECT && !rescue->ignore_trim)
    return SAY_ZERO;
  if (state_is_rescued (state) && rescue->copy.trim_zeroes &&
      !copy_has_failed (&rescue->copy))
    return WRITE_ZERO;
  return LEAVE;
}

/* Whole sectors, held exclusively in whole blocks of the copy. */
static int
zero_held (struct request *r, uint64_t start, uint64_t end, bool trim)
{
  struct engine *e = r->e;
  unsigned failed = 0;
  enum zeroing what;
  uint64_t next;
  struct run run;
  int err = 0;

  for (; start < end && err == 0; start = next) {
    run = state_lookup (e, sector_of (start), sectors_in (start, end));
    next = min_u64 (run_end_byte (&run), end);
    what = trim ? trimming_of (e, run.state) : zeroing_of (run.state);
    if (what == SAY_ZERO)
      err = say_zero (e, &run);
    else if (what == WRITE_ZERO && run.state == REMAPPED)
      err = zero_sectors (r, start, next, WHY_CLIENT);
    else if (what == WRITE_ZERO && (r->zero_flags & DEVICE_FAST_ZERO))
      err = NOT_FAST;
    else if (what == WRITE_ZERO) {
      next = min_u64 (next, start + PIECE_SIZE);
      err = rescue_write_held (r, NULL, start, next, &failed);
    }
  }
  return err;
}

static int
zero_sectors_of_range (struct request *r, uint64_t start, uint64_t end,
                       bool trim)
{
  struct engine *e = r->e;
  struct exclusive_hold hold;
  uint64_t limit, got;
  int err = 0;

  while (start < end && err == 0) {
    limit = min_u64 (merge_block_end (e, end - 1),
                     merge_block_of (e, start) + MAIN_PIECE);
    got = range_lock_exclusive (e->ranges, &hold, merge_block_of (e, start),
                                limit);
    got = min_u64 (got == limit ? got : merge_block_of (e, got), end);
    err = zero_held (r, start, got, trim);
    range_unlock_exclusive (e->ranges, &hold);
    start = got;
  }
  return err;
}

int
rescue_zero (struct request *r, uint64_t start, uint64_t end)
{
  int err = rescue_write_parts (r, NULL, &start, &end);

  return err ? err : zero_sectors_of_range (r, start, end, false);
}

int
rescue_trim (struct request *r, uint64_t start, uint64_t end)
{
  const uint64_t size = r->e->config.main_size;

  start = round_up (start, SECTOR_SIZE);
  if (end < size)
    end = round_down (end, SECTOR_SIZE);
  return start < end ? zero_sectors_of_range (r, start, end, true) : 0;
}
