/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Writes of whole main blocks, and placing data in the spare.
 *
 * DIRECT blocks are written to main under a shared lock.  When that fails,
 * the content of main is indeterminate; so the request is cut into pieces,
 * each is written again, failing ones are cut further, and a block that
 * fails alone is moved to the spare.  Each piece looks the map up anew
 * under a lock of its own: a block that takes long to fail holds up nobody
 * who writes elsewhere in the same request's range.
 *
 * Cutting by sixteen keeps the failing writes few: a lone bad block in
 * 1 MiB fails four times (1 MiB, 64 KiB, 4 KiB, 512 bytes).  The blocks that
 * failed alone are placed in the spare together, when the others have been
 * written: a commit takes two flushes, however many blocks it has.  After
 * MAX_FAILING_PIECES the rest of the piece at hand, and each later one that
 * fails, goes to the spare as it is (promise 3 of remap-promises(7)).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"

#define CUT 16

bool
is_unreadable (struct engine *e, slot_t slot, uint64_t count)
{
  bool r;

  if (!atomic_load (&e->have_unreadable))
    return false;
  pthread_mutex_lock (&e->unreadable_mutex);
  r = !map_all_direct (e->unreadable, slot, count);
  pthread_mutex_unlock (&e->unreadable_mutex);
  return r;
}

void
unreadable_remove (struct engine *e, slot_t slot, uint64_t count)
{
  struct run run = { .start = slot, .count = count, .state = DIRECT,
                     .slot = NO_SLOT };

  if (!atomic_load (&e->have_unreadable))
    return;

  pthread_mutex_lock (&e->unreadable_mutex);
  map_begin (e->unreadable);
  if (map_set (e->unreadable, &run) == 0)
    map_publish (e->unreadable);
  else
    map_abort (e->unreadable);
  pthread_mutex_unlock (&e->unreadable_mutex);
}

/* Whole sectors are stored; the short one at the end of main is padded
 * with zeroes.
 */
static int
store (struct request *r, struct change_list *list, const uint8_t *buf,
       uint64_t start, uint64_t end, enum change_reason why)
{
  struct engine *e = r->e;
  uint64_t whole = round_down (end - start, SECTOR_SIZE);
  uint8_t tail[SECTOR_SIZE] = { 0 };
  int err = 0;

  if (whole > 0)
    err = spare_store (e->spare, list, sector_of (start), buf,
                       whole / SECTOR_SIZE, why);
  if (err == 0 && start + whole < end) {
    memcpy (tail, buf + whole, end - start - whole);
    err = spare_store (e->spare, list, sector_of (start + whole), tail, 1,
                       why);
  }
  if (err) {
    stat_add (e, STAT_SPARE_ERRORS, 1);
    if (err == ENOSPC && !atomic_exchange (&e->spare_short, true))
      engine_log (e, LOG_WARNING, "the spare is full: writes that need a new "
                  "slot fail with ENOSPC until it is enlarged");
  }
  return err;
}

/* Sectors that have slots already.  A slot that can't be written, or that
 * couldn't be read, is retired, and its sector takes another.
 */
static int
overwrite_slots (struct request *r, struct change_list *list,
                 const uint8_t *buf, uint64_t start, uint64_t end,
                 slot_t slot)
{
  struct engine *e = r->e;
  uint32_t count = sectors_in (start, end);
  uint8_t tail[SECTOR_SIZE];
  uint64_t pos, n;
  int err;

  r->wrote_slots = true;
  if (!is_unreadable (e, slot, count) &&
      end - start == (uint64_t) count * SECTOR_SIZE &&
      spare_write (e->spare, buf, slot, count) == 0)
    return 0;

  for (pos = start; pos < end; pos += n, buf += n, slot++) {
    struct change c = { .kind = CHANGE_RETIRE, .slot = slot, .count = 1 };
    const uint8_t *data = buf;

    n = min_u64 (SECTOR_SIZE, end - pos);
    if (n < SECTOR_SIZE) {
      memset (tail, 0, sizeof tail);
      memcpy (tail, buf, n);
      data = tail;
    }
    if (!is_unreadable (e, slot, 1)) {
      err = spare_write (e->spare, data, slot, 1);
      if (err == 0)
        continue;
      stat_add (e, STAT_SPARE_ERRORS, 1);
      if (err == ENOSPC || spare_failed (e->spare))
        return err;
    }
    err = change_list_add (list, &c);
    if (err == 0)
      err = store (r, list, buf, pos, pos + n, WHY_CLIENT);
    if (err)
      return err;
  }
  return 0;
}

