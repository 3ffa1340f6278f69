/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Requests that meet a main that goes away, comes back, hangs or refuses, at
 * the worst moments: FLUSH and FUA over a loss, verdicts without canaries, and
 * requests that are tried again (promises 2, 3, 12, 14 and 18).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine-rig.h"
#include "engine/suspects.h"

static struct engine_rig r;
static unsigned sleeps, max_sleeps;
static void (*on_sleep) (void);

/* Waiting takes simulated time. */
static bool
rig_sleep (void *opaque, unsigned ms)
{
  if (!rig_sleeps (&r, ms))
    return true;
  sleeps++;
  if (on_sleep)
    on_sleep ();
  return sleeps < max_sleeps;
}

static void
begin (const struct rig_options *o, uint64_t wait_ms)
{
  rig_init (&r, o);
  engine_free (r.e);
  r.config.lost_wait_ms = wait_ms;
  r.config.sleep_ms = rig_sleep;
  r.e = engine_new (&r.config, r.map, r.spare);
  CU_ASSERT_PTR_NOT_NULL_FATAL (r.e);
  engine_conn_init (&r.conn, r.e, &r.main->dev);
  sleeps = 0;
  max_sleeps = 100000;
  on_sleep = NULL;
}

/* A FLUSH is in main while that is lost, and ends well when it is back: what
 * it was to make durable may be gone.
 */
static void
test_flush_over_loss (void)
{
  struct engine_conn other;
  struct job f;

  begin (NULL, 0);
  engine_conn_init (&other, r.e, &r.main->dev);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 4096, 2), 0);
  sim_close (r.main, 0, SIM_FLUSH, 0, r.main->size, false);
  job_start (&f, &r, JOB_FLUSH, 0, 0, 0);
  sim_wait (r.main, 0, 1);
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (100), 512, 1), ESHUTDOWN);
  sim_gone (r.main, 0);
  atomic_fetch_add (&r.now_ms, 2000);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (100), 512, 1), 0);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&f), EIO);
  CU_ASSERT_EQUAL (engine_flush (&other), EIO);
  CU_ASSERT_EQUAL (engine_flush (&other), 0);
  rig_end (&r);
}

static bool reopened;

/* A layer that has opened the device anew, and knows what that means. */
static int
flush_after_reopening (void *ctx)
{
  struct simdisk *s = ctx;

  if (reopened) {
    reopened = false;
    return EIO;
  }
  return s->dev.ops->flush (ctx);
}

/* Main is gone and back before a request that was told so has counted it: the
 * layer below fails the next FLUSH, each connection hears of it once, and
 * what arrives late adds nothing to that.
 */
static void
test_flush_before_loss (void)
{
  struct engine_conn other;
  struct device_ops ops;
  struct device dev;
  struct job late;

  begin (NULL, 0);
  ops = *r.main->dev.ops;
  ops.flush = flush_after_reopening;
  dev = (struct device) { .ops = &ops, .ctx = r.main };
  over (&r.conn, &dev);
  engine_conn_init (&other, r.e, &dev);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 4096, 2), 0);
  sim_bad (r.main, SIM_READ, 64, 1, ENODEV);
  sim_close (r.main, 0, SIM_READ, SEC (64), 512, false);
  job_start (&late, &r, JOB_READ, SEC (64), 512, 1);
  sim_wait (r.main, 0, 1);

  reopened = true;
  CU_ASSERT_EQUAL (rig_flush (&r), EIO);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&late), ESHUTDOWN);
  CU_ASSERT_EQUAL (stat_of (&r, STAT_MAIN_LOST), 1);
  atomic_fetch_add (&r.now_ms, 2000);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  CU_ASSERT_EQUAL (engine_flush (&other), EIO);
  CU_ASSERT_EQUAL (engine_flush (&other), 0);
  rig_end (&r);
}

static void
lose_at_flush (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  if (op == SIM_FLUSH) {
    r.main->hook = NULL;
    r.main->gone = ENODEV;
  }
}

static void
come_back_soon (void)
{
  if (sleeps >= 12)
    r.main->gone = 0;
}

/* A write with FUA loses main at its flush: it is written and flushed again,
 * and nobody else is concerned.
 */
static void
test_fua_over_loss (void)
{
  struct engine_conn other;

  begin (NULL, 30000);
  engine_conn_init (&other, r.e, &r.main->dev);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  r.main->hook = lose_at_flush;
  on_sleep = come_back_soon;
  CU_ASSERT_EQUAL (rig_write_fua (&r, 0, 4096, 2), 0);
  CU_ASSERT (sleeps >= 12);
  CU_ASSERT (main_holds (&r, 0, 4096, 2));
  CU_ASSERT_EQUAL (engine_flush (&other), 0);
  rig_end (&r);
}

