/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/copy.h"
#include "engine/errors.h"
#include "engine/events.h"
#include "engine/lost.h"
#include "engine/marks.h"
#include "engine/merge.h"
#include "engine/read.h"
#include "engine/record.h"
#include "engine/rescue-write.h"
#include "engine/states.h"
#include "engine/stats.h"
#include "engine/touched.h"
#include "map/pending.h"

/* Runs of the log that one change takes: itself, and what it cuts off. */
#define RUNS 2

/* Calls of the copy that fail in one piece of a request, after which the rest
 * of the piece goes to slots without proof.
 */
#define MAX_FAILING_BLOCKS 64

/* Sectors that are about to become something else: parts of them, each in one
 * page of pending states.
 */
#define MAX_PARTS 24

struct parts {
  unsigned n;
  struct { sector_t start; uint64_t count; bool kept; } v[MAX_PARTS];
};

/* The data N bytes further on. */
static inline const uint8_t *
ahead (const uint8_t *buf, uint64_t n)
{
  return buf ? buf + n : NULL;
}

/* Adds the sectors of a run.  False: there is no room for all of them; then
 * *END is where it ends.
 */
static bool
add_parts (struct parts *p, const struct run *run, uint64_t *end)
{
  sector_t at = run->start, next;

  for (; at < run_end_sector (run); at = next) {
    next = min_u64 (pending_page_end (at), run_end_sector (run));
    if (p->n == MAX_PARTS) {
      *end = at << SECTOR_SHIFT;
      return false;
    }
    p->v[p->n].start = at;
    p->v[p->n].count = next - at;
    p->v[p->n++].kept = run->state == KEPT;
  }
  return true;
}

/* Leaves out what isn't before sector END. */
static void
cut_parts (struct parts *p, sector_t end)
{
  while (p->n > 0 && p->v[p->n - 1].start >= end)
    p->n--;
  if (p->n > 0)
    p->v[p->n - 1].count = min_u64 (p->v[p->n - 1].count,
                                    end - p->v[p->n - 1].start);
}

/* Makes sure that nothing can fail once the content is in the copy. */
static int
prepare (struct engine *e, const struct parts *p)
{
  struct pending *pending = rescue_of (e)->pending;
  unsigned i;
  int err = 0;

  /* It couldn't be recorded (promise 16). */
  if (p->n > 0 && spare_failed (e->spare))
    return EIO;
  for (i = 0; i < p->n && err == 0; i++)
    if (p->v[i].kept)
      err = touched_mark (e, p->v[i].start, p->v[i].count);
  if (err == 0)
    err = spare_reserve (e->spare, RUNS * p->n);
  if (err)
    return err;
  for (i = 0; i < p->n && err == 0; i++)
    err = pending_pin (pending, p->v[i].start, p->v[i].count);
  if (err == 0)
    return 0;
  while (--i > 0)
    pending_unpin (pending, p->v[i - 1].start, p->v[i - 1].count);
  spare_unreserve (e->spare, RUNS * p->n);
  return err;
}

/* They are in this state from now on; DIRECT: nothing has become of it. */
static void
finish (struct engine *e, const struct parts *p, enum sector_state state)
{
  struct pending *pending = rescue_of (e)->pending;

  for (unsigned i = 0; i < p->n; i++) {
    if (state == DIRECT ||
        !pending_set (pending, p->v[i].start, p->v[i].count, state, RUNS))
      spare_unreserve (e->spare, RUNS);
    pending_unpin (pending, p->v[i].start, p->v[i].count);
  }
}

/* The copy has refused to write.  What it holds now of what was KEPT may be the
 * old or the new: that isn't what main holds.
 */
static void
finish_refused (struct engine *e, const struct parts *p)
{
  struct parts kept = { 0 }, others = { 0 };

  for (unsigned i = 0; i < p->n; i++)
    if (p->v[i].kept)
      kept.v[kept.n++] = p->v[i];
    else
      others.v[others.n++] = p->v[i];
  finish (e, &kept, WRITTEN);
  finish (e, &others, DIRECT);
}

/* How far from START on nothing has a slot, and what of that will change.  The
 * caller holds the range.
 */
