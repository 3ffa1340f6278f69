/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Write requests of clients.
 *
 * On a disk without bad sectors nearly every write is of whole blocks that are
 * DIRECT, and succeeds.  For these there is a short way, in as few
 * instructions as can be (promise 24 of remap-promises(7)); everything else
 * takes the long one.
 */

#include <config.h>

#include "engine/blocks.h"
#include "engine/edge.h"
#include "engine/flush.h"
#include "engine/in-flight.h"
#include "engine/lost.h"
#include "engine/main-dev.h"
#include "engine/rescue-write.h"
#include "engine/states.h"
#include "engine/write.h"

static int
write_bytes (struct request *r, const void *buf, uint64_t start, uint64_t end)
{
  if (rescue_of (r->e))
    return rescue_write (r, buf, start, end);
  return is_aligned (r->e, start, end) ? write_blocks (r, buf, start, end)
    : write_range (r, buf, start, end);
}

/* The long way. */
static int __attribute__ ((noinline))
write_anything (struct engine_conn *conn, const void *buf, uint32_t count,
                uint64_t offset, bool fua)
{
  struct engine *e = conn->engine;
  const uint64_t end = offset + count;
  struct request r;
  int err;

  if (count == 0)
    return 0;
  stat_request (e, STAT_WRITES, count);
  if (!fua && rescue_of (e) &&
      rescue_write_recorded (e, buf, offset, end) == 0)
    return 0;
  request_init (&r, conn, offset, count);
  do {
    err = write_bytes (&r, buf, offset, end);
    if (err == 0 && fua)
      err = flush_written (&r);
  } while (lost_again (&r, &err));
  return finish_write (&r, err, fua);
}

/* A simple write that has reached main and ended with ERR (0 or an errno), but
 * can't be answered yet: it failed, or main was lost or flushed meanwhile.
 */
static int __attribute__ ((noinline))
main_was_written (struct engine_conn *conn, const void *buf, uint32_t count,
                  uint64_t offset, uint64_t losses, int err)
{
  struct request r;

  request_init (&r, conn, offset, count);
  r.wrote_main = true;
  r.losses = losses;
  if (err) {
    main_failed (&r, STAT_MAIN_WRITE_ERRORS, err, offset, offset + count);
    err = write_failed (&r, buf, offset, offset + count, err);
    while (lost_again (&r, &err))
      err = write_bytes (&r, buf, offset, offset + count);
  }
  return finish_write (&r, err, false);
}

int
engine_pwrite_fua (struct engine_conn *conn, const void *buf,
                   uint32_t count, uint64_t offset)
{
  return write_anything (conn, buf, count, offset, true);
}

/* As a rule a write is of whole blocks that are DIRECT, and nothing is
 * wrong: this does what write_direct does, but a request is made only when
 * it is needed.
 */
int
engine_pwrite_plain (struct engine_conn *conn, const void *buf,
                     uint32_t count, uint64_t offset)
{
  struct engine *e = conn->engine;
  const uint64_t end = offset + count;
  struct stat_shard *shard;
  struct shared_entry *held;
  _Atomic uint32_t *call;
  uint64_t losses;
  int err;

  if (!is_aligned (e, offset, end) ||
      !range_try_shared (e->ranges, &held, offset, end))
    return write_anything (conn, buf, count, offset, false);
  losses = atomic_load (&e->losses);
  /* One comparison for three cases: COUNT is 0; it is more than one call
   * takes; something is late, so that simple_max is 0.
   */
  if (count - 1 >= atomic_load (&e->simple_max) ||
      !map_all_direct (e->map, sector_of (offset),
                       sectors_in (offset, end)) ||
      atomic_load (&e->main_lost)) {
    range_leave_shared (e->ranges, held, offset, end);
    return write_anything (conn, buf, count, offset, false);
  }

  shard = stat_request (e, STAT_WRITES, count);
  note_change (e, offset, count);
  call = call_begins_in (e, shard);
  err = device_pwrite (&conn->main_dev, buf, count, offset);
  call_ended (call);
  range_leave_shared (e->ranges, held, offset, end);
  /* Whether main was lost needn't be asked: that raises LOSSES. */
  if (err || !atomic_load (&e->main_dirty) ||
      atomic_load (&e->losses) != losses)
    return main_was_written (conn, buf, count, offset, losses, err);
  return 0;
}
