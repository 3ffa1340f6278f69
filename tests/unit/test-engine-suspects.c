/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Blocks that make main vanish each time they are touched (promise 12): found,
 * with as few losses as can be, and never by guessing.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine-rig.h"
#include "engine/lost.h"
#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine/suspects.h"
#include "spare/history.h"

static struct engine_rig r;

/* Waiting takes simulated time; main is back two seconds after it vanished. */
static unsigned sleeps;
static bool stays_away;

static bool
rig_sleep (void *opaque, unsigned ms)
{
  if (rig_sleeps (&r, ms) && ++sleeps % 20 == 0 && !stays_away)
    sim_gone (r.main, 0);
  return sleeps < 100000;
}

static void
begin (const struct rig_options *o, uint64_t wait_ms, unsigned max)
{
  rig_init (&r, o);
  engine_free (r.e);
  r.config.lost_wait_ms = wait_ms;
  r.config.sleep_ms = rig_sleep;
  r.config.vanish_max = max;
  r.e = engine_new (&r.config, r.map, r.spare);
  CU_ASSERT_PTR_NOT_NULL_FATAL (r.e);
  engine_conn_init (&r.conn, r.e, &r.main->dev);
  sleeps = 0;
  stays_away = false;
}

static void
check_reason (sector_t sector, enum change_reason wanted)
{
  struct spare_history *h = spare_history_new (r.spare, r.map);
  struct history_run run;

  CU_ASSERT_EQUAL_FATAL (spare_history_update (h), 0);
  CU_ASSERT (spare_history_next (h, sector, sector + 1, &run));
  CU_ASSERT_EQUAL (run.why, wanted);
  spare_history_free (h);
}

/* A read of 128 blocks with one that makes main vanish: the first loss, the
 * call alone, and twice the block alone.  The rest is good, and was never lost.
 */
static void
test_read (int err, uint32_t block)
{
  const struct rig_options o = { .block = block };
  const unsigned n = block / SECTOR_SIZE;

  begin (&o, 60000, 2);
  sim_vanish (r.main, SIM_READ, 70 * n, 1, err);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 128 * block, 1), EIO);
  CU_ASSERT_EQUAL (r.main->vanished, 4);
  CU_ASSERT_EQUAL (totals (&r).lost, n);
  CU_ASSERT_EQUAL (map_lookup (r.map, 70 * n, 1).state, LOST);
  check_reason (70 * n, WHY_VANISH);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 70 * block, 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, 71 * block, 57 * block, 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, 70 * block, block, 1), EIO);
  CU_ASSERT_EQUAL (r.main->vanished, 4);
  /* Nothing is suspected any more: all is as before. */
  CU_ASSERT_FALSE (suspects_any (r.e));
  CU_ASSERT_EQUAL (atomic_load (&r.e->simple_max), 32 * MIB);
  rig_end (&r);
}

static void
test_reads (void)
{
  test_read (ENODEV, 512);
  test_read (ENODEV, 4096);
  /* The disk doesn't say that it is gone: everything fails. */
  test_read (EIO, 512);
}

/* How often is a parameter; a single block needs no search. */
static void
test_times (void)
{
  for (unsigned max = 1; max <= 5; max++) {
    begin (NULL, 600000, max);
    sim_vanish (r.main, SIM_READ, 70, 1, ENODEV);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), EIO);
    CU_ASSERT_EQUAL (r.main->vanished, 1 + max);
    CU_ASSERT_EQUAL (totals (&r).lost, 1);
    rig_end (&r);
  }
}

/* Requests that don't wait: each fails at its loss, and still it is found. */
static void
test_no_wait (void)
{
  begin (NULL, 0, 2);
  sim_vanish (r.main, SIM_READ, 70, 1, ENODEV);
  for (unsigned i = 0; i < 4; i++) {
    CU_ASSERT_EQUAL (rig_read (&r, SEC (64), SEC (16), 1), ESHUTDOWN);
    CU_ASSERT_EQUAL (totals (&r).lost, 0);
    sim_gone (r.main, 0);
    atomic_fetch_add (&r.now_ms, 2000);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (1000), 512, 1), 0);
  }
  CU_ASSERT_EQUAL (rig_read (&r, SEC (64), SEC (16), 1), EIO);
  CU_ASSERT_EQUAL (r.main->vanished, 4);
  CU_ASSERT_EQUAL (totals (&r).lost, 1);
  rig_end (&r);
}