static uint64_t
look (struct engine *e, uint64_t start, uint64_t end, struct parts *p)
{
  uint64_t pos, next;
  struct run run;

  p->n = 0;
  for (pos = start; pos < end; pos = next) {
    run = state_lookup (e, sector_of (pos), sectors_in (pos, end));
    next = min_u64 (run_end_byte (&run), end);
    if (run.state == REMAPPED)
      return pos;
    if (run.state != WRITTEN && !add_parts (p, &run, &next))
      return next;
  }
  return pos;
}

/* The copy has failed to write with ERR.  Is that about a place, so that the
 * sectors are to go to slots?  If not, *ERR is what the client gets.
 */
static bool
is_about_a_place (struct request *r, int *err, uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  struct copy *copy = &rescue_of (e)->copy;

  stat_add (e, STAT_COPY_ERRORS, 1);
  if (copy_has_failed (copy))
    return false;
  if (error_for_nbd (*err) == ENOSPC) {
    if (!atomic_exchange (&copy->full, true))
      events_tell (e->config.events, EVENT_COPY_FULL, "there is no room for "
                   "the copy: nothing more is kept until there is some, and "
                   "writes that need it fail with ENOSPC");
    *err = ENOSPC;
    return false;
  }
  switch (error_classify (*err)) {
  case ERROR_GONE:
    copy_fail (copy);
    events_tell (e->config.events, EVENT_COPY_FAILED, "the copy is gone (%s): "
                 "what clients wrote to it since the last flush is lost, and "
                 "nothing more can be written, until the server has been "
                 "restarted", strerror (*err));
    return false;
  case ERROR_OTHER:
    return false;
  case ERROR_MEDIA:
    break;
  }
  if (*err == ETIMEDOUT)
    copy_write_is_late (e, copy, start, end);
  return true;
}

/* Sectors go to slots, whatever they were; they are held exclusively. */
static int
move (struct request *r, const uint8_t *buf, uint64_t start, uint64_t end,
      enum change_reason why)
{
  return buf ? move_sectors (r, buf, start, end, why)
    : zero_sectors (r, start, end, why);
}

/* Sectors that are held exclusively, in whole blocks of the copy: to the copy,
 * and those blocks that it refuses by themselves to slots.
 */
static int
write_held (struct request *r, const uint8_t *buf, uint64_t start,
             uint64_t end, unsigned *failed)
{
  struct engine *e = r->e;
  struct copy *copy = &rescue_of (e)->copy;
  uint64_t next, single_until = 0;
  struct parts p;
  int err = 0;

  for (; start < end && err == 0; buf = ahead (buf, next - start),
       start = next) {
    next = start < single_until ? merge_block_end (e, start) : end;
    next = look (e, start, min_u64 (next, end), &p);
    if (next == start) {
      next = min_u64 (start + SECTOR_SIZE, end);
      err = move (r, buf, start, next, WHY_CLIENT);
      continue;
    }
    if (*failed >= MAX_FAILING_BLOCKS ||
        marks_overlap (&copy->late, sector_of (start),
                       sectors_in (start, next))) {
      err = move (r, buf, start, next, WHY_AUTO_WRITE);
      continue;
    }
    err = prepare (e, &p);
    if (err)
      break;
    err = merge_write (r, buf, start, next);
    if (err == 0) {
      finish (e, &p, WRITTEN);
      atomic_store (&copy->full, false);
      continue;
    }
    finish_refused (e, &p);
    if (!is_about_a_place (r, &err, start, next))
      break;
    r->failing_pieces++;
    if (next > merge_block_end (e, start) && err != ETIMEDOUT) {
      single_until = next;
      next = start;
      err = 0;
      continue;
    }
    ++*failed;
    err = move (r, buf, start, next, WHY_AUTO_WRITE);
  }
  return err;
}

