/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Writes and zeroes of whole main blocks.
 *
 * A zero is a write whose data costs no slot: blocks that main refuses become
 * ZERO in the map, where those of a write move to slots.  All else is the
 * same, so both come this way; the data of a zero is NULL.
 *
 * DIRECT blocks are written to main one call after the other, each under a
 * shared lock of its own.  When a call fails the content of main is
 * indeterminate; so it is cut into pieces, each is written again, failing ones
 * are cut further, and a block that fails alone is moved to the spare (promises
 * 2 and 3 of remap-promises(7)).  Each piece looks the map up anew under a lock
 * of its own (promise 8).  Lock, verdict and budget are those of one call: so a
 * sector that takes long to fail holds up only requests for what is in the same
 * call, and a few bad sectors in a request of gigabytes cost what they would
 * cost in a small one (promise 9).
 *
 * Blocks that aren't main's any more come last: their data goes to slots, all
 * of it, and then one commit makes all of them what they are to be, for
 * whatever there is of them within mapped_piece.  So a request of 1 MiB over a
 * thousand LOST sectors takes two flushes, not two thousand.  They are held
 * for that from the first to the last, with what is between them and has been
 * written already: for as long as the spare takes, and without a call to main.
 * Under the lock each is looked at again; one that has become DIRECT meanwhile
 * goes the other way.  A request that fails before that has written what is
 * main's, and nothing else; one that fails there may have overwritten some
 * slots of REMAPPED sectors: each sector is old or new, as after any write
 * that fails (promise 1).  Zeroes of gigabytes are handled so stretch by
 * stretch.
 *
 * Cutting by sixteen keeps the failing writes few: a lone bad block in
 * 1 MiB fails four times (1 MiB, 64 KiB, 4 KiB, 512 bytes).  The blocks that
 * failed alone are moved to the spare together, when the others have been
 * written: a commit takes two flushes, however many blocks it has.  After
 * MAX_FAILING_PIECES of a call each later piece of it that fails goes to the
 * spare as it is, unless it is larger than GIVE_UP (promise 3).  Zeroes cost no
 * slots: of these the rest of the piece at hand isn't even tried.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/errors.h"
#include "engine/log.h"
#include "engine/lost.h"
#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine/record.h"
#include "engine/write.h"

#define CUT 16

/* What a request keeps in mind at once: more than most have.  Bytes. */
#define STRETCH (UINT32_C (64) << 20)

/* The largest piece that is given up although some of it may be good.  Bytes.
 */
#define GIVE_UP (UINT32_C (1) << 20)
#define GIVE_UP_REST (GIVE_UP / CUT)

/* The data N bytes further on. */
static inline const uint8_t *
ahead (const uint8_t *buf, uint64_t n)
{
  return buf ? buf + n : NULL;
}

/* What is locked and recorded at once of blocks that aren't main's any more:
 * records of zeroes are small.
 */
static inline uint64_t
mapped_piece (const uint8_t *buf)
{
  return buf ? PIECE_SIZE : MAIN_PIECE;
}

/* Moves blocks that are held exclusively. */
static int
move_held (struct request *r, const uint8_t *buf, uint64_t start,
           uint64_t end, enum change_reason why)
{
  return buf ? move_sectors (r, buf, start, end, why)
    : zero_sectors (r, start, end, why);
}

/* Blocks go to the spare without being tried on main (again), whatever
 * their state is.
 */
static int
move_blocks (struct request *r, const uint8_t *buf, uint64_t start,
             uint64_t end)
{
  struct exclusive_hold hold;
  uint64_t got;
  int err = 0;

  for (; start < end && err == 0; buf = ahead (buf, got - start),
       start = got) {
    got = range_lock_exclusive (r->e->ranges, &hold, start,
                                min_u64 (start + mapped_piece (buf), end));
    err = move_held (r, buf, start, got, WHY_AUTO_WRITE);
    range_unlock_exclusive (r->e->ranges, &hold);
  }
  return err;
}

/* Blocks of a call to main that failed, which are to go to the spare.  Lives
 * on the stack of the outermost write_failed.
 */
#define MAX_RANGES 32