/* Main is away for a moment between the write of a FUA and its flush, which
 * ends well: it is written again all the same.
 */
static void
test_away_before_fua_flush (void)
{
  struct job f;

  begin (NULL, 30000);
  sim_close (r.main, 0, SIM_FLUSH, 0, r.main->size, false);
  job_start (&f, &r, JOB_FUA, 0, 4096, 2);
  sim_wait (r.main, 0, 1);
  on_sleep = come_back_soon;
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (100), 512, 1), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_WRITE), 1);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&f), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_WRITE), 2);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 2);
  CU_ASSERT (main_holds (&r, 0, 4096, 2));
  rig_end (&r);
}

/* Main is there, but one place says that it isn't: the request that needs it
 * ends all the same.
 */
static void
test_flapping (void)
{
  uint64_t begun;

  begin (NULL, 30000);
  begun = r.now_ms;
  sim_bad (r.main, SIM_WRITE, 64, 1, ENODEV);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (64), 512, 2), ESHUTDOWN);
  CU_ASSERT (r.now_ms - begun < 40000);
  atomic_fetch_add (&r.now_ms, 100000);
  rig_end (&r);
}

/* The client goes while its request waits: it isn't done afterwards. */
static void
test_client_goes (void)
{
  begin (NULL, 30000);
  sim_gone (r.main, ENODEV);
  max_sleeps = 3;
  on_sleep = come_back_soon;
  CU_ASSERT_EQUAL (rig_write (&r, 0, 4096, 2), ESHUTDOWN);
  sim_gone (r.main, 0);
  CU_ASSERT (main_holds (&r, 0, 4096, 1));
  atomic_fetch_add (&r.now_ms, 100000);
  rig_end (&r);
}

static int
slow_zero (void *ctx, uint32_t count, uint64_t offset, unsigned flags)
{
  struct simdisk *s = ctx;

  return flags & DEVICE_FAST_ZERO ? ENOTSUP
    : s->dev.ops->zero (ctx, count, offset, flags);
}

/* A zero that isn't fast is no disk that has turned read-only. */
static void
test_fast_zero (void)
{
  for (int has_zero = 0; has_zero < 2; has_zero++) {
    struct device_ops ops;
    struct device dev;

    begin (NULL, 0);
    r.e->config.readonly_to_spare = true;
    ops = *r.main->dev.ops;
    ops.zero = has_zero ? slow_zero : NULL;
    dev = (struct device) { .ops = &ops, .ctx = r.main };
    CU_ASSERT_EQUAL (engine_zero (over (&r.conn, &dev), MIB, 0,
                                  DEVICE_FAST_ZERO, false), ENOTSUP);
    CU_ASSERT_EQUAL (totals (&r).zero, 0);
    CU_ASSERT_EQUAL (stat_of (&r, STAT_MAIN_REFUSED), 0);
    rig_end (&r);
  }
}

static unsigned nth_read;

static void
back_at_read (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  if (op == SIM_READ && nth_read > 0 && --nth_read == 0)
    r.main->gone = 0;
}

/* Main comes back between two canaries: the first ones are no bad blocks. */
static void
test_back_between_canaries (void)
{
  for (int retries = -1; retries <= 1; retries += 2) {
    const struct rig_options o = { .retries = retries };
    struct device_ops ops;
    struct device dev;
    struct map_totals t;

    begin (&o, 30000);
    ops = *r.main->dev.ops;
    ops.probe = NULL;
    dev = (struct device) { .ops = &ops, .ctx = r.main };
    over (&r.conn, &dev);
    sim_gone (r.main, EIO);
    max_sleeps = 1;
    CU_ASSERT_EQUAL (rig_read (&r, SEC (64), 512, 1), ESHUTDOWN);
    max_sleeps = 100000;
    nth_read = 4;
    r.main->hook = back_at_read;
    atomic_fetch_add (&r.now_ms, 2000);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (64), 512, 1), 0);
    t = totals (&r);
    CU_ASSERT_EQUAL (t.lost + t.remapped, 0);
    r.main->hook = NULL;
    rig_end (&r);
  }
}

/* A dead disk, and nothing is left beside the request: no state changes, but
 * that clients' writes are taken in where nothing can be told.
 */