/* Whole sectors, in blocks, each by itself, under exclusive locks. */
static int
write_singly (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end)
{
  struct engine *e = r->e;
  const uint64_t limit = merge_block_end (e, end - 1);
  struct exclusive_hold hold;
  uint64_t got, next;
  unsigned failed = 0;
  int err = 0;

  while (start < end && err == 0) {
    got = range_lock_exclusive (e->ranges, &hold, merge_block_of (e, start),
                                min_u64 (limit, merge_block_of (e, start) +
                                         PIECE_SIZE));
    got = min_u64 (got == limit ? got : merge_block_of (e, got), end);
    for (; start < got && err == 0; buf = ahead (buf, next - start),
         start = next) {
      /* Those that go to slots anyway do it together. */
      next = failed < MAX_FAILING_BLOCKS
        ? min_u64 (merge_block_end (e, start), got) : got;
      err = write_held (r, buf, start, next, &failed);
    }
    range_unlock_exclusive (e->ranges, &hold);
  }
  return err;
}

/* Whole blocks of the copy, as far as they are alike and the lock is to be had:
 * *DONE says how far.  LOOK_AGAIN: not so; one by one.
 */
static int
write_shared (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end, uint64_t *done)
{
  struct engine *e = r->e;
  struct copy *copy = &rescue_of (e)->copy;
  struct shared_hold hold;
  struct parts p;
  int err = LOOK_AGAIN;

  end = min_u64 (end, start + MAIN_PIECE);
  end = range_lock_shared (e->ranges, &hold, start, end);
  end = look (e, start, end, &p);
  if (end < e->config.main_size)
    end = copy_block_of (copy, end);
  *done = end;
  if (end > start && !marks_overlap (&copy->late, sector_of (start),
                                     sectors_in (start, end))) {
    cut_parts (&p, sector_of (start) + sectors_in (start, end));
    err = prepare (e, &p);
    if (err == 0) {
      err = copy_write (copy, buf, start, end);
      if (err == 0)
        finish (e, &p, WRITTEN);
      else {
        finish_refused (e, &p);
        if (is_about_a_place (r, &err, start, end))
          err = LOOK_AGAIN;
      }
    }
  }
  range_unlock_shared (e->ranges, &hold);
  return err;
}

/* Whole sectors. */
static int
write_sectors (struct request *r, const uint8_t *buf, uint64_t start,
               uint64_t end)
{
  struct engine *e = r->e;
  uint64_t done, last;
  int err = 0;

  while (start < end && err == 0) {
    last = end == e->config.main_size ? end : merge_block_of (e, end);
    done = start;
    if (start == merge_block_of (e, start) && start < last) {
      err = write_shared (r, buf, start, last, &done);
      if (err == LOOK_AGAIN && done == start)
        done = merge_block_end (e, start);
    }
    else {
      err = LOOK_AGAIN;
      done = min_u64 (merge_block_end (e, start), end);
    }
    if (err == LOOK_AGAIN)
      err = write_singly (r, buf, start, done);
    buf += done - start;
    start = done;
  }
  return err;
}

/* Reads the sector at POS, held exclusively, whatever it is.  UNREADABLE: main
 * lives, and can't read it.
 */
#define UNREADABLE (-100)

static int
read_sector_locked (struct request *r, uint8_t *buf, uint64_t pos,
                    uint64_t next)
{
  struct engine *e = r->e;
  const uint64_t block = block_of (e, pos);
  const struct run run = state_lookup (e, sector_of (pos), 1);
  bool weak = false;
  uint8_t *bounce;
  int err;

  if (run.state == LOST) {
    stat_add (e, STAT_LOST_REFUSED, 1);
    return EIO;
  }
  if (run.state == REMAPPED) {
    uint8_t sector[SECTOR_SIZE];

    err = slots_read (e, sector, run.slot, 1);
    memcpy (buf, sector, next - pos);
    return err;
  }
  if (run.state != DIRECT)
    return read_range (r, buf, pos, next);

  if (posix_memalign ((void **) &bounce, 4096, e->config.main_block) != 0)
    return ENOMEM;
  err = read_block_locked (r, bounce, block, 1 + e->config.retries, &weak);
  if (err == 0)
    memcpy (buf, bounce + (pos - block), next - pos);
  else if (may_act_on (r, err))
    err = UNREADABLE;
  free (bounce);
  return err;
}

