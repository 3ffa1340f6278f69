/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Many small changes: how many commits and flushes they take, and that what is
 * gathered for one commit is neither stale nor in anybody's way (promises 1, 8
 * and 13 of remap-promises(7)).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine-operators.h"

/* What the spare has done since it was asked last. */
static struct {
  uint64_t commits, flushes;
} before;

static void
count_from_now (struct engine_rig *r)
{
  struct spare_status st;

  spare_get_status (r->spare, &st);
  before.commits = st.commits;
  before.flushes = r->mem->flushes;
}

static uint64_t
commits (struct engine_rig *r)
{
  struct spare_status st;

  spare_get_status (r->spare, &st);
  return st.commits - before.commits;
}

/* Rewriting the headers, or the log, is included. */
static uint64_t
flushes (struct engine_rig *r)
{
  return r->mem->flushes - before.flushes;
}

/* COUNT sectors from START on, STEP apart. */
static void
scatter (struct engine_rig *r, sector_t start, unsigned count, unsigned step,
         enum sector_state state)
{
  struct run run = { .count = 1, .state = state, .slot = NO_SLOT };
  struct change_list list = { 0 };

  for (unsigned i = 0; i < count; i++) {
    run.start = start + i * step;
    const struct change c = { .kind = (enum change_kind) state,
                              .sector = run.start, .count = 1,
                              .slot = NO_SLOT };

    CU_ASSERT_EQUAL_FATAL (change_list_add (&list, &c), 0);
  }
  CU_ASSERT_EQUAL_FATAL (spare_commit (r->spare, &list, NULL), 0);
  change_list_free (&list);
}

static const struct rig_options large = { .size = 32 * MIB,
                                          .spare_size = 64 * MIB };

/* At most 20 flushes for a thousand changes, wherever the sectors are. */
static void
test_retry (void)
{
  for (unsigned step = 1; step <= 3; step++) {
    struct engine_rig r;

    rig_init (&r, &large);
    scatter (&r, 0, 20000, step, LOST);
    count_from_now (&r);
    CU_ASSERT_EQUAL (retry (&r, 0, 65536), 0);
    CU_ASSERT (result_is (20000, 45536, 0));
    CU_ASSERT_EQUAL (counter (&r, COUNT_RECOVERED), 20000);
    CU_ASSERT (flushes (&r) <= 400);
    CU_ASSERT_EQUAL (totals (&r).remapped, 20000);
    CU_ASSERT_EQUAL (rig_read (&r, 0, 4 * MIB, 1), 0);
    rig_end (&r);
  }
}

static void
test_forget_and_declare (void)
{
  struct sector_range range[200];
  struct engine_rig r;

  rig_init (&r, &large);
  for (unsigned i = 0; i < 200; i++)
    range[i] = (struct sector_range) { 100 + 300 * i, 1 };
  count_from_now (&r);
  CU_ASSERT_EQUAL (engine_declare_lost_ranges (r.e, range, 200, WHY_IMPORT,
                                               NULL, &res), 0);
  CU_ASSERT (result_is (200, 0, 0));
  CU_ASSERT_EQUAL (commits (&r), 1);
  CU_ASSERT_EQUAL (totals (&r).lost, 200);

  scatter (&r, 0, 20000, 3, LOST);
  count_from_now (&r);
  CU_ASSERT_EQUAL (forget (&r, 0, 65536), 0);
  CU_ASSERT_EQUAL (totals (&r).lost, 0);
  CU_ASSERT (commits (&r) <= 5);
  rig_end (&r);
}

/* Ranges of any order, some of them twice, some with bad sectors: each is done
 * once.  One that isn't within main: nothing is done.
 */
