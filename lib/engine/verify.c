/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Verifying: sectors are read where they are now, and no state changes.
 * Also what operators are told of errors.
 */

#include <config.h>

#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/copy.h"
#include "engine/keep.h"
#include "engine/main-dev.h"
#include "engine/operation.h"
#include "engine/read.h"
#include "engine/states.h"

#define VERIFY_PIECE (UINT32_C (256) << 10)     /* bytes */

/* Blocks of main, of which the sectors from FIRST to LAST are DIRECT.  No
 * lock: what is written meanwhile isn't of interest.
 */
static int
verify_direct (struct operation *op, uint64_t start, uint64_t end,
               sector_t first, sector_t last)
{
  struct engine *e = op->e;
  struct request r;
  uint64_t pos, next, from, to;
  int err;

  request_init (&r, op->conn, start, end - start);
  err = main_read (&r, op->buf, start, end);
  if (err == 0) {
    /* Nothing is read twice (promise 25). */
    if (rescue_of (e))
      keep_content (e, op->buf, start, end, false);
    return 0;
  }
  err = only_a_bad_place (&r, err);
  for (pos = start; pos < end && err == 0; pos = next) {
    next = block_end (e, pos);
    if (end - start > e->config.main_block) {
      err = main_read (&r, op->buf, pos, next);
      if (err == 0)
        continue;
      err = only_a_bad_place (&r, err);
    }
    from = max_u64 (first, sector_of (pos));
    to = min_u64 (last + 1, bytes_to_sectors (next));
    if (err == 0)
      report_bad (op, from, to - from);
  }
  return err;
}

/* Slots, under a lock that keeps them from being given to somebody else. */
static void
verify_slots (struct operation *op, uint64_t start, uint64_t end,
              uint64_t *done)
{
  struct engine *e = op->e;
  struct shared_hold hold;
  struct run run;

  end = range_lock_looking (e->ranges, &hold, start, end);
  run = map_lookup (e->map, sector_of (start), sectors_in (start, end));
  *done = start;
  if (run.state == REMAPPED) {
    *done = min_u64 (end, run_end_byte (&run));
    if (spare_read (e->spare, op->buf, run.slot, run.count) != 0)
      for (uint64_t i = 0; i < run.count; i++)
        if (slots_read (e, op->buf, run.slot + i, 1) != 0)
          report_bad (op, run.start + i, 1);
  }
  range_unlock_shared (e->ranges, &hold);
}

/* The copy, under the same lock: what it holds of others isn't of interest. */
static void
verify_copy (struct operation *op, uint64_t start, uint64_t end,
             uint64_t *done)
{
  struct engine *e = op->e;
  struct copy *copy = &rescue_of (e)->copy;
  struct shared_hold hold;
  struct run run;
  uint64_t next;

  end = range_lock_looking (e->ranges, &hold, start, end);
  run = state_lookup (e, sector_of (start), sectors_in (start, end));
  *done = start;
  if (state_is_rescued (run.state)) {
    *done = end = min_u64 (end, run_end_byte (&run));
    if (copy_read (copy, op->buf, start, end) != 0)
      for (; start < end; start = next) {
        next = min_u64 (copy_block_end (e, copy, start), end);
        if (copy_read (copy, op->buf, start, next) != 0)
          report_bad (op, sector_of (start), sectors_in (start, next));
      }
  }
  range_unlock_shared (e->ranges, &hold);
}

static int
verify_piece (struct operation *op, uint64_t start, uint64_t end,
              uint64_t *done)
{
  struct engine *e = op->e;
  struct run run;
  uint64_t pos, next;
  int err = 0;

  for (pos = start; pos < end && err == 0; pos = next) {
    run = state_lookup (e, sector_of (pos), sectors_in (pos, end));
    next = min_u64 (run_end_byte (&run), end);
    switch (run.state) {
    case DIRECT:
      err = verify_direct (op, block_of (e, pos), block_end (e, next - 1),
                           run.start, run.start + run.count - 1);
      break;
    case REMAPPED:
      verify_slots (op, pos, next, &next);
      break;
    case LOST:
      report_bad (op, run.start, run.count);
      break;
    case KEPT:
    case WRITTEN:
      /* Without a copy, which the spare says there is. */
      if (rescue_of (e) == NULL)
        report_bad (op, run.start, run.count);
      else
        verify_copy (op, pos, next, &next);
      break;
    case ZERO:
      break;
    }
    if (err == 0)
      op->res->done += sectors_in (pos, next);
  }
  *done = end;
  return err;
}

int
engine_verify (struct engine_conn *conn, sector_t start, uint64_t count,
               const struct engine_watch *watch, struct engine_result *res)
{
  const struct sector_range range = { start, count };
  struct operation op = { .e = conn->engine, .conn = conn, .watch = watch,
                          .res = res, .size = VERIFY_PIECE };

  return operate (&op, &range, 1, false, verify_piece);
}

void
engine_explain (struct engine *e, int err, struct message *message)
{
  switch (err) {
  case 0:
    message_set (message, "%s", "");
    break;
  case ECANCELED:
    message_set (message, "stopped: the server is ending, or whoever asked "
                 "has gone");
    break;
  case EINVAL:
    message_set (message, "the range isn't within main, which has %" PRIu64
                 " sectors", e->nr_sectors);
    break;
  case ENOSPC:
    message_set (message, "the spare has no room: enlarge it, or free space "
                 "where it is");
    break;
  case EBUSY:
    message_set (message, "some sectors are nowhere but on main: copy them "
                 "first (remapctl rescue copy), or give them up (--give-up)");
    break;
  case ENOMEM:
    message_set (message, "out of memory");
    break;
  case ENOTSUP:
    message_set (message, "main isn't being rescued: start the server with "
                 "rescue=PATH");
    break;
  default:
    if (atomic_load (&e->main_lost))
      message_set (message, "main is lost: it doesn't answer, or the disk "
                   "is gone");
    else if (err == ESHUTDOWN)
      /* nbdkit ends calls to main so, before it says that it ends; and those
       * that wait for a main that is lost are ended so.
       */
      message_set (message, "stopped: the server is ending, or main was lost "
                   "for a while: then try again");
    else if (spare_failed (e->spare))
      message_set (message, "the spare has failed: replace or repair it, "
                   "and restart the server");
    else
      message_set (message, "%s", strerror (err));
  }
}