int
place_sectors (struct request *r, struct change_list *list,
               const uint8_t *buf, uint64_t start, uint64_t end,
               enum change_reason why, uint64_t *moved)
{
  struct engine *e = r->e;
  struct run run;
  uint64_t run_end;
  int err = 0;

  for (; start < end && err == 0; buf += run_end - start, start = run_end) {
    run = map_lookup (e->map, sector_of (start), sectors_in (start, end));
    run_end = min_u64 ((run.start + run.count) << SECTOR_SHIFT, end);
    run_end = min_u64 (run_end, start + PIECE_SIZE);
    if (run.state == REMAPPED)
      err = overwrite_slots (r, list, buf, start, run_end, run.slot);
    else {
      /* What wasn't DIRECT is there because of this request alone. */
      err = store (r, list, buf, start, run_end,
                   run.state == DIRECT || why == WHY_MANUAL ? why
                   : WHY_CLIENT);
      if (run.state == DIRECT)
        *moved += sectors_in (start, run_end);
    }
  }
  return err;
}

int
put_sectors (struct request *r, const uint8_t *buf,
             uint64_t start, uint64_t end, enum change_reason why)
{
  struct engine *e = r->e;
  uint64_t counters[NR_SPARE_COUNTERS] = { 0 };
  struct change_list list = { 0 };
  uint64_t moved = 0;
  int err;

  err = place_sectors (r, &list, buf, start, end, why, &moved);
  if (err) {
    spare_abandon (e->spare, &list);
    change_list_free (&list);
    return err;
  }
  counters[COUNT_AUTO_REMAPS] = moved;
  err = commit (e, &list, counters);
  if (err == 0 && moved > 0)
    engine_log (e, LOG_DEBUG, "bytes 0x%" PRIx64 "-0x%" PRIx64 ": %" PRIu64
                " sectors remapped (write)", start, end - 1, moved);
  return err;
}

/* Blocks go to the spare without being tried on main (again), whatever
 * their state is.
 */
static int
put_blocks (struct request *r, const uint8_t *buf, uint64_t start,
            uint64_t end)
{
  struct exclusive_hold hold;
  uint64_t got;
  int err = 0;

  for (; start < end && err == 0; buf += got - start, start = got) {
    got = range_lock_exclusive (r->e->ranges, &hold, start,
                                min_u64 (start + PIECE_SIZE, end));
    err = put_sectors (r, buf, start, got, WHY_AUTO_WRITE);
    range_unlock_exclusive (r->e->ranges, &hold);
  }
  return err;
}

/* Blocks of a write that failed and are to go to the spare.  Lives on the
 * stack of the outermost write_failed of a request.
 */
#define MAX_RANGES 32

struct placement {
  const uint8_t *buf;                   /* the data from byte START on */
  uint64_t start;
  unsigned n;
  struct { uint64_t start, end; } range[MAX_RANGES];    /* ascending */
};

/* Places as much of the ranges as lies before END, all of it held
 * exclusively, in one commit.
 */
static int
place_ranges (struct request *r, uint64_t end)
{
  struct engine *e = r->e;
  uint64_t counters[NR_SPARE_COUNTERS] = { 0 };
  struct placement *p = r->placement;
  struct change_list list = { 0 };
  uint64_t start, moved = 0;
  int err = 0;

  for (unsigned i = 0; i < p->n && p->range[i].start < end && !err; i++) {
    start = p->range[i].start;
    err = place_sectors (r, &list, p->buf + (start - p->start), start,
                         min_u64 (p->range[i].end, end), WHY_AUTO_WRITE,
                         &moved);
  }
  if (err) {
    spare_abandon (e->spare, &list);
    change_list_free (&list);
    return err;
  }
  counters[COUNT_AUTO_REMAPS] = moved;
  err = commit (e, &list, counters);
  if (err == 0 && moved > 0)
    engine_log (e, LOG_DEBUG, "bytes 0x%" PRIx64 "-0x%" PRIx64 ": %" PRIu64
                " sectors remapped (write)", p->range[0].start, end - 1,
                moved);
  return err;
}