/* Two reads and a write are at main, until gate 0 is opened. */
static void
three_under_way (struct job *j)
{
  sim_close (r.main, 0, SIM_READ | SIM_WRITE, 0, MIB, false);
  job_start (&j[0], &r, JOB_READ, 0, 65536, 1);
  job_start (&j[1], &r, JOB_READ, 65536, 65536, 1);
  job_start (&j[2], &r, JOB_WRITE, 131072, 65536, 2);
  sim_wait (r.main, 0, 3);
}

/* Main goes and comes back for a reason of its own, with calls under way: they
 * are asked alone once, and nothing becomes of it.
 */
static void
test_innocent (void)
{
  struct job j[3];

  begin (NULL, 60000, 2);
  three_under_way (j);
  sim_gone (r.main, ENODEV);
  sim_open (r.main, 0);
  for (int i = 0; i < 3; i++)
    CU_ASSERT_EQUAL (job_end (&j[i]), 0);
  CU_ASSERT_EQUAL (totals (&r).runs, 0);
  CU_ASSERT (main_holds (&r, 131072, 65536, 2));
  CU_ASSERT_FALSE (suspects_any (r.e));
  rig_end (&r);
}

/* Main is gone without a word: all that was under way is suspected, also what
 * failed after another call had found out.
 */
static void
test_all_suspected (void)
{
  struct job j[3];
  uint64_t done;

  begin (NULL, 0, 2);
  three_under_way (j);
  sim_gone (r.main, EIO);
  sim_open (r.main, 0);
  for (int i = 0; i < 3; i++)
    CU_ASSERT_EQUAL (job_end (&j[i]), ESHUTDOWN);
  for (uint64_t start = 0; start < 3 * 65536; start += 65536) {
    CU_ASSERT_EQUAL (suspects_look (r.e, start, start + 65536, &done),
                     SUSPECT);
    CU_ASSERT_EQUAL (done, start + 65536);
  }
  sim_gone (r.main, 0);
  rig_end (&r);
}

/* The same, found by another call between the one that failed and the next of
 * its request.
 */
static void
test_found_between (void)
{
  struct request q;
  char buf[512];
  uint64_t done;

  begin (NULL, 0, 2);
  request_init (&q, &r.conn, 0, 65536);
  CU_ASSERT_EQUAL (main_failed (&q, STAT_MAIN_READ_ERRORS, EIO, 0, 65536), EIO);
  main_went_away (r.e, EIO);
  CU_ASSERT_EQUAL (main_read (&q, buf, 0, 512), ENODEV);
  CU_ASSERT_EQUAL (suspects_look (r.e, 0, 65536, &done), SUSPECT);
  CU_ASSERT_EQUAL (done, 65536);

  /* One that hadn't failed isn't suspected. */
  request_init (&q, &r.conn, MIB, 65536);
  CU_ASSERT_EQUAL (main_read (&q, buf, MIB, MIB + 512), ENODEV);
  CU_ASSERT_EQUAL (suspects_look (r.e, MIB, MIB + 65536, &done), NO_SUSPECT);
  rig_end (&r);
}

/* Others are busy: a suspect waits until nothing else is under way. */
static void
test_alone (void)
{
  struct job other, vanisher;

  begin (NULL, 0, 2);
  sim_vanish (r.main, SIM_READ, 70, 1, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
  for (unsigned i = 2; i <= 3; i++) {
    sim_gone (r.main, 0);
    atomic_fetch_add (&r.now_ms, 2000);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (1000), 512, 1), 0);
    sim_close (r.main, 0, SIM_READ, SEC (2000), 512, false);
    job_start (&other, &r, JOB_READ, SEC (2000), 512, 1);
    sim_wait (r.main, 0, 1);
    job_start (&vanisher, &r, JOB_READ, SEC (70), 512, 1);
    CU_ASSERT_FALSE (job_ended_early (&vanisher));
    CU_ASSERT_EQUAL (r.main->vanished, i - 1);
    sim_open (r.main, 0);
    CU_ASSERT_EQUAL (job_end (&other), 0);
    CU_ASSERT_EQUAL (job_end (&vanisher), ESHUTDOWN);
    CU_ASSERT_EQUAL (r.main->vanished, i);
    CU_ASSERT_EQUAL (r.main->company, 0);
    CU_ASSERT_EQUAL (totals (&r).lost, 0);
  }
  sim_gone (r.main, 0);
  atomic_fetch_add (&r.now_ms, 2000);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), EIO);
  CU_ASSERT_EQUAL (r.main->vanished, 3);
  CU_ASSERT_EQUAL (totals (&r).lost, 1);
  rig_end (&r);
}

/* A call that began before anything was suspected, and still hangs: while it
 * does nobody knows whether it isn't the one.
 */