struct placement {
  const uint8_t *buf;                   /* the data from byte START on */
  uint64_t start;
  unsigned failing_pieces;              /* so far */
  int err;                              /* of the last one */
  unsigned n;
  struct { uint64_t start, end; } range[MAX_RANGES];    /* ascending */
};

/* Moves as much of the ranges as lies before END, all of it held exclusively,
 * in one commit.
 */
static int
move_ranges (struct request *r, uint64_t end)
{
  struct placement *p = r->placement;
  struct record rec;
  uint64_t from, to;
  int err;

  record_init (&rec, r->e, r);
  for (unsigned i = 0; i < p->n && p->range[i].start < end; i++) {
    from = p->range[i].start;
    to = min_u64 (p->range[i].end, end);
    if (p->buf)
      store_sectors (&rec, p->buf + (from - p->start), from, to,
                     WHY_AUTO_WRITE);
    else
      record_zero (&rec, from, to, WHY_AUTO_WRITE);
  }
  err = record_commit (&rec);
  if (err == 0)
    log_moved (r->e, p->range[0].start, end, rec.moved);
  return err;
}

/* Moves all of the ranges, and forgets them.  It is here that main is judged:
 * after the last call that failed.
 */
static int
move_now (struct request *r)
{
  struct placement *p = r->placement;
  struct exclusive_hold hold;
  unsigned i, n;
  uint64_t end;
  int err = 0;

  if (p->n > 0 && !may_move_data (r, p->err))
    return p->err;
  while (p->n > 0 && err == 0) {
    end = min_u64 (p->range[p->n - 1].end,
                   p->range[0].start + mapped_piece (p->buf));
    end = range_lock_exclusive (r->e->ranges, &hold, p->range[0].start, end);
    err = move_ranges (r, end);
    range_unlock_exclusive (r->e->ranges, &hold);

    for (i = n = 0; i < p->n; i++)
      if (p->range[i].end > end) {
        p->range[n].start = max_u64 (p->range[i].start, end);
        p->range[n++].end = p->range[i].end;
      }
    p->n = n;
  }
  return err;
}

static int
move_later (struct request *r, uint64_t start, uint64_t end)
{
  struct placement *p = r->placement;
  int err = 0;

  if (p->n > 0 && p->range[p->n - 1].end == start) {
    p->range[p->n - 1].end = end;
    return 0;
  }
  if (p->n == MAX_RANGES) {
    err = move_now (r);
    if (err)
      return err;
  }
  p->range[p->n].start = start;
  p->range[p->n++].end = end;
  return 0;
}

/* A mixed block that is overwritten as a whole.  If the spare can't take
 * the DIRECT sectors, main may.
 */
static int
write_mixed (struct request *r, const uint8_t *buf, uint64_t block)
{
  struct engine *e = r->e;
  uint64_t pos, next, end = block_end (e, block);
  struct exclusive_hold hold;
  struct run run;
  int err = EIO, of_spare;

  lock_block (e, &hold, block);
  if (may_move (r))
    err = move_held (r, buf, block, end, WHY_AUTO_WRITE);
  of_spare = err;
  if (err && !late_overlaps (e, block, end)) {
    err = main_write (r, buf, block, end);
    if (err == ETIMEDOUT)
      late_add (e, block, end);
    for (pos = block; pos < end && err == 0; pos = next) {
      run = map_lookup (e->map, sector_of (pos), sectors_in (pos, end));
      next = min_u64 (run_end_byte (&run), end);
      if (run.state != DIRECT)
        err = move_held (r, ahead (buf, pos - block), pos, next, WHY_CLIENT);
    }
    /* What would help is room in the spare. */
    if (of_spare == ENOSPC && error_classify (err) == ERROR_MEDIA)
      err = ENOSPC;
  }
  unlock_block (e, &hold);
  return err;
}

/* Main failed to write these blocks with ERR: write them in pieces, of
 * which those that fail alone are left to r->placement.
 */