static void
test_nothing_else (void)
{
  begin (NULL, 0);
  sim_gone (r.main, EIO);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 4 * MIB, 1), ESHUTDOWN);
  CU_ASSERT_EQUAL (totals (&r).lost, 0);
  CU_ASSERT_EQUAL (rig_zero (&r, 0, 4 * MIB), ESHUTDOWN);
  CU_ASSERT_EQUAL (totals (&r).zero, 0);
  sim_gone (r.main, 0);
  atomic_fetch_add (&r.now_ms, 100000);
  rig_end (&r);

  /* 16 sectors are DIRECT, which random blocks would miss. */
  for (unsigned i = 0; i < 20; i++) {
    begin (NULL, 0);
    set_state (&r, 16, 8192 - 16, ZERO, 0);
    r.e->canaries.random += i * UINT64_C (0x123456789abcdef1);
    sim_gone (r.main, EIO);
    rig_read (&r, 0, 512, 1);
    CU_ASSERT_EQUAL (totals (&r).lost, 0);
    sim_gone (r.main, 0);
    atomic_fetch_add (&r.now_ms, 100000);
    rig_end (&r);
  }
}

static void
slow_write (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  if (op == SIM_WRITE)
    atomic_fetch_add (&r.now_ms, 1500);
}

/* Requests of each kind wait for a main that is away for a moment. */
static void
test_each_waits (void)
{
  for (int what = 0; what < 6; what++) {
    begin (NULL, 30000);
    sim_gone (r.main, ENODEV);
    on_sleep = come_back_soon;
    CU_ASSERT_EQUAL (what == 0 ? rig_read (&r, 0, 4096, 1)
                     : what == 1 ? rig_write (&r, 0, 4096, 1)
                     : what == 2 ? rig_zero (&r, 0, 4096)
                     : what == 3 ? engine_zero (&r.conn, 100, 10, 0, true)
                     : what == 4 ? engine_trim (&r.conn, 4096, 0, true)
                     : engine_cache (&r.conn, 4096, 0, NULL), 0);
    CU_ASSERT (what == 5 || sleeps >= 12);
    sim_gone (r.main, 0);
    atomic_fetch_add (&r.now_ms, 100000);
    rig_end (&r);
  }
}

/* Main was lost, and nothing is left that could be asked for a sign of life:
 * behind a cache all of it was read, or nothing of it is DIRECT.  It is back
 * all the same when it is.
 */
static void
test_back_unasked (void)
{
  for (int cached = 0; cached < 2; cached++)
    for (int probe = 0; probe < 2; probe++) {
      struct device_ops ops;
      struct device dev;

      rig_init (&r, NULL);
      engine_free (r.e);
      r.config.main_cache = cached ? MAIN_CACHED : MAIN_UNCACHED;
      r.e = engine_new (&r.config, r.map, r.spare);
      ops = *r.main->dev.ops;
      if (!probe)
        ops.probe = NULL;
      dev = (struct device) { .ops = &ops, .ctx = r.main };
      engine_conn_init (&r.conn, r.e, &dev);
      if (cached)
        CU_ASSERT_EQUAL (rig_read (&r, 0, 4 * MIB, 1), 0)
      else
        set_state (&r, 0, 8192, ZERO, 0);

      sim_gone (r.main, ENODEV);
      CU_ASSERT_EQUAL (rig_flush (&r), ESHUTDOWN);
      atomic_fetch_add (&r.now_ms, 2000);
      if (cached)
        CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
      CU_ASSERT_EQUAL (rig_flush (&r), ESHUTDOWN);
      sim_gone (r.main, 0);
      atomic_fetch_add (&r.now_ms, 2000);
      if (cached)
        CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), 0);
      CU_ASSERT_EQUAL (rig_flush (&r), 0);
      CU_ASSERT_FALSE (atomic_load (&r.e->main_lost));
      rig_end (&r);
    }

  /* A block that can't be read is no sign of life. */
  rig_init (&r, NULL);
  engine_free (r.e);
  r.config.main_cache = MAIN_CACHED;
  r.e = engine_new (&r.config, r.map, r.spare);
  engine_conn_init (&r.conn, r.e, &r.main->dev);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 4 * MIB, 1), 0);
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
  sim_gone (r.main, 0);
  sim_bad (r.main, SIM_READ, 70, 1, EIO);
  atomic_fetch_add (&r.now_ms, 2000);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
  CU_ASSERT_EQUAL (totals (&r).lost, 0);
  atomic_fetch_add (&r.now_ms, 2000);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (71), 512, 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), EIO);
  CU_ASSERT_EQUAL (totals (&r).lost, 0);
  rig_end (&r);
}