static void
test_company (void)
{
  struct job other;

  begin (NULL, 0, 2);
  sim_close (r.main, 0, SIM_READ, SEC (2000), 512, false);
  job_start (&other, &r, JOB_READ, SEC (2000), 512, 1);
  sim_wait (r.main, 0, 1);
  sim_vanish (r.main, SIM_READ, 70, 1, ENODEV);
  for (unsigned i = 0; i < 6; i++) {
    if (i == 4) {
      sim_open (r.main, 0);
      CU_ASSERT_EQUAL (job_end (&other), 0);
    }
    CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
    CU_ASSERT_EQUAL (r.main->vanished, i + 1);
    CU_ASSERT_EQUAL (r.main->company, i < 4);
    sim_gone (r.main, 0);
    atomic_fetch_add (&r.now_ms, 2000);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (1000), 512, 1), 0);
    CU_ASSERT_EQUAL (totals (&r).lost, 0);
  }
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), EIO);
  CU_ASSERT_EQUAL (r.main->vanished, 6);
  CU_ASSERT_EQUAL (totals (&r).lost, 1);
  rig_end (&r);
}

/* A write that makes it vanish ends in a slot, the rest on main. */
static void
test_write (void)
{
  begin (NULL, 600000, 2);
  sim_vanish (r.main, SIM_WRITE, 70, 1, ENODEV);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (64), SEC (16), 2), 0);
  CU_ASSERT_EQUAL (r.main->vanished, 4);
  CU_ASSERT_EQUAL (totals (&r).remapped, 1);
  CU_ASSERT_EQUAL (map_lookup (r.map, 70, 1).state, REMAPPED);
  check_reason (70, WHY_VANISH);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (64), SEC (16), 2), 0);
  CU_ASSERT (main_holds (&r, SEC (64), SEC (6), 2));
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  CU_ASSERT_FALSE (suspects_any (r.e));
  rig_end (&r);

  begin (NULL, 600000, 2);
  sim_vanish (r.main, SIM_ZERO, 70, 1, ENODEV);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (64), SEC (16)), 0);
  CU_ASSERT_EQUAL (totals (&r).zero, 1);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (64), SEC (16), 0), 0);
  rig_end (&r);
}

/* Beside the block that makes main vanish lies one that is merely bad: each has
 * its own reason, though both go to the spare together.
 */
static void
test_reasons (void)
{
  const struct rig_options o = { .size = 8 * MIB };

  for (unsigned zero = 0; zero <= 1; zero++) {
    begin (&o, 600000, 2);
    sim_bad (r.main, SIM_MODIFY, 69, 3, EIO);
    sim_vanish (r.main, SIM_MODIFY, 70, 1, ENODEV);
    CU_ASSERT_EQUAL (zero ? rig_zero (&r, SEC (64), SEC (16))
                     : rig_write (&r, SEC (64), SEC (16), 2), 0);
    CU_ASSERT_STRING_EQUAL (states (&r, 68, 5), zero ? "DZZZD" : "DRRRD");
    check_reason (69, WHY_AUTO_WRITE);
    check_reason (70, WHY_VANISH);
    check_reason (71, WHY_AUTO_WRITE);
    rig_end (&r);
  }
}

/* A fast zero that main doesn't have touches nothing, and clears nobody. */
static void
test_fast_zero (void)
{
  begin (NULL, 0, 2);
  sim_vanish (r.main, SIM_READ, 70, 1, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
  sim_gone (r.main, 0);
  atomic_fetch_add (&r.now_ms, 2000);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (1000), 512, 1), 0);
  sim_fail (r.main, SIM_ZERO, 1, ENOTSUP);
  CU_ASSERT_EQUAL (engine_zero (&r.conn, 512, SEC (70), DEVICE_FAST_ZERO,
                                false), ENOTSUP);
  CU_ASSERT (suspects_any (r.e));
  /* Once it is cleared it may be asked for a sign of life again. */
  CU_ASSERT_EQUAL (rig_write (&r, SEC (70), 512, 2), 0);
  CU_ASSERT_FALSE (suspects_any (r.e));
  CU_ASSERT_EQUAL (marks_count (&r.e->bad_canaries), 0);
  rig_end (&r);
}

/* Nothing is remapped by itself: the error is passed on, and main isn't lost
 * again and again.
 */
static void
test_manual (void)
{
  const struct rig_options o = { .manual = true };

  begin (&o, 600000, 2);
  sim_vanish (r.main, SIM_READ, 70, 1, ENODEV);
  for (int i = 0; i < 5; i++)
    CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), EIO);
  CU_ASSERT_EQUAL (r.main->vanished, 3);
  CU_ASSERT_EQUAL (totals (&r).runs, 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (71), 512, 1), 0);
  rig_end (&r);
}

