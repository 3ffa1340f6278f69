/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What operators ask for, continued: on disks that are gone or very bad,
 * verifying, importing, giving up; what they are told.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine-operators.h"

/* The bad sectors that were reported, and when to stop. */
static struct {
  uint64_t runs, sectors;
  sector_t first, end;
  bool out_of_order;
  int stop_after;               /* pieces; -1: never */
} seen;

static bool
stop (void *opaque)
{
  return seen.stop_after >= 0 && seen.stop_after-- == 0;
}

static void
bad (void *opaque, sector_t start, uint64_t count)
{
  if (seen.runs++ == 0)
    seen.first = start;
  else if (start < seen.end)
    seen.out_of_order = true;
  seen.sectors += count;
  seen.end = start + count;
}

static const struct engine_watch watch = { .stop = stop, .bad = bad };

static int
verify (struct engine_rig *r, sector_t start, uint64_t count)
{
  memset (&seen, 0, sizeof seen);
  seen.stop_after = -1;
  return engine_verify (&r->conn, start, count, &watch, &res);
}

/* Promise 12: a disk that fails everywhere isn't one with bad sectors.  One
 * round of canaries tells, and nothing more is tried.
 */
static void
test_gone_disk (void)
{
  for (int op = 0; op < 4; op++) {
    struct engine_rig r;
    uint64_t failed;
    int err;

    rig_init (&r, NULL);
    set_state (&r, 10, 100, op == 0 ? REMAPPED : LOST, 2);
    sim_bad (r.main, SIM_ALL, 0, 8192, EIO);
    sim_reset (r.main);
    err = op == 0 ? unmap (&r, 0, 8192) : op == 1 ? retry (&r, 0, 8192)
      : op == 2 ? verify (&r, 200, 1000) : remap (&r, 200, 1000);
    CU_ASSERT_EQUAL (err, EIO);
    CU_ASSERT (result_is (0, op < 2 ? 10 : 0, 0));
    CU_ASSERT_EQUAL (health (&r), HEALTH_MAIN_LOST);
    failed = sim_failed (r.main, SIM_ALL);
    CU_ASSERT (failed <= 3 + ALL_CANARIES);
    CU_ASSERT_STRING_EQUAL (states (&r, 8, 4), op == 0 ? "DDRR" : "DDLL");
    CU_ASSERT_EQUAL (totals (&r).lost, op == 0 ? 0 : 100);

    /* As long as it is lost it isn't asked. */
    err = op == 0 ? unmap (&r, 0, 8192) : retry (&r, 0, 8192);
    CU_ASSERT_EQUAL (err, EIO);
    CU_ASSERT_EQUAL (sim_failed (r.main, SIM_ALL), failed);
    sim_bad (r.main, 0, 0, 8192, 0);
    r.now_ms += 2000;
    CU_ASSERT_EQUAL (op == 0 ? unmap (&r, 0, 8192) : retry (&r, 0, 8192), 0);
    CU_ASSERT_EQUAL (res.done, 100);
    rig_end (&r);
  }
}

/* A disk of which many sectors are bad is asked for its canaries once a
 * block, and these are good.
 */
static void
test_bad_disk (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 0, 1000, REMAPPED, 2);
  set_state (&r, 1000, 1000, LOST, 0);
  sim_bad (r.main, SIM_ALL, 0, 2000, EIO);
  CU_ASSERT_EQUAL (unmap (&r, 0, 1000), 0);
  CU_ASSERT (result_is (0, 0, 1000));
  CU_ASSERT_EQUAL (retry (&r, 1000, 1000), 0);
  CU_ASSERT (result_is (0, 0, 1000));
  CU_ASSERT_EQUAL (health (&r), HEALTH_DEGRADED);
  rig_end (&r);
}

