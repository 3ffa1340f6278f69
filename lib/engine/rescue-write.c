/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/copy.h"
#include "engine/lost.h"
#include "engine/marks.h"
#include "engine/merge.h"
#include "engine/parts.h"
#include "engine/read-copy.h"
#include "engine/read.h"
#include "engine/record.h"
#include "engine/refused.h"
#include "engine/rescue-write.h"
#include "engine/states.h"
#include "engine/stats.h"

/* Calls of the copy that fail in one piece of a request, after which the rest
 * of the piece goes to slots without proof.
 */
#define MAX_FAILING_BLOCKS 64

/* The data N bytes further on. */
static inline const uint8_t *
ahead (const uint8_t *buf, uint64_t n)
{
  return buf ? buf + n : NULL;
}

/* Sectors go to slots, whatever they were; they are held exclusively. */
static int
move (struct request *r, const uint8_t *buf, uint64_t start, uint64_t end,
      enum change_reason why)
{
  return buf ? move_sectors (r, buf, start, end, why)
    : zero_sectors (r, start, end, why);
}

int
rescue_write_held (struct request *r, const uint8_t *buf, uint64_t start,
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
    next = parts_look (e, start, min_u64 (next, end), &p);
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
    err = parts_prepare (e, &p);
    if (err)
      break;
    err = merge_write (r, buf, start, next);
    if (err == 0) {
      parts_finish (e, &p, WRITTEN);
      copy_has_room (copy);
      continue;
    }
    parts_refused (e, &p);
    if (!refused_a_place (r, &err, start, next))
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
      err = rescue_write_held (r, buf, start, next, &failed);
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
  end = parts_look (e, start, end, &p);
  if (end < e->config.main_size)
    end = copy_block_of (copy, end);
  *done = end;
  if (end > start && !marks_overlap (&copy->late, sector_of (start),
                                     sectors_in (start, end))) {
    parts_cut (&p, sector_of (start) + sectors_in (start, end));
    err = parts_prepare (e, &p);
    if (err == 0) {
      err = copy_write (copy, buf, start, end);
      if (err == 0) {
        parts_finish (e, &p, WRITTEN);
        copy_has_room (copy);
      }
      else {
        parts_refused (e, &p);
        if (refused_a_place (r, &err, start, end))
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
  uint64_t done;
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
  if (run.state == ZERO) {
    memset (buf, 0, next - pos);
    return 0;
  }
  if (run.state != DIRECT) {
    /* What is held changes its state only if the copy fails meanwhile. */
    err = copy_read_sectors (r, buf, pos, next, run.state, &done);
    return err ? err : done < next ? EIO : 0;
  }

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
    err = rescue_write_held (r, sector, pos, next, &failed);
  }
  range_unlock_exclusive (e->ranges, &hold);
  return err == UNREADABLE ? lose_block (r, pos) : err;
}

int
rescue_write_parts (struct request *r, const uint8_t *buf, uint64_t *start,
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
  int err = rescue_write_parts (r, buf, &start, &end);

  return err ? err : write_sectors (r, buf + (start - from), start, end);
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
