/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reads, and the isolation of what fails.
 *
 * A read that touches nothing but DIRECT sectors goes to main as it is and
 * takes no lock (promise 24 of remap-promises(7)).  Everything else is served
 * run by run (promise 2): what is LOST is an error and never made up (promise
 * 1), and zeroes only where those were asked for (promise 7).
 *
 * When main fails a read, the bad blocks have to be found, and a dying disk
 * pays for each try: seconds for one that fails, and nearly nothing for one
 * that succeeds where the last one ended.  A search by halves would fail at
 * each halving.  So the blocks are read one by one: a bad block costs one
 * failing read alone and one for each retry, and the request that led there
 * one more.  Only a piece larger than CHUNK is read in chunks of that size
 * first, each of which may fail once.  The search ends at the first block
 * that is LOST, since the request fails anyway (promises 4 and 5).
 *
 * Blocks that are read alone are held exclusively: what was read must
 * still be true when it is written to the spare, and a block that a client
 * has just written must not become LOST.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/errors.h"
#include "engine/events.h"
#include "engine/keep.h"
#include "engine/lost.h"
#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine/read.h"
#include "engine/read-copy.h"
#include "engine/record.h"
#include "engine/states.h"
#include "engine/stats.h"

/* Bytes in which blocks are read one by one: 2048 small reads take a drive
 * less than one that fails.
 */
#define CHUNK (UINT32_C (1) << 20)

int
slots_read (struct engine *e, void *buf, slot_t slot, uint32_t count)
{
  uint8_t *p = buf;
  int err, r = 0;

  err = spare_read (e->spare, buf, slot, count);
  if (err == 0)
    return 0;
  stat_add (e, STAT_SPARE_ERRORS, 1);
  for (uint32_t i = 0; i < count; i++)
    if (count == 1 ||
        spare_read (e->spare, p + (size_t) i * SECTOR_SIZE, slot + i, 1)) {
      marks_add (&e->unreadable, slot + i, 1);
      events_tell_sectors (e->config.events, EVENT_SPARE_UNREADABLE,
                           WHY_UNKNOWN, slot + i, 1);
      r = EIO;
    }
  return r;
}

/* Bytes of slots, from OFFSET within SLOT on. */
static int
slot_bytes_read (struct engine *e, uint8_t *buf, slot_t slot,
                 uint32_t offset, uint32_t len)
{
  uint32_t n;
  int err;

  while (len > 0) {
    if (offset == 0 && len >= SECTOR_SIZE) {
      n = min_u64 (len, PIECE_SIZE) & ~(SECTOR_SIZE - 1);
      err = slots_read (e, buf, slot, n / SECTOR_SIZE);
    }
    else {
      uint8_t sector[SECTOR_SIZE];

      n = min_u64 (len, SECTOR_SIZE - offset);
      err = slots_read (e, sector, slot, 1);
      memcpy (buf, sector + offset, n);
    }
    if (err)
      return err;
    buf += n;
    len -= n;
    slot += (offset + n) / SECTOR_SIZE;
    offset = 0;
  }
  return 0;
}

/* Slots are read under a shared lock of their sectors; so nobody can free
 * or overwrite them meanwhile.  Reads at most to the end of the first run,
 * as far as the lock is to be had, and says how far in *DONE.
 */
static int
read_remapped (struct request *r, uint8_t *buf, uint64_t start, uint64_t end,
               uint64_t *done)
{
  struct engine *e = r->e;
  struct shared_hold hold;
  struct run run;
  int err = 0;

  end = min_u64 (end, round_down (start, SECTOR_SIZE) + PIECE_SIZE);
  end = range_lock_looking (e->ranges, &hold,
                            round_down (start, SECTOR_SIZE), end);
  run = map_lookup (e->map, sector_of (start), sectors_in (start, end));
  *done = start;
  if (run.state == REMAPPED) {
    end = min_u64 (end, run_end_byte (&run));
    err = slot_bytes_read (e, buf, run.slot, start & (SECTOR_SIZE - 1),
                           end - start);
    *done = end;
  }
  range_unlock_shared (e->ranges, &hold);
  return err ? EIO : 0;
}

