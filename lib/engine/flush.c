/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "engine/errors.h"
#include "engine/events.h"
#include "engine/flush.h"
#include "engine/main-dev.h"
#include "engine/read.h"
#include "engine/samples.h"
#include "engine/settle.h"
#include "engine/states.h"
#include "engine/stats.h"

/* Flushes of main fail for everybody: each connection's next FLUSH or FUA
 * says so once, this one's now.
 */
static void
main_flush_failed (struct engine *e)
{
  atomic_fetch_add (&e->flush_failures, 1);
  events_tell (e->config.events, EVENT_FLUSH_FAILED, "a flush of main has "
               "failed: what clients wrote since the one before may be lost, "
               "and their next flushes say so");
}

int
flush_main (struct request *r)
{
  struct engine *e = r->e;
  struct exclusive_hold all;
  struct shared_hold mine;
  bool alone, was_dirty;
  uint64_t losses, samples;
  int err;

  /* If writes were lost with main, that was counted when it went away. */
  if (main_met_lost (r))
    return EIO;
  atomic_fetch_add (&e->nr_flushing, 1);
  range_lock_shared (e->flushes, &mine, 0, 1);
  losses = atomic_load (&e->losses);
  samples = samples_flush_begins (e);
  /* A write that ends after this is not covered, and marks main again. */
  was_dirty = atomic_load (&e->flush_is_per_conn)
    ? atomic_load (&e->main_dirty)
    : atomic_exchange (&e->main_dirty, false);
  err = main_flush (r);
  /* Main was lost meanwhile, and is back: it may have flushed nothing. */
  if (err == 0 && was_dirty && atomic_load (&e->losses) != losses)
    err = EIO;
  /* A main that is gone takes nothing with it if nothing was unflushed. */
  if (err && (was_dirty || !r->met_lost))
    main_flush_failed (e);
  range_unlock_shared (e->flushes, &mine);
  alone = atomic_fetch_sub (&e->nr_flushing, 1) == 1;
  if (err)
    return EIO;

  /* Main tells of a failure once.  If it told a flush that ran beside this
   * one, our own success means nothing: so wait until that has been counted.
   */
  if (!alone) {
    range_lock_exclusive (e->flushes, &all, 0, 1);
    range_unlock_exclusive (e->flushes, &all);
  }
  samples_flushed (e, samples);
  return 0;
}

/* Flushes main and the spare as far as it is asked for.  The order doesn't
 * matter: records of the spare are durable already.  With a copy, which takes
 * main's place, what is pending is recorded, after the copy was flushed.
 */
static int
flush_places (struct request *r, bool flush_main_too, bool flush_spare_too)
{
  struct engine *e = r->e;
  uint64_t told = atomic_load (&r->conn->flush_failures_told);
  uint64_t now;
  int err = 0, err2 = 0, err3 = 0;

  if (rescue_of (e))
    err3 = settle_all (e);
  else if (flush_main_too)
    err = flush_main (r);
  if (flush_spare_too) {
    err2 = spare_flush (e->spare);
    if (err2)
      stat_add (e, STAT_SPARE_ERRORS, 1);
  }

  now = atomic_load (&e->flush_failures);
  if (now != told &&
      atomic_compare_exchange_strong (&r->conn->flush_failures_told,
                                      &told, now)) {
    /* This must be heard, even if main is lost and comes back. */
    r->met_lost = false;
    return EIO;
  }
  return err ? err : err2 || err3 ? EIO : 0;
}

int
engine_sync (struct engine_conn *conn)
{
  struct request r;
  int err;

  request_init (&r, conn, 0, 0);
  do
    err = flush_places (&r, true, true);
  while (lost_again (&r, &err));
  settle_canaries (&r);
  return err;
}

/* A client has been told of a failure; an operator's sync doesn't count. */
static int
told (struct engine *e, int err)
{
  if (err)
    atomic_store (&e->first_untold, false);
  return err;
}

int
engine_flush (struct engine_conn *conn)
{
  stat_add (conn->engine, STAT_FLUSHES, 1);
  return told (conn->engine, engine_sync (conn));
}

int
flush_written (struct request *r)
{
  struct engine *e = r->e;
  int err = told (e, flush_places (r, r->wrote_main, r->wrote_slots));

  /* Main was lost and found since it was written: it is to be written again. */
  if (err == 0 && r->wrote_main && atomic_load (&e->losses) != r->losses) {
    r->met_lost = true;
    return EIO;
  }
  return err;
}

int
finish_write_slowly (struct request *r, int err, bool fua)
{
  struct engine *e = r->e;

  if (err == 0 && r->wrote_main && !fua) {
    if (!atomic_load_explicit (&e->main_dirty, memory_order_relaxed))
      atomic_store (&e->main_dirty, true);
    /* Main was lost while this write was in flight, and is or isn't back: the
     * write may be lost with it.  It is acknowledged only now: so clients that
     * were told of the loss before must be told of it.
     */
    if (atomic_load (&e->losses) != r->losses ||
        (atomic_load (&e->main_lost) &&
         atomic_exchange (&e->main_dirty, false)))
      main_flush_failed (e);
  }
  /* What main refused is durable from here on (promise 13).  New slots are;
   * but where another request had moved the block meanwhile, this one has
   * merely overwritten its slot.
   */
  if (err == 0 && !fua && r->failing_pieces > 0 && r->wrote_slots &&
      spare_flush (e->spare) != 0) {
    stat_add (e, STAT_SPARE_ERRORS, 1);
    err = EIO;
  }
  if (fua)
    stat_add (e, STAT_FUAS, 1);
  settle_canaries (r);
  return err ? error_for_nbd (err) : 0;
}