static int
cache_by_reading (void *ctx, uint32_t count, uint64_t offset)
{
  uint8_t *buf = malloc (count);
  int err = device_pread (&r.main->dev, buf, count, offset);

  (void) ctx;
  free (buf);
  return err;
}

/* Trims and prefetches are hints: what may make main vanish is left out, in
 * the midst of a request too, and the rest is asked.
 */
static void
test_hints (void)
{
  const struct rig_options o = { .manual = true };
  uint64_t trims;

  begin (&o, 600000, 2);
  sim_vanish (r.main, SIM_READ | SIM_TRIM, 70, 1, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), EIO);
  CU_ASSERT_EQUAL (r.main->vanished, 3);
  trims = sim_calls (r.main, SIM_TRIM);
  CU_ASSERT_EQUAL (engine_trim (&r.conn, SEC (16), SEC (64), false), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_TRIM), trims + 2);
  CU_ASSERT_EQUAL (engine_cache (&r.conn, SEC (16), SEC (64),
                                 cache_by_reading), 0);
  CU_ASSERT_EQUAL (r.main->vanished, 3);
  CU_ASSERT (suspects_any (r.e));
  rig_end (&r);

  /* What only a trim touches isn't trimmed again. */
  begin (NULL, 600000, 2);
  sim_vanish (r.main, SIM_TRIM, 70, 1, ENODEV);
  for (int i = 0; i < 3; i++)
    CU_ASSERT_EQUAL (engine_trim (&r.conn, SEC (16), SEC (64), false), 0);
  CU_ASSERT_EQUAL (r.main->vanished, 1);
  CU_ASSERT_EQUAL (totals (&r).runs, 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (64), SEC (16), 2), 0);
  CU_ASSERT_FALSE (suspects_any (r.e));
  rig_end (&r);
}

/* Where nothing is left that could be asked for a sign of life, the first block
 * of a request is: a loss with that counts, and it isn't asked for ever.
 */
static void
test_nothing_left (void)
{
  begin (NULL, 600000, 2);
  engine_free (r.e);
  r.config.main_cache = MAIN_CACHED;
  r.e = engine_new (&r.config, r.map, r.spare);
  CU_ASSERT_PTR_NOT_NULL_FATAL (r.e);
  engine_conn_init (&r.conn, r.e, &r.main->dev);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 4 * MIB, 1), 0);
  sim_vanish (r.main, SIM_READ, 70, 1, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), SEC (2), 1), EIO);
  CU_ASSERT_EQUAL (r.main->vanished, 3);
  CU_ASSERT_EQUAL (totals (&r).runs, 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (71), SEC (1), 1), 0);
  /* Another loss: it isn't asked for that, either. */
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (71), SEC (1), 1), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (70), SEC (1), 2), 0);
  CU_ASSERT_EQUAL (totals (&r).remapped, 1);
  CU_ASSERT_EQUAL (r.main->vanished, 3);
  rig_end (&r);
}

/* While main stays away nothing is condemned. */
static void
test_stays_away (void)
{
  begin (NULL, 30000, 2);
  sim_vanish (r.main, SIM_READ, 70, 1, ENODEV);
  stays_away = true;
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ESHUTDOWN);
  CU_ASSERT_EQUAL (r.main->vanished, 1);
  CU_ASSERT_EQUAL (totals (&r).lost, 0);
  rig_end (&r);
}

/* As many as a server can have under way, and not any number. */
static void
test_many (void)
{
  unsigned n = 0;
  uint64_t done;

  begin (NULL, 0, 2);
  for (unsigned i = 0; i < 2000; i++)
    suspects_add (r.e, SEC (2 * i), SEC (2 * i + 1));
  for (unsigned i = 0; i < 2000; i++) {
    const enum suspicion is = suspects_look (r.e, SEC (2 * i), SEC (2 * i + 1),
                                             &done);

    CU_ASSERT_EQUAL (is, i < 1024 ? SUSPECT : NO_SUSPECT);
    n += is == SUSPECT;
  }
  CU_ASSERT_EQUAL (n, 1024);
  suspects_clear (r.e, 0, 4 * MIB);
  CU_ASSERT_FALSE (suspects_any (r.e));
  suspects_add (r.e, SEC (3000), SEC (3001));
  CU_ASSERT_EQUAL (suspects_look (r.e, SEC (3000), SEC (3001), &done),
                   SUSPECT);
  suspects_clear (r.e, 0, 4 * MIB);
  rig_end (&r);
}