/* Places all of the ranges, and forgets them. */
static int
place_now (struct request *r)
{
  struct placement *p = r->placement;
  struct exclusive_hold hold;
  unsigned i, n;
  uint64_t end;
  int err = 0;

  while (p->n > 0 && err == 0) {
    end = min_u64 (p->range[p->n - 1].end, p->range[0].start + PIECE_SIZE);
    end = range_lock_exclusive (r->e->ranges, &hold, p->range[0].start, end);
    err = place_ranges (r, end);
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
place_later (struct request *r, uint64_t start, uint64_t end)
{
  struct placement *p = r->placement;
  int err = 0;

  if (p->n > 0 && p->range[p->n - 1].end == start) {
    p->range[p->n - 1].end = end;
    return 0;
  }
  if (p->n == MAX_RANGES) {
    err = place_now (r);
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
  uint64_t pos, run_end, end = block_end (e, block);
  struct exclusive_hold hold;
  struct run run;
  int err = EIO;

  lock_block (e, &hold, block);
  if (may_move (r))
    err = put_sectors (r, buf, block, end, WHY_AUTO_WRITE);
  if (err && !late_overlaps (e, block, end)) {
    err = main_write (r, buf, block, end);
    if (err == ETIMEDOUT)
      late_add (e, block, end);
    for (pos = block; pos < end && err == 0; pos = run_end) {
      run = map_lookup (e->map, sector_of (pos), sectors_in (pos, end));
      run_end = min_u64 ((run.start + run.count) << SECTOR_SHIFT, end);
      if (run.state != DIRECT)
        err = put_sectors (r, buf + (pos - block), pos, run_end, WHY_CLIENT);
    }
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
  const uint32_t block = e->config.main_block;
  uint64_t piece, n;

  /* This write may still land, whenever it likes; so main can't be used
   * for these blocks any more, even if they can't be moved.
   */
  if (err == ETIMEDOUT)
    late_add (e, start, end);

  if (!may_act_on (r, err))
    return err;
  if (++r->failing_pieces > MAX_FAILING_PIECES || err == ETIMEDOUT ||
      end - start <= block)
    return place_later (r, start, end);

  piece = max_u64 (round_up ((end - start + CUT - 1) / CUT, block), block);
  for (; start < end; start += n, buf += n) {
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
  placement.n = 0;
  r->placement = &placement;
  err = write_pieces (r, buf, start, end, err);
  if (err == 0)
    err = place_now (r);
  r->placement = NULL;
  return err;
}

/* Whole blocks that the map said are DIRECT, as far as the lock is to be
 * had: *DONE says how far.  LOOK_AGAIN if they are not DIRECT any more.
 */
static inline int
write_direct (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end, uint64_t *done)
{
  struct engine *e = r->e;
  struct shared_hold hold;
  int err;

  end = *done = range_lock_shared (e->ranges, &hold, start, end);
  if (!map_all_direct (e->map, sector_of (start), sectors_in (start, end)))
    err = LOOK_AGAIN;
  else if (late_overlaps (e, start, end))
    err = MAIN_IS_LATE;
  else
    err = main_write (r, buf, start, end);
  range_unlock_shared (e->ranges, &hold);

  if (err == 0 || err == LOOK_AGAIN)
    return err;
  if (err == MAIN_IS_LATE)
    return may_move_late (r) ? put_blocks (r, buf, start, end) : EIO;
  return write_failed (r, buf, start, end, err);
}

int
write_blocks (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end)
{
  struct engine *e = r->e;
  struct exclusive_hold hold;
  uint64_t done, class_end;
  int err = 0;

  for (; start < end && err == 0; buf += done - start, start = done) {
    switch (classify (e, start, end, &class_end)) {
    case ALL_DIRECT:
      err = write_direct (r, buf, start, class_end, &done);
      break;
    case ALL_MAPPED:
      done = range_lock_exclusive (e->ranges, &hold, start,
                                   min_u64 (start + PIECE_SIZE, class_end));
      if (classify (e, start, done, &class_end) == ALL_MAPPED &&
          class_end == done)
        err = put_sectors (r, buf, start, done, WHY_CLIENT);
      else
        err = LOOK_AGAIN;
      range_unlock_exclusive (e->ranges, &hold);
      break;
    case MIXED:
    default:
      done = class_end;
      err = write_mixed (r, buf, start);
      break;
    }
    /* Somebody changed the state between the two looks. */
    if (err == LOOK_AGAIN) {
      done = start;
      err = 0;
    }
  }
  return err;
}