static int
write_pieces (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end, int err)
{
  struct engine *e = r->e;
  struct placement *p = r->placement;
  const uint32_t block = e->config.main_block;
  const bool refused = may_move_refused (e, err);
  uint64_t piece, n;
  bool spent;

  /* This write may still land, whenever it likes; so main can't be used
   * for these blocks any more, even if they can't be moved.
   */
  if (err == ETIMEDOUT)
    late_add (e, start, end);

  if (!refused && !may_go_on (r, err))
    return err;
  r->failing_pieces++;
  p->err = err;
  spent = ++p->failing_pieces > MAX_FAILING_PIECES;
  if ((spent && end - start <= max_u64 (GIVE_UP, block)) ||
      refused || err == ETIMEDOUT || end - start <= block)
    return move_later (r, start, end);

  piece = max_u64 (round_up (div_up (end - start, CUT), block), block);
  for (; start < end; start += n, buf = ahead (buf, n)) {
    spent = p->failing_pieces > MAX_FAILING_PIECES;
    if (spent && buf == NULL && end - start <= GIVE_UP_REST)
      return move_later (r, start, end);
    n = min_u64 (piece, end - start);
    err = write_blocks (r, buf, start, start + n);
    if (err)
      return err;
  }
  return 0;
}

int
write_failed (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end, int err)
{
  struct placement placement;

  if (r->placement)
    return write_pieces (r, buf, start, end, err);

  placement.buf = buf;
  placement.start = start;
  placement.failing_pieces = placement.n = 0;
  r->placement = &placement;
  err = write_pieces (r, buf, start, end, err);
  if (err == 0)
    err = move_now (r);
  r->placement = NULL;
  return err;
}

/* One call to main: whole blocks that the map said are DIRECT, as far as a
 * call goes and the lock is to be had: *DONE says how far.  LOOK_AGAIN if they
 * are not DIRECT any more.
 */
static inline int
write_direct (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end, uint64_t *done)
{
  struct engine *e = r->e;
  struct shared_hold hold;
  bool late;
  int err;

  end = min_u64 (end, start + main_piece (r, buf));
  end = range_lock_shared (e->ranges, &hold, start, end);
  end = *done = late_end (e, start, end, &late);
  if (!map_all_direct (e->map, sector_of (start), sectors_in (start, end)))
    err = LOOK_AGAIN;
  else if (late)
    err = MAIN_IS_LATE;
  else
    err = main_write (r, buf, start, end);
  range_unlock_shared (e->ranges, &hold);

  if (err == 0 || err == LOOK_AGAIN || err == NOT_FAST)
    return err;
  if (err == MAIN_IS_LATE)
    return may_move_late (r) ? move_blocks (r, buf, start, end) : EIO;
  return write_failed (r, buf, start, end, err);
}

/* Blocks that weren't main's when they were looked at.  Lives on the stack of
 * the outermost write_blocks.
 */
struct mapped_ranges {
  const uint8_t *buf;                   /* the data from byte START on */
  uint64_t start;
  struct mapped_range {
    uint64_t start, end;
    bool again;                         /* some of it is main's now */
  } *v;                                 /* ascending */
  size_t n, cap;
};

static bool
is_mapped (struct engine *e, uint64_t start, uint64_t end)
{
  uint64_t class_end;

  return classify (e, start, end, &class_end) == ALL_MAPPED &&
    class_end == end;
}

/* Moves these blocks now, unless some of them are main's: LOOK_AGAIN.  *DONE
 * says how far the lock was to be had.
 */
static int
write_mapped (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end, uint64_t *done)
{
  struct engine *e = r->e;
  struct exclusive_hold hold;
  int err = LOOK_AGAIN;

  end = min_u64 (start + mapped_piece (buf), end);
  end = *done = range_lock_exclusive (e->ranges, &hold, start, end);
  if (is_mapped (e, start, end))
    err = move_held (r, buf, start, end, WHY_CLIENT);
  range_unlock_exclusive (e->ranges, &hold);
  return err;
}

/* Leaves these blocks to move_mapped.  False: there is no memory. */
static bool
keep_mapped (struct mapped_ranges *m, uint64_t start, uint64_t end)
{
  struct mapped_range *v = array_room (m->v, m->n, &m->cap, sizeof *v, 32);

  if (v == NULL)
    return false;
  m->v = v;
  m->v[m->n++] = (struct mapped_range) { .start = start, .end = end };
  return true;
}