/* A disk that refuses writes, where nothing may be remapped by itself. */
static void
test_refused_manual (void)
{
  for (int manual = 0; manual < 2; manual++) {
    const struct rig_options o = { .manual = manual };

    begin (&o, 0);
    r.e->config.readonly_to_spare = true;
    sim_bad (r.main, SIM_MODIFY, 64, 1, EROFS);
    CU_ASSERT_EQUAL (rig_write (&r, SEC (64), 512, 2), manual ? EROFS : 0);
    CU_ASSERT_EQUAL (totals (&r).remapped, !manual);
    /* Another error isn't a refusal. */
    sim_bad (r.main, SIM_MODIFY, 65, 1, EDOM);
    CU_ASSERT_EQUAL (rig_write (&r, SEC (65), 512, 2), EIO);
    CU_ASSERT_EQUAL (map_lookup (r.map, 65, 1).state, DIRECT);
    rig_end (&r);
  }
}

static void
slow_canary (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  if (op == SIM_READ)
    atomic_fetch_add (&r.now_ms, 1500);
}

/* A write fails, and the first canary hangs: that may be the canary's place, so
 * nothing is known.  The data is taken in.
 */
static void
test_canary_hangs (void)
{
  begin (NULL, 0);
  sim_bad (r.main, SIM_READ, 0, 8192, ETIMEDOUT);
  sim_bad (r.main, SIM_WRITE, 64, 1, EIO);
  r.main->hook = slow_canary;
  CU_ASSERT_EQUAL (rig_write (&r, SEC (64), 512, 2), 0);
  CU_ASSERT_EQUAL (totals (&r).remapped, 1);
  CU_ASSERT_FALSE (atomic_load (&r.e->main_lost));
  r.main->hook = NULL;
  sim_bad (r.main, SIM_READ, 0, 8192, 0);
  rig_end (&r);
}

/* Only a cache could tell: what clients write is taken in, however it fails. */
static void
test_silent_writes (void)
{
  static const struct { int err; bool slow; uint64_t count; } w[] = {
    { EIO, false, 512 }, { ETIMEDOUT, false, 512 }, { EIO, true, 65536 },
    { ETIMEDOUT, true, 65536 }
  };

  for (unsigned i = 0; i < sizeof w / sizeof w[0]; i++) {
    rig_init (&r, NULL);
    r.config.main_cache = MAIN_CACHED;
    engine_free (r.e);
    r.e = engine_new (&r.config, r.map, r.spare);
    engine_conn_init (&r.conn, r.e, &r.main->dev);
    CU_ASSERT_EQUAL (rig_read (&r, 0, 4 * MIB, 1), 0);
    sim_bad (r.main, SIM_WRITE, 64, 1, w[i].err);
    r.main->hook = w[i].slow ? slow_write : NULL;
    CU_ASSERT_EQUAL (rig_write (&r, SEC (64), w[i].count, 2), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (64), w[i].count, 2), 0);
    CU_ASSERT_EQUAL (rig_write (&r, SEC (64), 512, 3), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (64), 512, 3), 0);
    CU_ASSERT_EQUAL (health (&r), HEALTH_DEGRADED);
    r.main->hook = NULL;
    rig_end (&r);
  }
}

/* Main refuses a mixed block and the spare is full: that is the error that
 * tells what to do.
 */
static void
test_mixed_and_full (void)
{
  const struct rig_options o = { .block = 4096, .spare_size = 1 * MIB };
  uint64_t offset = SEC (1024);
  int err = 0;

  begin (&o, 0);
  set_state (&r, 8, 2, LOST, 0);
  sim_bad (r.main, SIM_WRITE, 1024, 7000, EIO);
  for (; err == 0; offset += 4096)
    err = rig_write (&r, offset, 4096, 2);
  CU_ASSERT_EQUAL (err, ENOSPC);
  sim_bad (r.main, SIM_WRITE, 8, 8, EIO);
  CU_ASSERT_EQUAL (rig_write (&r, 4096, 4096, 3), ENOSPC);
  rig_end (&r);
}

/* A write larger than a call takes along no more than that. */
static void
test_large_write (void)
{
  const struct rig_options o = { .size = 64 * MIB, .spare_size = 80 * MIB };

  for (int fua = 0; fua < 2; fua++) {
    begin (&o, 0);
    sim_bad (r.main, SIM_WRITE, 47 * 2048, 1, ETIMEDOUT);
    CU_ASSERT_EQUAL (fua ? rig_write_fua (&r, 0, 48 * MIB, 2)
                     : rig_write (&r, 0, 48 * MIB, 2), 0);
    CU_ASSERT_EQUAL (totals (&r).remapped, 16 * MIB / SECTOR_SIZE);
    CU_ASSERT_EQUAL (*states (&r, 0, 1), 'D');
    rig_end (&r);
  }
}