static void
test_ranges (void)
{
  struct sector_range range[] = {
    { 5000, 3 }, { 100, 1 }, { 200, 1 }, { 100, 1 }, { 199, 4 }, { 8000, 192 },
    { 8192, 1 },
  };
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_READ, 100, 1, EIO);
  sim_bad (r.main, SIM_READ, 5001, 1, EIO);
  count_from_now (&r);
  CU_ASSERT_EQUAL (engine_remap_ranges (&r.conn, range, 7, WHY_IMPORT, NULL,
                                        &res), EINVAL);
  CU_ASSERT (result_is (0, 0, 0));
  range[6].count = range[5].count = 0;
  CU_ASSERT_EQUAL (engine_remap_ranges (&r.conn, range, 6, WHY_IMPORT, NULL,
                                        &res), EINVAL);
  CU_ASSERT_EQUAL (engine_remap_ranges (&r.conn, range, 0, WHY_IMPORT, NULL,
                                        &res), EINVAL);
  CU_ASSERT_EQUAL (commits (&r), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_ALL), 0);

  range[5].count = 192;
  CU_ASSERT_EQUAL (engine_remap_ranges (&r.conn, range, 6, WHY_IMPORT, NULL,
                                        &res), 0);
  CU_ASSERT (result_is (3 + 1 + 4 + 192, 2, 2));
  CU_ASSERT_EQUAL (counter (&r, COUNT_LOST), 2);
  CU_ASSERT_EQUAL (counter (&r, COUNT_MANUAL_REMAPS), 198);
  CU_ASSERT_STRING_EQUAL (states (&r, 99, 3), "DLD");
  CU_ASSERT_STRING_EQUAL (states (&r, 198, 6), "DRRRRD");
  CU_ASSERT_STRING_EQUAL (states (&r, 4999, 5), "DRLRD");
  CU_ASSERT (r.main->sector[100].failed_reads <= 4);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (101), SEC (4899), 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (5002), SEC (3190), 1), 0);
  rig_end (&r);
}

static void
reading_is_slow (void *opaque, enum sim_op op, uint64_t offset,
                 uint64_t count)
{
  struct engine_rig *r = opaque;

  if (op == SIM_READ)
    r->now_ms += 400;
}

/* A disk that takes its time: a kill loses no more than a second of it. */
static void
test_once_a_second (void)
{
  for (int op = 0; op < 2; op++) {
    struct engine_rig r;

    rig_init (&r, NULL);
    if (op == 0)
      scatter (&r, 0, 60, 100, LOST);
    else
      sim_bad (r.main, SIM_READ, 0, 60, EIO);
    r.main->hook = reading_is_slow;
    r.main->hook_opaque = &r;
    count_from_now (&r);
    CU_ASSERT_EQUAL (op == 0 ? retry (&r, 0, 6000) : remap (&r, 0, 60), 0);
    CU_ASSERT_EQUAL (res.done, 60);
    /* 400 ms for a read, or for one block that fails three times. */
    CU_ASSERT_EQUAL (commits (&r), op == 0 ? 20 : 60);
    r.main->hook = NULL;
    rig_end (&r);
  }
}

/* As much as there is room for is done, and counted. */
static void
test_no_room (void)
{
  const struct rig_options o = { .spare_size = MIB };
  struct spare_status st;
  struct engine_rig r;

  rig_init (&r, &o);
  scatter (&r, 0, 1000, 2, LOST);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (remap (&r, 4000, st.slots_free - 100), 0);
  CU_ASSERT_EQUAL (retry (&r, 0, 3000), ENOSPC);
  CU_ASSERT_EQUAL (res.done, 100);
  CU_ASSERT_EQUAL (totals (&r).lost, 900);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_free, 0);
  rig_end (&r);
}

/* An operation in a thread of its own. */
struct operator {
  struct engine_rig *r;
  int (*f) (struct engine_rig *r, sector_t start, uint64_t count);
  sector_t start;
  uint64_t count;
  struct engine_conn conn;
  int err;
  pthread_t thread;
};

static void *
operator_thread (void *arg)
{
  struct operator *o = arg;

  o->err = o->f (o->r, o->start, o->count);
  return NULL;
}

static void
operator_start (struct operator *o, struct engine_rig *r,
                int (*f) (struct engine_rig *, sector_t, uint64_t),
                sector_t start, uint64_t count)
{
  *o = (struct operator) { .r = r, .f = f, .start = start, .count = count };
  CU_ASSERT_EQUAL_FATAL (pthread_create (&o->thread, NULL, operator_thread, o),
                         0);
}

static int
operator_end (struct operator *o)
{
  CU_ASSERT_EQUAL (pthread_join (o->thread, NULL), 0);
  return o->err;
}

/* Main hangs at one LOST sector while others have been read and wait for their
 * commit.  Clients write, zero and read those; what they wrote is what is there
 * in the end, and the operation counts them as left.
 */
static void
test_gathered_and_written (void)
{
  struct operator o;
  struct engine_rig r;

  rig_init (&r, NULL);
  scatter (&r, 10, 5, 10, LOST);
  sim_close (r.main, 0, SIM_READ, SEC (50), 512, false);
  count_from_now (&r);
  operator_start (&o, &r, retry, 0, 100);
  sim_wait (r.main, 0, 1);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (10), 512, 5), 0);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (30), 512), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (20), 512, 1), EIO);
  CU_ASSERT_EQUAL (commits (&r), 2);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (operator_end (&o), 0);
  CU_ASSERT (result_is (3, 97, 0));
  CU_ASSERT_EQUAL (commits (&r), 3);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 5), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (20), 512, 1), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 30, 1), "Z");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (40), SEC (20), 1), 0);
  rig_end (&r);
}