/* One call, or one commit, after the other. */
static int
write_in_order (struct request *r, const uint8_t *buf, uint64_t start,
                uint64_t end)
{
  uint64_t done, class_end;
  int err = 0;

  for (; start < end && err == 0; buf = ahead (buf, done - start),
       start = done) {
    switch (classify (r->e, start, end, &class_end)) {
    case ALL_DIRECT:
      err = write_direct (r, buf, start, class_end, &done);
      break;
    case ALL_MAPPED:
      done = class_end;
      /* What isn't all, or the last, may be part of something larger. */
      if (r->mapped == NULL || (r->mapped->n == 0 && class_end == end) ||
          !keep_mapped (r->mapped, start, class_end))
        err = write_mapped (r, buf, start, class_end, &done);
      break;
    case MIXED:
    default:
      done = class_end;
      err = write_mixed (r, buf, start);
      break;
    }
    /* Another request changed the state between the two looks. */
    if (err == LOOK_AGAIN) {
      done = start;
      err = 0;
    }
  }
  return err;
}

/* Ranges from I on, as many as begin before END, all of it held exclusively, in
 * one commit; those that have to be looked at again are left.  *NEXT is the
 * first one that isn't done to its end.
 */
static int
move_mapped_held (struct request *r, size_t i, uint64_t end, size_t *next)
{
  struct mapped_ranges *m = r->mapped;
  struct mapped_range *range;
  struct record rec;
  uint64_t to;

  record_init (&rec, r->e, r);
  for (; i < m->n && m->v[i].start < end; i++) {
    range = &m->v[i];
    to = min_u64 (range->end, end);
    range->again |= !is_mapped (r->e, range->start, to);
    if (!range->again && m->buf)
      store_sectors (&rec, m->buf + (range->start - m->start), range->start,
                     to, WHY_CLIENT);
    else if (!range->again)
      record_zero (&rec, range->start, to, WHY_CLIENT);
    if (to < range->end && !range->again)
      break;
  }
  *next = i;
  return record_commit (&rec);
}

/* Moves all that was kept.  Where the record of all finds no room those of a
 * few may.
 */
static int
move_mapped (struct request *r)
{
  struct mapped_ranges *m = r->mapped;
  struct exclusive_hold hold;
  uint64_t end;
  size_t i, next;
  int err = 0;

  for (i = 0; i < m->n && err == 0; i = next) {
    end = min_u64 (m->v[i].start + mapped_piece (m->buf), m->v[m->n-1].end);
    end = range_lock_exclusive (r->e->ranges, &hold, m->v[i].start, end);
    err = move_mapped_held (r, i, end, &next);
    range_unlock_exclusive (r->e->ranges, &hold);
    if (err == 0 && next < m->n)
      m->v[next].start = max_u64 (m->v[next].start, end);
    if (err == ENOSPC) {
      for (next = i; next < m->n; next++)
        m->v[next].again = true;
      err = 0;
    }
  }

  r->mapped = NULL;
  for (i = 0; i < m->n && err == 0; i++)
    if (m->v[i].again)
      err = write_in_order (r, ahead (m->buf, m->v[i].start - m->start),
                            m->v[i].start, m->v[i].end);
  return err;
}

/* All of it in one go.  What is kept meanwhile is little: it is freed before
 * the next one, and a request of gigabytes may touch millions of ranges.
 */
static int
write_stretch (struct request *r, const uint8_t *buf, uint64_t start,
               uint64_t end)
{
  struct mapped_ranges mapped = { .buf = buf, .start = start };
  int err;

  r->mapped = &mapped;
  err = write_in_order (r, buf, start, end);
  if (err == 0)
    err = move_mapped (r);
  r->mapped = NULL;
  free (mapped.v);
  return err;
}

int
write_blocks (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end)
{
  uint64_t next;
  int err = 0;

  if (r->mapped)
    return write_in_order (r, buf, start, end);

  for (; start < end && err == 0; buf = ahead (buf, next - start),
       start = next) {
    next = min_u64 (start + STRETCH, end);
    err = write_stretch (r, buf, start, next);
  }
  return err;
}