static enum suspicion
lost_with (sector_t sector)
{
  uint64_t done;

  suspects_lost (r.e, SEC (sector), SEC (sector + 1));
  return suspects_look (r.e, SEC (sector), SEC (sector + 1), &done);
}

/* More blocks than are counted: that with which main was lost most often isn't
 * the one that is forgotten.
 */
static void
test_counted (void)
{
  begin (NULL, 0, 3);
  for (unsigned i = 0; i < NR_LOSSES; i++)
    CU_ASSERT_EQUAL (lost_with (10 * i), GUILTY);
  CU_ASSERT_EQUAL (lost_with (0), GUILTY);
  for (unsigned i = 0; i < 2 * NR_LOSSES; i++)
    CU_ASSERT_EQUAL (lost_with (1000 + 10 * i), GUILTY);
  CU_ASSERT_EQUAL (lost_with (0), CONDEMNED);
  /* One that has answered since begins anew, and its neighbours don't. */
  for (sector_t s = 2999; s <= 3001; s++)
    for (unsigned i = 0; i < 2; i++)
      CU_ASSERT_EQUAL (lost_with (s), GUILTY);
  suspects_clear (r.e, SEC (3000), SEC (3001));
  CU_ASSERT_EQUAL (lost_with (2999), CONDEMNED);
  CU_ASSERT_EQUAL (lost_with (3000), GUILTY);
  CU_ASSERT_EQUAL (lost_with (3001), CONDEMNED);
  suspects_clear (r.e, 0, 4 * MIB);
  CU_ASSERT_FALSE (suspects_any (r.e));
  CU_ASSERT_EQUAL (lost_with (3001), GUILTY);
  suspects_clear (r.e, 0, 4 * MIB);
  rig_end (&r);
}

/* A suspect that is merely bad, or fails for a reason that says nothing of it:
 * asked alone, and no suspect any more.
 */
static void
test_bad_suspect (void)
{
  begin (NULL, 60000, 2);
  suspects_add (r.e, SEC (70), SEC (71));
  sim_fail (r.main, SIM_READ, 1, ENOMEM);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), ENOMEM);
  CU_ASSERT_FALSE (suspects_any (r.e));
  CU_ASSERT_EQUAL (totals (&r).runs, 0);

  suspects_add (r.e, SEC (70), SEC (71));
  sim_bad (r.main, SIM_READ, 70, 1, EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), 512, 1), EIO);
  CU_ASSERT_EQUAL (r.main->vanished, 0);
  CU_ASSERT_EQUAL (map_lookup (r.map, 70, 1).state, LOST);
  check_reason (70, WHY_AUTO_READ);
  CU_ASSERT_FALSE (suspects_any (r.e));
  rig_end (&r);
}

/* Of a request with which a disk was found dead its blocks are suspected, if
 * they are few.
 */
static void
test_large (void)
{
  const struct rig_options o = { .size = 40 * MIB };

  for (int large = 0; large < 2; large++) {
    begin (&o, 0, 2);
    sim_gone (r.main, EIO);
    CU_ASSERT_EQUAL (rig_read (&r, 0, large ? 36 * MIB : 4096, 1), ESHUTDOWN);
    CU_ASSERT (atomic_load (&r.e->main_lost));
    CU_ASSERT_EQUAL (suspects_any (r.e), !large);
    sim_gone (r.main, 0);
    suspects_clear (r.e, 0, o.size);
    rig_end (&r);
  }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "reads (promise 12)", test_reads },
    { "how often", test_times },
    { "requests that don't wait (promise 12)", test_no_wait },
    { "a main that only went away (promise 2)", test_innocent },
    { "all that was under way (promise 12)", test_all_suspected },
    { "found by another call (promise 12)", test_found_between },
    { "alone (promise 12)", test_alone },
    { "a call that hangs (promise 12)", test_company },
    { "writes and zeroes (promises 3, 9)", test_write },
    { "each block's own reason (promise 12)", test_reasons },
    { "fast zeroes", test_fast_zero },
    { "nothing is remapped by itself", test_manual },
    { "trims and prefetches (promise 12)", test_hints },
    { "nothing left to ask (promise 12)", test_nothing_left },
    { "main stays away (promise 12)", test_stays_away },
    { "as many as can be", test_many },
    { "more than are counted", test_counted },
    { "a bad suspect (promise 12)", test_bad_suspect },
    { "a large request", test_large },
    { NULL }
  };

  return run_tests (argc, argv, "engine-suspects", tests);
}