/* Main can't read the block that holds the byte at POS: what is DIRECT of it is
 * LOST.  Nobody writes to main, so that is still so under the lock.
 */
static int
lose_block (struct request *r, uint64_t pos)
{
  struct engine *e = r->e;
  const uint64_t block = block_of (e, pos);
  struct exclusive_hold hold;

  lock_block (e, &hold, block);
  move_direct (r, block, block_end (e, block), NULL, WHY_AUTO_READ);
  unlock_block (e, &hold);
  return EIO;
}

/* Bytes within one sector, but not all of it. */
static int
write_part (struct request *r, const uint8_t *buf, uint64_t start,
            uint64_t end)
{
  struct engine *e = r->e;
  const uint64_t pos = round_down (start, SECTOR_SIZE);
  const uint64_t next = min_u64 (pos + SECTOR_SIZE, e->config.main_size);
  uint8_t sector[SECTOR_SIZE] = { 0 };
  struct exclusive_hold hold;
  unsigned failed = 0;
  int err;

  range_lock_exclusive (e->ranges, &hold, merge_block_of (e, pos),
                        merge_block_end (e, pos));
  err = read_sector_locked (r, sector, pos, next);
  if (err == 0) {
    if (buf)
      memcpy (sector + (start - pos), buf, end - start);
    else
      memset (sector + (start - pos), 0, end - start);
    err = write_held (r, sector, pos, next, &failed);
  }
  range_unlock_exclusive (e->ranges, &hold);
  return err == UNREADABLE ? lose_block (r, pos) : err;
}

/* The edges of a request that are parts of sectors; *START and *END become
 * those of the whole ones.  A part of a LOST sector fails before anything is
 * written (promise 6).
 */
static int
write_parts (struct request *r, const uint8_t *buf, uint64_t *start,
             uint64_t *end)
{
  struct engine *e = r->e;
  const uint64_t size = e->config.main_size, from = *start, to = *end;
  const uint64_t first = min_u64 (round_up (from, SECTOR_SIZE), size);
  const uint64_t last = to == size ? to : round_down (to, SECTOR_SIZE);
  uint8_t sector[SECTOR_SIZE];
  int err = 0;

  if (last < first) {
    *start = *end = to;
    return write_part (r, buf, from, to);
  }
  if (from < first && last < to)
    err = read_range (r, sector, last, min_u64 (last + SECTOR_SIZE, size));
  if (err == 0 && from < first)
    err = write_part (r, buf, from, first);
  if (err == 0 && last < to)
    err = write_part (r, ahead (buf, last - from), last, to);
  *start = first;
  *end = last;
  return err;
}

int
rescue_write (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end)
{
  const uint64_t from = start;
  int err = write_parts (r, buf, &start, &end);

  return err ? err : write_sectors (r, buf + (start - from), start, end);
}

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
    p.n = 1;
    p.v[0].start = part.start;
    p.v[0].count = part.count;
    p.v[0].kept = false;
    err = prepare (e, &p);
    if (err == 0)
      finish (e, &p, ZERO);
  }
  return err;
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
      err = write_held (r, NULL, start, next, &failed);
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
  int err = write_parts (r, NULL, &start, &end);

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

int
rescue_write_recorded (struct engine *e, const void *buf, uint64_t start,
                       uint64_t end)
{
  struct copy *copy = &rescue_of (e)->copy;
  const uint64_t count = sectors_in (start, end);
  struct shared_entry *held;
  struct run run;
  int err = LOOK_AGAIN;

  if (((start | end) & (copy->block - 1)) != 0 || end - start > MAIN_PIECE ||
      start == end || atomic_load (&copy->late.any) ||
      copy_has_failed (copy) ||
      !range_try_shared (e->ranges, &held, start, end))
    return LOOK_AGAIN;
  run = map_lookup (e->map, sector_of (start), count);
  if (run.state == WRITTEN && run.count == count) {
    err = device_pwrite (&copy->dev, buf, end - start, start) ? LOOK_AGAIN : 0;
    if (!atomic_load (&copy->dirty))
      atomic_store (&copy->dirty, true);
  }
  range_leave_shared (e->ranges, held, start, end);
  return err;
}