static int
remap_two_ranges (struct engine_rig *r, sector_t start, uint64_t count)
{
  const struct sector_range range[] = { { start, 30 }, { start + count, 5 } };

  return engine_remap_ranges (&r->conn, range, 2, WHY_MANUAL, NULL, &res);
}

/* The same with DIRECT ones, of which the map says nothing: a write that ended
 * on main before the commit isn't undone by what was read before it.
 */
static void
test_gathered_and_written_direct (void)
{
  struct operator o;
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_READ, 62, 1, EIO);
  sim_close (r.main, 0, SIM_READ, SEC (300), 512, false);
  operator_start (&o, &r, remap_two_ranges, 50, 250);
  sim_wait (r.main, 0, 1);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (55), 512, 5), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (62), 512, 6), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (303), 512, 7), 0);
  CU_ASSERT (main_holds (&r, SEC (55), 512, 5));
  sim_bad (r.main, 0, 62, 1, 0);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (operator_end (&o), 0);
  CU_ASSERT (result_is (35, 0, 0));
  CU_ASSERT_EQUAL (totals (&r).remapped, 35);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (50), SEC (5), 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (55), 512, 5), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (62), 512, 6), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (63), SEC (240), 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (303), 512, 7), 0);
  rig_end (&r);
}

/* A LOST sector that was read is written, given back to main, written there,
 * and lost again: what was read is older than that.
 */
static void
test_lost_again (void)
{
  struct operator o;
  struct engine_rig r;
  struct engine_result other;

  rig_init (&r, NULL);
  scatter (&r, 10, 2, 10, LOST);
  sim_close (r.main, 0, SIM_READ, SEC (20), 512, false);
  operator_start (&o, &r, retry, 0, 100);
  sim_wait (r.main, 0, 1);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (10), 512, 5), 0);
  CU_ASSERT_EQUAL (engine_unmap (&r.conn, 10, 1, NULL, &other), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (10), 512, 6), 0);
  sim_bad (r.main, SIM_READ, 10, 1, EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 6), EIO);
  CU_ASSERT_STRING_EQUAL (states (&r, 10, 1), "L");
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (operator_end (&o), 0);
  CU_ASSERT (result_is (1, 98, 1));
  CU_ASSERT_STRING_EQUAL (states (&r, 10, 1), "L");
  sim_bad (r.main, 0, 10, 1, 0);
  CU_ASSERT_EQUAL (retry (&r, 10, 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 6), 0);
  rig_end (&r);
}

/* Sectors far from each other go back to main together: it is flushed once for
 * all of them.
 */
static void
test_unmap (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  scatter (&r, 0, 1000, 8, ZERO);
  for (unsigned i = 0; i < 500; i++)
    CU_ASSERT_EQUAL (rig_write (&r, SEC (16 * i), 512, 2), 0);
  sim_bad (r.main, SIM_WRITE, 800, 1, EIO);
  sim_bad (r.main, SIM_READ, 1608, 1, EIO);
  count_from_now (&r);
  sim_reset (r.main);
  CU_ASSERT_EQUAL (unmap (&r, 0, 8192), 0);
  CU_ASSERT (result_is (998, 7192, 2));
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 4);
  CU_ASSERT_EQUAL (commits (&r), 4);
  CU_ASSERT_EQUAL (r.main->sector[800].writes, 1);
  CU_ASSERT (main_holds (&r, SEC (16), 512, 2));
  CU_ASSERT (main_holds (&r, SEC (24), 512, 0));
  CU_ASSERT_STRING_EQUAL (states (&r, 799, 3), "DRD");
  CU_ASSERT_STRING_EQUAL (states (&r, 1607, 3), "DZD");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (800), 512, 2), 0);

  /* A failed flush of main: each is tried alone, and stays. */
  scatter (&r, 0, 10, 8, ZERO);
  sim_bad (r.main, 0, 0, 8192, 0);
  sim_fail (r.main, SIM_FLUSH, 1, EIO);
  CU_ASSERT_EQUAL (unmap (&r, 0, 80), 0);
  CU_ASSERT (result_is (10, 70, 0));
  rig_end (&r);
}