int
read_block_locked (struct request *r, void *buf, uint64_t block,
                   unsigned tries, bool *weak)
{
  uint64_t end = block_end (r->e, block);
  int err = EIO;

  for (unsigned i = 0; i < tries; i++) {
    if (i > 0 || *weak)
      stat_add (r->e, STAT_RETRIES, 1);
    err = main_read (r, buf, block, end);
    if (err == 0) {
      if (i > 0 || *weak)
        stat_add (r->e, STAT_RETRIES_SAVED, 1);
      return 0;
    }
    if (error_classify (err) != ERROR_MEDIA)
      return err;
    *weak = true;
  }
  return err;
}

int
complete_block_locked (struct request *r, uint64_t block)
{
  struct engine *e = r->e;
  uint64_t end = block_end (e, block);
  bool weak = false;
  void *buf;
  int err;

  if (posix_memalign (&buf, 4096, e->config.main_block) != 0)
    return ENOMEM;
  err = read_block_locked (r, buf, block, 1 + e->config.retries, &weak);
  if (err == 0)
    err = move_direct (r, block, end, buf, WHY_AUTO_READ);
  else if (may_act_on (r, err))
    err = move_direct (r, block, end, NULL, WHY_AUTO_READ);
  free (buf);
  return err;
}

/* A block that was found while main was searched for bad ones.  With a copy it
 * goes there, as all that is read does; a WEAK one to the spare, if not.
 */
static void
save_block (struct request *r, const void *buf, uint64_t block, uint64_t end,
            bool weak)
{
  struct engine *e = r->e;
  int err;

  if (rescue_of (e) && keep_content (e, buf, block, end, false))
    return;
  if (!weak)
    return;
  err = move_direct (r, block, end, buf, WHY_WEAK);
  if (err)
    events_tell (e->config.events, EVENT_WEAK, "block at 0x%" PRIx64 " is "
                 "weak, but the spare can't take it (%s): it stays on main",
                 block, strerror (err));
}

/* One block that failed, or is in a chunk that failed.  ALONE_FAILED: it
 * was read alone already, and failed.
 */
static int
isolate_block (struct request *r, void *buf, uint64_t block,
               bool alone_failed)
{
  struct engine *e = r->e;
  uint64_t end = block_end (e, block);
  struct exclusive_hold hold;
  unsigned tries = e->config.retries;
  bool weak = alone_failed;
  int err, err2;

  lock_block (e, &hold, block);
  if (!all_direct (e, sector_of (block), sectors_in (block, end))) {
    unlock_block (e, &hold);
    return read_range (r, buf, block, end);
  }

  /* The last word is spoken under the lock, unless nobody can have written
   * the block since it was read without.
   */
  if (!alone_failed)
    tries++;
  else if (tries == 0 && atomic_load (&e->main_written))
    tries = 1;
  err = read_block_locked (r, buf, block, tries, &weak);
  if (err == 0)
    save_block (r, buf, block, end, weak);
  else if (err && may_act_on (r, err)) {
    err2 = move_direct (r, block, end, NULL, WHY_AUTO_READ);
    if (err2 == 0 && e->config.lost_zero)
      err = 0;
  }
  unlock_block (e, &hold);

  if (err == 0 && !all_direct (e, sector_of (block), 1) &&
      e->config.lost_zero)
    return read_range (r, buf, block, end);
  return err;
}

void
settle_bad_canaries (struct request *r)
{
  struct engine *e = r->e;
  void *buf;

  if (!atomic_load (&e->auto_remap) ||
      posix_memalign (&buf, 4096, e->config.main_block) != 0)
    return;
  /* Those that are found meanwhile are remembered only, or there would be no
   * end of it.
   */
  for (unsigned i = 0, n = r->nr_bad_canaries; i < n; i++)
    isolate_block (r, buf, r->bad_canary[i], true);
  free (buf);
}