/* Reads everything where it is, changes nothing, and leaves LOST alone. */
static void
test_verify (void)
{
  for (uint32_t block = 512; block <= 4096; block *= 8) {
    const struct rig_options o = { .block = block, .size = 4 * MIB + 1000 };
    const unsigned n = block / 512;
    struct map_totals before, after;
    struct engine_rig r;

    rig_init (&r, &o);
    CU_ASSERT_EQUAL (verify (&r, 0, 8194), 0);
    CU_ASSERT (result_is (8194, 0, 0));

    set_state (&r, 800, 8, REMAPPED, 2);
    set_state (&r, 808, 16, LOST, 0);
    set_state (&r, 824, 8, ZERO, 0);
    /* What is bad below what isn't DIRECT doesn't matter. */
    sim_bad (r.main, SIM_READ, 800, 32, EIO);
    sim_bad (r.main, SIM_READ, 1600, 1, EIO);
    sim_bad (r.main, SIM_READ, 8193, 1, EIO);
    before = totals (&r);
    sim_reset (r.main);
    CU_ASSERT_EQUAL (verify (&r, 0, 8194), 0);
    CU_ASSERT (result_is (8194, 0, 16 + n + (n > 1 ? 2 : 1)));
    CU_ASSERT_EQUAL (res.first_bad, 808);
    CU_ASSERT_EQUAL (seen.first, 808);
    CU_ASSERT_EQUAL (seen.sectors, res.bad);
    CU_ASSERT_EQUAL (seen.end, 8194);
    CU_ASSERT (!seen.out_of_order);
    CU_ASSERT_EQUAL (sim_calls (r.main, SIM_MODIFY | SIM_FLUSH), 0);
    CU_ASSERT_EQUAL (r.main->sector[810].reads, 0);
    after = totals (&r);
    CU_ASSERT_EQUAL (memcmp (&before, &after, sizeof before), 0);

    /* Slots that can't be read. */
    memdev_fail (r.mem, MEMDEV_READ, 1, EIO, true);
    CU_ASSERT_EQUAL (verify (&r, 800, 8), 0);
    CU_ASSERT (result_is (8, 0, 8));
    memdev_fail (r.mem, 0, 0, 0, false);

    /* Whole blocks. */
    CU_ASSERT_EQUAL (verify (&r, 1601, 1), 0);
    CU_ASSERT (result_is (n, 0, n > 1 ? n : 0));
    CU_ASSERT_EQUAL (verify (&r, 8194, 1), EINVAL);
    CU_ASSERT_EQUAL (verify (&r, 0, 0), EINVAL);
    rig_end (&r);
  }
}

/* Many sectors at once take few commits, and content is what it was. */
static void
test_remap_much (void)
{
  struct spare_status st;
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_READ, 3000, 1, EIO);
  set_state (&r, 500, 1, ZERO, 0);
  spare_get_status (r.spare, &st);
  const uint64_t commits = st.commits;
  memset (&seen, 0, sizeof seen);
  seen.stop_after = -1;
  CU_ASSERT_EQUAL (engine_remap (&r.conn, 100, 4000, WHY_IMPORT, &watch, &res),
                   0);
  CU_ASSERT (result_is (3999, 1, 1));
  CU_ASSERT_EQUAL (seen.first, 3000);
  CU_ASSERT_EQUAL (seen.sectors, 1);
  CU_ASSERT_EQUAL (counter (&r, COUNT_MANUAL_REMAPS), 3998);
  CU_ASSERT_EQUAL (counter (&r, COUNT_LOST), 1);
  spare_get_status (r.spare, &st);
  CU_ASSERT (st.commits - commits < 500);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (100), SEC (400), 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (501), SEC (2499), 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (3001), SEC (1099), 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (3000), SEC (1), 1), EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (4100), SEC (100), 1), 0);
  CU_ASSERT_EQUAL (totals (&r).remapped, 3998);

  /* And back, the same way: what main doesn't take costs its block alone. */
  CU_ASSERT_EQUAL (rig_write (&r, SEC (200), SEC (100), 2), 0);
  sim_bad (r.main, SIM_WRITE, 1000, 1, EIO);
  sim_reset (r.main);
  CU_ASSERT_EQUAL (unmap (&r, 0, 8192), 0);
  CU_ASSERT (result_is (3998, 4193, 1));
  CU_ASSERT_EQUAL (res.first_bad, 1000);
  CU_ASSERT (sim_calls (r.main, SIM_FLUSH) < 300);
  CU_ASSERT (main_holds (&r, SEC (200), SEC (100), 2));
  CU_ASSERT (main_holds (&r, SEC (300), SEC (200), 1));
  CU_ASSERT (main_holds (&r, SEC (500), SEC (1), 0));
  CU_ASSERT (main_holds (&r, SEC (501), SEC (400), 1));
  CU_ASSERT_STRING_EQUAL (states (&r, 498, 4), "DDDD");
  CU_ASSERT_STRING_EQUAL (states (&r, 999, 3), "DRD");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (1000), SEC (1), 1), 0);
  rig_end (&r);
}