/* A client writes what has been given back to main and waits for the commit. */
static void
test_unmap_and_written (void)
{
  struct operator o;
  struct engine_rig r;

  for (int again = 0; again < 2; again++) {
    rig_init (&r, NULL);
    scatter (&r, 10, 5, 10, ZERO);
    for (unsigned i = 1; i <= 5; i++)
      CU_ASSERT_EQUAL (rig_write (&r, SEC (10 * i), 512, 2), 0);
    sim_close (r.main, 0, again ? SIM_READ : SIM_WRITE, SEC (40), 512, false);
    operator_start (&o, &r, unmap, 0, 100);
    sim_wait (r.main, 0, 1);
    CU_ASSERT (main_holds (&r, SEC (10), 512, 2));
    CU_ASSERT_EQUAL (rig_write (&r, SEC (10), 512, 5), 0);
    CU_ASSERT_EQUAL (rig_zero (&r, SEC (30), 512), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 5), 0);
    sim_open (r.main, 0);
    CU_ASSERT_EQUAL (operator_end (&o), 0);
    CU_ASSERT (result_is (5, 95, 0));
    CU_ASSERT_STRING_EQUAL (states (&r, 10, 1), "D");
    CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 5), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (20), 512, 2), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (30), 512, 0), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (40), 512, 2), 0);
    rig_end (&r);
  }
}

/* Clients read what is being given back to main, and what is at hand is the
 * exception: that changes nothing, and all goes back together.
 */
static void
test_unmap_and_read (void)
{
  struct operator o;
  struct engine_rig r;

  rig_init (&r, NULL);
  scatter (&r, 10, 100, 10, ZERO);
  for (unsigned i = 1; i <= 100; i++)
    CU_ASSERT_EQUAL (rig_write (&r, SEC (10 * i), 512, 2), 0);
  sim_close (r.main, 0, SIM_WRITE, SEC (1000), 512, false);
  count_from_now (&r);
  sim_reset (r.main);
  operator_start (&o, &r, unmap, 0, 1200);
  sim_wait (r.main, 0, 1);
  for (unsigned i = 1; i < 100; i++)
    CU_ASSERT_EQUAL (rig_read (&r, SEC (10 * i), 512, 2), 0);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (operator_end (&o), 0);
  CU_ASSERT (result_is (100, 1100, 0));
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 1);
  CU_ASSERT_EQUAL (commits (&r), 1);
  CU_ASSERT_EQUAL (totals (&r).runs, 0);
  rig_end (&r);
}

static bool is_wide;

static bool
look_for_wide (void *opaque)
{
  const struct engine_rig *r = opaque;

  is_wide |= atomic_load (&r->e->ranges->nr_wide) > 0;
  return false;
}

/* What is only recorded is gathered in pieces, too, that are in the way of none
 * but requests near by (promise 8).
 */
static void
test_narrow (void)
{
  struct engine_rig r;
  const struct engine_watch w = { .stop = look_for_wide, .opaque = &r };

  rig_init (&r, &large);
  is_wide = false;
  CU_ASSERT_EQUAL (engine_declare_lost (r.e, 3, 65000, WHY_IMPORT, &w, &res),
                   0);
  CU_ASSERT_EQUAL (totals (&r).lost, 65000);
  CU_ASSERT_EQUAL (engine_forget_lost (r.e, 0, 65536, &w, &res), 0);
  CU_ASSERT_EQUAL (totals (&r).lost, 0);
  CU_ASSERT_FALSE (is_wide);
  rig_end (&r);
}

/* A request over a thousand sectors that are main's and a thousand that aren't:
 * one commit.
 */
static void
test_client (void)
{
  static const enum sector_state from[] = { LOST, ZERO };
  struct engine_rig r;

  for (int i = 0; i < 2; i++) {
    rig_init (&r, NULL);
    scatter (&r, 100, 1024, 2, from[i]);
    count_from_now (&r);
    sim_reset (r.main);
    CU_ASSERT_EQUAL (rig_write (&r, SEC (100), MIB, 2), 0);
    CU_ASSERT_EQUAL (commits (&r), 1);
    CU_ASSERT_EQUAL (flushes (&r), 2);
    CU_ASSERT_EQUAL (totals (&r).remapped, 1024);
    CU_ASSERT_EQUAL (counter (&r, COUNT_AUTO_REMAPS), 0);
    CU_ASSERT_EQUAL (sim_calls (r.main, SIM_WRITE), 1024);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (100), MIB, 2), 0);

    /* Slots that they have already: no commit at all. */
    count_from_now (&r);
    CU_ASSERT_EQUAL (rig_write_fua (&r, SEC (100), MIB, 3), 0);
    CU_ASSERT_EQUAL (commits (&r), 0);
    CU_ASSERT_EQUAL (flushes (&r), 1);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (100), MIB, 3), 0);

    /* Zeroes; slots are free again. */
    count_from_now (&r);
    CU_ASSERT_EQUAL (rig_zero (&r, SEC (100), MIB), 0);
    CU_ASSERT_EQUAL (commits (&r), 1);
    CU_ASSERT_EQUAL (flushes (&r), 1);
    CU_ASSERT_EQUAL (totals (&r).zero, 1024);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (100), MIB, 0), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (99), 512, 1), 0);
    rig_end (&r);
  }

  /* From a LOST sector to zeroes, too, however large the request is. */
  rig_init (&r, &large);
  scatter (&r, 0, 20000, 3, LOST);
  count_from_now (&r);
  CU_ASSERT_EQUAL (rig_zero (&r, 0, 32 * MIB), 0);
  CU_ASSERT_EQUAL (commits (&r), 1);
  CU_ASSERT_EQUAL (totals (&r).zero, 20000);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 32 * MIB, 0), 0);
  rig_end (&r);
}

