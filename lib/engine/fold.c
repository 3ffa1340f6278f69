/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <string.h>

#include "base/bytes.h"
#include "engine/copy.h"
#include "engine/fold.h"
#include "engine/marks.h"
#include "engine/merge.h"
#include "engine/read.h"
#include "engine/record.h"
#include "engine/settle.h"
#include "engine/states.h"

/* Calls F for what can be held of a piece at once, in whole blocks of the copy;
 * what is beside the piece is held, and left alone.
 */
typedef int held_function (struct fold *f, struct request *r, uint64_t start,
                           uint64_t end, void *opaque);

static int
hold_and_do (struct fold *f, uint64_t start, uint64_t end, held_function *do_it,
             void *opaque)
{
  struct engine *e = f->conn->engine;
  const uint64_t limit = merge_block_end (e, end - 1);
  struct exclusive_hold hold;
  struct request r;
  uint64_t got;
  int err = 0;

  while (start < end && err == 0) {
    request_init (&r, f->conn, start, end - start);
    got = range_lock_exclusive (e->ranges, &hold, merge_block_of (e, start),
                                limit);
    got = min_u64 (got == limit ? got : merge_block_of (e, got), end);
    err = do_it (f, &r, start, got, opaque);
    range_unlock_exclusive (e->ranges, &hold);
    start = got;
  }
  return err;
}

static void
stays (struct fold *f, const struct run *run)
{
  if (f->stayed == 0)
    f->first_stayed = run->start;
  f->stayed += run->count;
}

/* To the copy; nothing is recorded.  Returns 0; EEXIST: it stays where it is;
 * or what ends it all.
 */
static int
write_run (struct fold *f, struct request *r, const struct run *run,
           uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  struct copy *copy = &rescue_of (e)->copy;
  int err;

  if (marks_overlap (&copy->late, run->start, run->count))
    return EEXIST;
  if (run->state == REMAPPED &&
      slots_read (e, f->buf, run->slot, run->count) != 0)
    return EEXIST;
  err = merge_write (r, run->state == REMAPPED ? f->buf : NULL, start, end);
  if (err == ETIMEDOUT)
    copy_write_is_late (e, copy, start, end);
  if (err == ENOSPC || err == EDQUOT || err == EFBIG)
    return ENOSPC;
  return err == 0 ? 0 : copy_has_failed (copy) || err == ENOMEM ? EIO : EEXIST;
}

/* In blocks of its own: only what the copy really refuses stays. */
static int
write_by_blocks (struct fold *f, struct request *r, struct record *rec,
                 const struct run *run)
{
  struct engine *e = r->e;
  struct run rest = *run, part;
  uint64_t start, end;
  int err = 0;

  while (rest.count > 0 && (err == 0 || err == EEXIST)) {
    start = rest.start << SECTOR_SHIFT;
    end = min_u64 (merge_block_end (e, start), run_end_byte (&rest));
    part = run_take (&rest, sectors_in (start, end));
    end = min_u64 (end, e->config.main_size);
    err = write_run (f, r, &part, start, end);
    if (err == EEXIST)
      stays (f, &part);
    else if (err == 0) {
      record_state (rec, &part, WRITTEN, WHY_MANUAL);
      f->moved += part.count;
    }
  }
  return err == EEXIST ? 0 : err;
}

static int
fold_held (struct fold *f, struct request *r, uint64_t start, uint64_t end,
           void *opaque)
{
  struct engine *e = r->e;
  struct record rec;
  struct run run;
  uint64_t next;
  int err = 0, err2;

  record_init (&rec, e, r);
  for (; start < end && err == 0; start = next) {
    run = state_lookup (e, sector_of (start), sectors_in (start, end));
    next = min_u64 (run_end_byte (&run), end);
    if (run.state != REMAPPED && run.state != ZERO)
      continue;
    err = write_run (f, r, &run, start, next);
    if (err == EEXIST)
      err = write_by_blocks (f, r, &rec, &run);
    else if (err == 0) {
      record_state (&rec, &run, WRITTEN, WHY_MANUAL);
      f->moved += run.count;
    }
  }
  /* The data before the record (promise 27). */
  if (rec.list.n > 0 && rec.err == 0)
    rec.err = settle_all (e);
  err2 = record_commit (&rec);
  return err ? err : err2;
}

int
fold_piece (struct fold *f, uint64_t start, uint64_t end)
{
  return hold_and_do (f, start, end, fold_held, NULL);
}

struct filling {
  void (*fill) (sector_t sector, uint8_t *text);
};

static int
fill_held (struct fold *f, struct request *r, uint64_t start, uint64_t end,
           void *opaque)
{
  const struct filling *filling = opaque;
  struct engine *e = r->e;
  struct run run;
  uint64_t next;
  int err = 0;

  for (; start < end && err == 0; start = next) {
    run = state_lookup (e, sector_of (start), sectors_in (start, end));
    next = min_u64 (run_end_byte (&run), end);
    if (run.state != LOST)
      continue;
    for (uint64_t i = 0; filling->fill && i < run.count; i++)
      filling->fill (run.start + i, f->buf + (i << SECTOR_SHIFT));
    err = merge_write (r, filling->fill ? f->buf : NULL, start, next);
    if (err && err != ENOSPC && !copy_has_failed (&rescue_of (e)->copy)) {
      stays (f, &run);
      err = 0;
    }
  }
  return err;
}

int
fold_fill (struct fold *f, uint64_t start, uint64_t end,
           void (*fill) (sector_t sector, uint8_t *text))
{
  struct filling filling = { fill };

  return hold_and_do (f, start, end, fill_held, &filling);
}

static int
give_up_held (struct fold *f, struct request *r, uint64_t start, uint64_t end,
              void *opaque)
{
  struct engine *e = r->e;
  uint64_t *n = opaque, found = 0;
  struct record rec;
  struct run run;
  int err;

  record_init (&rec, e, r);
  for (; start < end; start = min_u64 (run_end_byte (&run), end)) {
    run = state_lookup (e, sector_of (start), sectors_in (start, end));
    if (run.state != DIRECT)
      continue;
    record_state (&rec, &run, LOST, WHY_MANUAL);
    found += run.count;
  }
  err = record_commit (&rec);
  if (err == 0)
    *n += found;
  return err;
}

int
fold_give_up (struct fold *f, uint64_t start, uint64_t end, uint64_t *n)
{
  return hold_and_do (f, start, end, give_up_held, n);
}