/* An engine behind a cache that has all of main, which goes away. */
static void
lose_cached (const struct rig_options *o)
{
  begin (o, 0);
  engine_free (r.e);
  r.config.main_cache = MAIN_CACHED;
  r.e = engine_new (&r.config, r.map, r.spare);
  engine_conn_init (&r.conn, r.e, &r.main->dev);
  CU_ASSERT_EQUAL (rig_read (&r, 0, r.main->size, 1), 0);
}

static void
let_come_back (void)
{
  sim_gone (r.main, 0);
  atomic_fetch_add (&r.now_ms, 2000);
}

/* The block that is asked whether main is back makes it vanish: it is guilty,
 * unless something else that hangs was under way.
 */
static void
test_back_vanishes (void)
{
  struct job j;
  uint64_t done;

  for (int hangs = 0; hangs < 2; hangs++) {
    lose_cached (NULL);
    if (hangs) {
      sim_close (r.main, 0, SIM_READ, SEC (200), 512, false);
      job_start (&j, &r, JOB_READ, SEC (200), 512, 1);
      sim_wait (r.main, 0, 1);
    }
    sim_gone (r.main, ENODEV);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
    let_come_back ();
    sim_vanish (r.main, SIM_READ, 70, 1, ENODEV);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
    CU_ASSERT_EQUAL (r.main->vanished, 1);
    CU_ASSERT_EQUAL (suspects_look (r.e, SEC (70), SEC (71), &done) == GUILTY,
                     !hangs);
    sim_vanish (r.main, 0, 70, 1, ENODEV);
    let_come_back ();
    if (hangs) {
      sim_open (r.main, 0);
      job_end (&j);
    }
    CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), 0);
    rig_end (&r);
  }
}

/* The request's own block is all that is left to be asked: where it can't be
 * read, main isn't back, and nothing is LOST.
 */
static void
test_back_alone (void)
{
  begin (NULL, 0);
  set_state (&r, 0, 70, ZERO, 0);
  set_state (&r, 71, 8192 - 71, ZERO, 0);
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (rig_flush (&r), ESHUTDOWN);
  let_come_back ();
  sim_bad (r.main, SIM_READ, 70, 1, EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
  CU_ASSERT (atomic_load (&r.e->main_lost));
  CU_ASSERT_EQUAL (totals (&r).lost, 0);
  sim_bad (r.main, 0, 70, 1, 0);
  let_come_back ();
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), 0);
  rig_end (&r);
}

/* Where no whole block of main is needed, none is asked. */
static void
test_back_in_part (void)
{
  struct rig_options o = { .block = 4096 };

  /* One that lies in the spare in part. */
  lose_cached (&o);
  set_state (&r, 66, 1, REMAPPED, 1);
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (64), 4096, 1), ESHUTDOWN);
  let_come_back ();
  CU_ASSERT_EQUAL (rig_read (&r, SEC (64), 4096, 1), 0);
  rig_end (&r);

  /* The last one, which isn't whole. */
  o.size = MIB - 1024;
  lose_cached (&o);
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, MIB - 4096, 3072, 1), ESHUTDOWN);
  let_come_back ();
  CU_ASSERT_EQUAL (rig_read (&r, MIB - 4096, 3072, 1), 0);
  rig_end (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "a FLUSH over a loss (promise 14)", test_flush_over_loss },
    { "a FLUSH before a loss is known (promise 14)", test_flush_before_loss },
    { "a FUA over a loss (promise 14)", test_fua_over_loss },
    { "away before a FUA's flush (promise 14)", test_away_before_fua_flush },
    { "lost at each try (promise 12)", test_flapping },
    { "the client goes meanwhile (promise 12)", test_client_goes },
    { "zeroes that aren't fast (promise 10)", test_fast_zero },
    { "back between two canaries (promise 12)", test_back_between_canaries },
    { "nothing else to ask (promise 12)", test_nothing_else },
    { "writes where nothing tells (promise 12)", test_silent_writes },
    { "each kind of request (promise 12)", test_each_waits },
    { "nothing left to ask (promise 12)", test_back_unasked },
    { "refused, and nothing is remapped", test_refused_manual },
    { "a canary that hangs (promise 12)", test_canary_hangs },
    { "a mixed block and a full spare (promise 18)", test_mixed_and_full },
    { "a write of 48 MiB (promise 3)", test_large_write },
    { "what is asked makes it vanish (promise 12)", test_back_vanishes },
    { "one block is left (promise 12)", test_back_alone },
    { "nothing is asked (promise 12)", test_back_in_part },
    { NULL }
  };

  return run_tests (argc, argv, "engine-again", tests);
}