/* Errors half-way: each sector is old or new, and nothing is held or lost. */
static void
test_client_fails (void)
{
  const struct rig_options o = { .spare_size = MIB }, off = { .manual = true };
  struct spare_status st;
  struct engine_rig r;

  /* What main refuses is passed on: what isn't main's stays as it is. */
  rig_init (&r, &off);
  scatter (&r, 100, 50, 2, LOST);
  sim_bad (r.main, SIM_WRITE, 151, 1, EIO);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (100), SEC (100), 2), EIO);
  CU_ASSERT_EQUAL (totals (&r).lost, 50);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (101), 512, 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (199), 512, 1), 0);
  rig_end (&r);

  /* Not enough slots for all: as many as there are (promise 18). */
  rig_init (&r, &o);
  scatter (&r, 4001, 100, 2, LOST);
  scatter (&r, 4601, 100, 2, ZERO);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (remap (&r, 0, st.slots_free - 30), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (4000), SEC (200), 2), ENOSPC);
  CU_ASSERT_EQUAL (totals (&r).lost, 70);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (4000), SEC (60), 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (4061), 512, 1), EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (4601), 512, 0), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (4600), SEC (200), 2), ENOSPC);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (4601), 512, 0), 0);
  rig_end (&r);

  /* The record's flush fails: nothing was acknowledged, nothing is visible. */
  rig_init (&r, NULL);
  scatter (&r, 100, 50, 2, LOST);
  memdev_fail (r.mem, MEMDEV_FLUSH, 2, EIO, false);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (100), SEC (100), 2), EIO);
  CU_ASSERT_EQUAL (totals (&r).lost, 50);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (100), 512, 2), EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (101), 512, 2), 0);
  rig_end (&r);
}

/* A sector that is LOST when the request comes, and main's again when its turn
 * comes: main gets it, and no slot (promise 2).
 */
static void
test_client_looks_again (void)
{
  struct engine_result other;
  struct engine_rig r;
  struct job j;

  rig_init (&r, NULL);
  scatter (&r, 100, 3, 2, LOST);
  sim_close (r.main, 0, SIM_WRITE, SEC (103), 512, false);
  job_start (&j, &r, JOB_WRITE, SEC (100), SEC (6), 2);
  sim_wait (r.main, 0, 1);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (102), 512, 3), 0);
  CU_ASSERT_EQUAL (engine_unmap (&r.conn, 102, 1, NULL, &other), 0);
  CU_ASSERT_EQUAL (other.done, 1);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&j), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 100, 6), "RDDDRD");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (100), SEC (6), 2), 0);
  CU_ASSERT (main_holds (&r, SEC (101), SEC (3), 2));
  CU_ASSERT_EQUAL (counter (&r, COUNT_AUTO_REMAPS), 0);
  rig_end (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "retry", test_retry },
    { "forget and declare", test_forget_and_declare },
    { "ranges", test_ranges },
    { "once a second", test_once_a_second },
    { "no room", test_no_room },
    { "gathered and written (promise 8)", test_gathered_and_written },
    { "gathered and written, DIRECT (promise 1)",
      test_gathered_and_written_direct },
    { "lost again (promise 1)", test_lost_again },
    { "unmap", test_unmap },
    { "unmap and written (promise 1)", test_unmap_and_written },
    { "unmap and read", test_unmap_and_read },
    { "narrow holds (promise 8)", test_narrow },
    { "a client's request", test_client },
    { "a client's request fails (promise 1)", test_client_fails },
    { "a client's request looks again (promise 2)", test_client_looks_again },
    { NULL }
  };

  return run_tests (argc, argv, "engine-batch", tests);
}