/* What a list of bad sectors says, without asking main. */
static void
test_declare_lost (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 12, 2, REMAPPED, 2);
  set_state (&r, 14, 1, ZERO, 0);
  sim_reset (r.main);
  CU_ASSERT_EQUAL (engine_declare_lost (r.e, 10, 10, WHY_IMPORT, NULL, &res),
                   0);
  CU_ASSERT (result_is (7, 3, 0));
  CU_ASSERT_STRING_EQUAL (states (&r, 9, 12), "DLLRRZLLLLLD");
  CU_ASSERT_EQUAL (counter (&r, COUNT_LOST), 7);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_ALL), 0);
  CU_ASSERT_EQUAL (engine_declare_lost (r.e, 10, 8190, WHY_IMPORT, NULL,
                                        &res), EINVAL);
  CU_ASSERT_EQUAL (engine_declare_lost (r.e, 0, 8192, WHY_IMPORT, NULL,
                                        &res), 0);
  CU_ASSERT_EQUAL (totals (&r).lost, 8189);
  memdev_fail (r.mem, MEMDEV_FLUSH, 1, EIO, true);
  CU_ASSERT_EQUAL (forget (&r, 0, 8192), EIO);
  CU_ASSERT (result_is (0, 0, 0));
  CU_ASSERT_EQUAL (totals (&r).lost, 8189);
  rig_end (&r);
}

/* Whoever waits may give up; what was done by then stays. */
static void
test_cancel (void)
{
  for (int op = 0; op < 4; op++) {
    struct message message;
    struct engine_rig r;
    int err;

    rig_init (&r, NULL);
    set_state (&r, 0, 3000, op == 2 ? LOST : REMAPPED, 1);
    memset (&seen, 0, sizeof seen);
    seen.stop_after = 2;
    err = op == 0 ? engine_unmap (&r.conn, 0, 3000, &watch, &res)
      : op == 1 ? engine_remap (&r.conn, 3000, 3000, WHY_MANUAL, &watch, &res)
      : op == 2 ? engine_retry (&r.conn, 0, 3000, &watch, &res)
      : engine_verify (&r.conn, 3000, 3000, &watch, &res);
    CU_ASSERT_EQUAL (err, ECANCELED);
    CU_ASSERT (res.done > 0 && res.done < 3000);
    CU_ASSERT_EQUAL (totals (&r).remapped,
                     op == 0 ? 3000 - res.done : op == 1 ? 3000 + res.done
                     : op == 2 ? res.done : 3000);
    engine_explain (r.e, err, &message);
    CU_ASSERT (strstr (message.text, "stopped") != NULL);
    rig_end (&r);
  }
}

static void
test_explain (void)
{
  struct message m;
  struct engine_rig r;

  rig_init (&r, NULL);
  engine_explain (r.e, EINVAL, &m);
  CU_ASSERT_STRING_EQUAL (m.text, "the range isn't within main, which has "
                          "8192 sectors");
  engine_explain (r.e, EIO, &m);
  CU_ASSERT_STRING_EQUAL (m.text, strerror (EIO));
  engine_explain (r.e, ENOSPC, &m);
  CU_ASSERT (strstr (m.text, "no room") != NULL);
  memdev_fail (r.mem, MEMDEV_FLUSH, 1, EIO, true);
  CU_ASSERT_EQUAL (remap (&r, 0, 1), EIO);
  engine_explain (r.e, EIO, &m);
  CU_ASSERT (strstr (m.text, "spare has failed") != NULL);
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 512, 1), ESHUTDOWN);
  engine_explain (r.e, EIO, &m);
  CU_ASSERT (strstr (m.text, "main is lost") != NULL);
  rig_end (&r);
}

static unsigned
reasons (struct engine_rig *r, struct message *m)
{
  struct engine_status st;

  engine_get_status (r->e, &st);
  return engine_health_reasons (&st, m);
}