int
isolate (struct request *r, uint8_t *buf, uint64_t start, uint64_t end,
         bool alone_failed)
{
  struct engine *e = r->e;
  const uint32_t block = e->config.main_block;
  const bool is_large = end - start > CHUNK;
  uint64_t pos, chunk_end;
  int err;

  if (end - start <= block)
    return isolate_block (r, buf, start, alone_failed);

  for (; start < end; buf += chunk_end - start, start = chunk_end) {
    chunk_end = min_u64 (start + max_u64 (CHUNK, block), end);
    if (!all_direct (e, sector_of (start), sectors_in (start, chunk_end))) {
      err = read_range (r, buf, start, chunk_end);
      if (err)
        return err;
      continue;
    }
    if (is_large) {
      err = main_read (r, buf, start, chunk_end);
      if (err == 0) {
        if (rescue_of (e))
          keep_content (e, buf, start, chunk_end, false);
        continue;
      }
      if (!may_go_on (r, err))
        return err;
    }
    for (pos = start; pos < chunk_end; pos += block) {
      err = isolate_block (r, buf + (pos - start), pos,
                           is_large && chunk_end - start <= block);
      if (err)
        return err;
    }
  }
  return 0;
}

/* Main failed with ERR to read whole blocks that the map says are DIRECT. */
static int
read_failed (struct request *r, uint8_t *buf, uint64_t start, uint64_t end,
             int err)
{
  if (!may_go_on (r, err))
    return err;
  return isolate (r, buf, start, end, end - start <= r->e->config.main_block);
}

/* Reads whole blocks, from START on; *DONE, END at most, says how far. */
static int
read_direct (struct request *r, uint8_t *buf, uint64_t start, uint64_t end,
             uint64_t *done)
{
  int err;

  *done = end;
  if (rescue_of (r->e))
    err = keep_read (r, buf, start, end, done);
  else
    err = main_read (r, buf, start, end);
  if (err == LOOK_AGAIN) {
    *done = start;
    return 0;
  }
  return err ? read_failed (r, buf, start, *done, err) : 0;
}

/* With a copy.  Main failed to read the block of which the bytes from START to
 * END are wanted; others of it may be in any state.
 */
static int
isolate_part (struct request *r, uint8_t *bounce, uint64_t block,
              uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  const uint64_t bend = block_end (e, block);
  struct exclusive_hold hold;
  bool weak = true;
  int err;

  lock_block (e, &hold, block);
  if (!all_direct (e, sector_of (start), sectors_in (start, end))) {
    unlock_block (e, &hold);
    return LOOK_AGAIN;
  }
  err = read_block_locked (r, bounce, block, e->config.retries, &weak);
  if (err == 0)
    save_block (r, bounce, block, bend, weak);
  else if (may_act_on (r, err) &&
           move_direct (r, block, bend, NULL, WHY_AUTO_READ) == 0 &&
           e->config.lost_zero)
    err = LOOK_AGAIN;
  unlock_block (e, &hold);
  return err;
}

/* The same as read_part, with a copy: no block is completed, and what is read
 * for a part of it is kept.
 */
static int
read_part_with_copy (struct request *r, uint8_t *buf, uint64_t start,
                     uint64_t end)
{
  struct engine *e = r->e;
  const uint64_t block = block_of (e, start);
  uint8_t *bounce;
  int err;

  if (posix_memalign ((void **) &bounce, 4096, e->config.main_block) != 0)
    return ENOMEM;
  err = keep_read_block (r, bounce, block, start, end);
  if (err > 0 && may_go_on (r, err))
    err = isolate_part (r, bounce, block, start, end);
  if (err == 0)
    memcpy (buf, bounce + (start - block), end - start);
  free (bounce);
  return err == LOOK_AGAIN ? read_range (r, buf, start, end) : err;
}

/* DIRECT bytes from START to END within one main block, of which they are
 * not all, or which is mixed.
 */
static int
read_part (struct request *r, uint8_t *buf, uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  uint64_t block = block_of (e, start), bend = block_end (e, start);
  struct exclusive_hold hold;
  uint64_t class_end, done;
  uint8_t *bounce;
  bool weak = false;
  int err = 0;

  if (rescue_of (e))
    return read_part_with_copy (r, buf, start, end);
  if (classify (e, block, bend, &class_end) == MIXED &&
      atomic_load (&e->auto_remap)) {
    lock_block (e, &hold, block);
    if (classify (e, block, bend, &class_end) == MIXED)
      err = complete_block_locked (r, block);
    unlock_block (e, &hold);
    if (err == 0)
      return read_range (r, buf, start, end);
    /* The spare can't take it: as long as main reads, so do we. */
  }

  if (posix_memalign ((void **) &bounce, 4096, e->config.main_block) != 0)
    return ENOMEM;
  if (map_all_direct (e->map, sector_of (block), sectors_in (block, bend)))
    err = read_direct (r, bounce, block, bend, &done);
  else
    err = read_block_locked (r, bounce, block, 1, &weak);
  if (err == 0)
    memcpy (buf, bounce + (start - block), end - start);
  free (bounce);
  return err;
}