/* Why health isn't ok; event counters start anew when they are cleared. */
static void
test_reasons_and_clear (void)
{
  const struct rig_options o = { .spare_size = MIB };
  struct message m[ENGINE_MAX_REASONS];
  struct engine_status st;
  struct engine_rig r;

  rig_init (&r, &o);
  CU_ASSERT_EQUAL (reasons (&r, m), 0);
  set_state (&r, 10, 3, LOST, 0);
  CU_ASSERT_EQUAL (reasons (&r, m), 1);
  CU_ASSERT_STRING_EQUAL (m[0].text, "3 sectors are lost: main can't read "
                          "them");
  sim_bad (r.main, SIM_READ, 20, 1, EIO);
  sim_recover (r.main, 20, 1);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (20), 512, 1), 0);
  CU_ASSERT_EQUAL (reasons (&r, m), 2);
  CU_ASSERT (strstr (m[1].text, "1 sector was weak: main read it ") != NULL);

  engine_clear_stats (r.e);
  CU_ASSERT_EQUAL (stat_of (&r, STAT_READS), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (20), 512, 1), 0);
  engine_get_status (r.e, &st);
  CU_ASSERT_EQUAL (st.stat[STAT_READS], 1);
  CU_ASSERT_EQUAL (st.ever[STAT_READS], 2);
  CU_ASSERT_EQUAL (st.stat[STAT_MAIN_READ_ERRORS], 0);
  CU_ASSERT_EQUAL (st.ever[STAT_MAIN_READ_ERRORS], 1);
  CU_ASSERT_EQUAL (st.totals.lost, 3);
  CU_ASSERT_EQUAL (st.spare.counters[COUNT_WEAK], 1);

  CU_ASSERT_EQUAL (remap (&r, 100, st.spare.slots_free - 10), 0);
  CU_ASSERT_EQUAL (reasons (&r, m), 3);
  CU_ASSERT (strstr (m[0].text, "more than 80 %") != NULL);
  CU_ASSERT_EQUAL (remap (&r, 4000, 20), ENOSPC);
  CU_ASSERT_EQUAL (reasons (&r, m), 3);
  CU_ASSERT (strstr (m[0].text, "is full") != NULL);
  memdev_fail (r.mem, MEMDEV_FLUSH, 1, EIO, true);
  CU_ASSERT_EQUAL (forget (&r, 10, 1), EIO);
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 512, 1), ESHUTDOWN);
  /* The last one: a record in doubt keeps its sector off main. */
  CU_ASSERT_EQUAL (reasons (&r, m), 6);
  CU_ASSERT (strstr (m[0].text, "main is lost") != NULL);
  CU_ASSERT (strstr (m[1].text, "spare has failed") != NULL);
  rig_end (&r);
}

/* A sync flushes both, and is no client's flush. */
static void
test_sync (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 512, 2), 0);
  CU_ASSERT_EQUAL (engine_sync (&r.conn), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 1);
  CU_ASSERT_EQUAL (stat_of (&r, STAT_FLUSHES), 0);
  sim_fail (r.main, SIM_FLUSH, 1, EIO);
  CU_ASSERT_EQUAL (engine_sync (&r.conn), EIO);
  rig_end (&r);
}

/* Behind a page cache all of which was read nothing can tell whether main is
 * alive.  What can't go back to main, or be read again, stays as it is anyway:
 * the rest is done.
 */
static void
test_nothing_tells (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  engine_free (r.e);
  r.config.main_cache = MAIN_CACHED;
  r.e = engine_new (&r.config, r.map, r.spare);
  CU_ASSERT_PTR_NOT_NULL_FATAL (r.e);
  engine_conn_init (&r.conn, r.e, &r.main->dev);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 4 * MIB, 1), 0);
  for (sector_t i = 100; i < 400; i += 100)
    set_state (&r, i, 1, REMAPPED, 2);
  sim_bad (r.main, SIM_WRITE, 100, 1, EIO);
  sim_bad (r.main, SIM_READ, 200, 1, EIO);
  CU_ASSERT_EQUAL (unmap (&r, 0, 8192), 0);
  CU_ASSERT (result_is (1, 8189, 2));
  CU_ASSERT_STRING_EQUAL (states (&r, 100, 1), "R");
  CU_ASSERT_STRING_EQUAL (states (&r, 200, 1), "R");
  CU_ASSERT_STRING_EQUAL (states (&r, 300, 1), "D");
  CU_ASSERT (main_holds (&r, SEC (300), 512, 2));
  set_state (&r, 400, 1, LOST, 0);
  set_state (&r, 500, 1, LOST, 0);
  sim_bad (r.main, SIM_READ, 400, 1, EIO);
  CU_ASSERT_EQUAL (retry (&r, 400, 200), 0);
  CU_ASSERT (result_is (1, 198, 1));
  CU_ASSERT_STRING_EQUAL (states (&r, 400, 1), "L");
  /* But nothing becomes LOST for that. */
  sim_bad (r.main, SIM_READ, 600, 1, EIO);
  CU_ASSERT_EQUAL (engine_remap (&r.conn, 600, 1, WHY_MANUAL, NULL, &res),
                   EIO);
  CU_ASSERT_STRING_EQUAL (states (&r, 600, 1), "D");
  rig_end (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "gone disk", test_gone_disk },
    { "bad disk", test_bad_disk },
    { "verify", test_verify },
    { "remap much", test_remap_much },
    { "declare lost", test_declare_lost },
    { "cancel", test_cancel },
    { "explain", test_explain },
    { "reasons and clear", test_reasons_and_clear },
    { "sync", test_sync },
    { "nothing tells (promise 12)", test_nothing_tells },
    { NULL }
  };

  return run_tests (argc, argv, "engine-operators", tests);
}