/* Does a LOST sector lie in these bytes? */
static bool
covers_lost (struct engine *e, uint64_t start, uint64_t end)
{
  sector_t sector = sector_of (start);
  sector_t last = sector_of (end - 1);
  struct run run;

  if (rescue_of (e)) {
    for (; sector <= last; sector = run_end_sector (&run)) {
      run = state_lookup (e, sector, last + 1 - sector);
      if (run.state == LOST)
        return true;
    }
    return false;
  }
  while (map_next (e->map, sector, &run) && run.start <= last) {
    if (run.state == LOST)
      return true;
    sector = run.start + run.count;
  }
  return false;
}

static int
read_lost (struct request *r, uint8_t *buf, uint64_t start, uint64_t end)
{
  if (!r->e->config.lost_zero) {
    stat_add (r->e, STAT_LOST_REFUSED, 1);
    return EIO;
  }
  memset (buf, 0, end - start);
  stat_add (r->e, STAT_LOST_ZEROED, sectors_in (start, end));
  events_tell_sectors (r->e->config.events, EVENT_ZEROED, WHY_UNKNOWN,
                       sector_of (start), sectors_in (start, end));
  return 0;
}

int
read_range (struct request *r, void *vbuf, uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  uint8_t *buf = vbuf;
  uint64_t run_end, done;
  struct run run;
  int err = 0;

  if (!e->config.lost_zero && covers_lost (e, start, end)) {
    stat_add (e, STAT_LOST_REFUSED, 1);
    return EIO;
  }

  for (; start < end && err == 0; buf += done - start, start = done) {
    run = state_lookup (e, sector_of (start), sectors_in (start, end));
    run_end = min_u64 (run_end_byte (&run), end);
    done = run_end;
    switch (run.state) {
    case REMAPPED:
      err = read_remapped (r, buf, start, run_end, &done);
      break;
    case LOST:
      err = read_lost (r, buf, start, run_end);
      break;
    case ZERO:
      memset (buf, 0, run_end - start);
      break;
    case KEPT:
    case WRITTEN:
      err = copy_read_sectors (r, buf, start, run_end, run.state, &done);
      break;
    case DIRECT:
      if (start != block_of (e, start) || run_end < block_end (e, start)) {
        done = min_u64 (block_end (e, start), run_end);
        err = read_part (r, buf, start, done);
        break;
      }
      if (run_end != e->config.main_size)
        done = block_of (e, run_end);
      err = read_direct (r, buf, start, done, &done);
      break;
    }
  }
  return err;
}

static int __attribute__ ((noinline))
read_anything (struct request *r, void *buf, uint64_t start, uint64_t end)
{
  return copy_read_recorded (r->e, buf, start, end) ? 0
    : read_range (r, buf, start, end);
}

int
engine_pread (struct engine_conn *conn, void *buf, uint32_t count,
              uint64_t offset)
{
  struct engine *e = conn->engine;
  const uint64_t end = offset + count;
  struct stat_shard *shard;
  struct request r;
  int err;

  if (count == 0)
    return 0;
  shard = stat_request (e, STAT_READS, count);
  request_init (&r, conn, offset, count);
  if (is_aligned (e, offset, end) &&
      count <= atomic_load_explicit (&e->simple_read_max,
                                     memory_order_relaxed) &&
      map_all_direct (e->map, sector_of (offset), sectors_in (offset, end))) {
    err = main_read_simply (&r, shard, buf, count, offset, true);
    if (err)
      err = read_failed (&r, buf, offset, end, err);
  }
  else
    err = read_anything (&r, buf, offset, end);
  while (lost_again (&r, &err))
    err = read_range (&r, buf, offset, end);
  settle_canaries (&r);
  return err ? error_for_nbd (err) : 0;
}
