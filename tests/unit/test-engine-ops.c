/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What operators ask for: remap, unmap (promises 1, 3 and 13 of
 * remap-promises(7)), retry, forget; what is counted.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine-operators.h"

/* The content goes along, or the sector becomes LOST; whole blocks. */
static void
test_remap (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 12, 1, ZERO, 0);
  sim_bad (r.main, SIM_READ, 14, 1, EIO);
  sim_bad (r.main, SIM_READ, 15, 1, EIO);
  sim_recover (r.main, 15, 1);
  CU_ASSERT_EQUAL (remap (&r, 10, 8), 0);
  CU_ASSERT (result_is (7, 1, 1));
  CU_ASSERT_EQUAL (res.first_bad, 14);
  CU_ASSERT_STRING_EQUAL (states (&r, 9, 10), "DRRZRLRRRD");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), SEC (2), 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (15), SEC (3), 1), 0);
  CU_ASSERT_EQUAL (counter (&r, COUNT_MANUAL_REMAPS), 6);
  CU_ASSERT_EQUAL (counter (&r, COUNT_LOST), 1);

  CU_ASSERT_EQUAL (remap (&r, 0, 0), EINVAL);
  CU_ASSERT_EQUAL (remap (&r, 8192, 1), EINVAL);
  CU_ASSERT_EQUAL (remap (&r, 8191, 2), EINVAL);
  CU_ASSERT_EQUAL (remap (&r, 1, UINT64_MAX), EINVAL);
  CU_ASSERT_EQUAL (remap (&r, 8191, 1), 0);
  rig_end (&r);
}

static void
test_remap_blocks (void)
{
  const struct rig_options o = { .block = 4096, .size = MIB + 1000 };
  struct engine_rig r;

  rig_init (&r, &o);
  CU_ASSERT_EQUAL (remap (&r, 11, 1), 0);
  CU_ASSERT (result_is (8, 0, 0));
  CU_ASSERT_EQUAL (remap (&r, 2049, 1), 0);
  CU_ASSERT (result_is (2, 0, 0));
  CU_ASSERT_EQUAL (rig_read (&r, MIB, 1000, 1), 0);
  CU_ASSERT_EQUAL (totals (&r).remapped, 10);
  CU_ASSERT_EQUAL (unmap (&r, 0, 2050), 0);
  CU_ASSERT (result_is (10, 2040, 0));
  CU_ASSERT_EQUAL (totals (&r).runs, 0);
  rig_end (&r);
}

/* Back to main: written, flushed, read and compared. */
static void
test_unmap (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 10, 4, REMAPPED, 2);
  set_state (&r, 14, 2, ZERO, 0);
  set_state (&r, 20, 2, LOST, 0);
  CU_ASSERT_EQUAL (unmap (&r, 8, 20), 0);
  CU_ASSERT (result_is (6, 14, 0));
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 14), "DDDDDDDDDDDDLL");
  CU_ASSERT (main_holds (&r, SEC (10), SEC (4), 2));
  CU_ASSERT (main_holds (&r, SEC (14), SEC (2), 0));
  CU_ASSERT (main_holds (&r, SEC (20), SEC (2), 1));
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 1);

  /* What can't be written, read back or compared stays. */
  set_state (&r, 10, 4, REMAPPED, 3);
  sim_bad (r.main, SIM_WRITE, 10, 1, EIO);
  sim_bad (r.main, SIM_READ, 11, 1, EIO);
  CU_ASSERT_EQUAL (unmap (&r, 10, 4), 0);
  CU_ASSERT (result_is (2, 0, 2));
  CU_ASSERT_EQUAL (res.first_bad, 10);
  CU_ASSERT_STRING_EQUAL (states (&r, 10, 4), "RRDD");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), SEC (4), 3), 0);

  /* A failed flush: not unmapped, and told to clients. */
  sim_bad (r.main, 0, 10, 2, 0);
  sim_fail (r.main, SIM_FLUSH, 1, EIO);
  CU_ASSERT_EQUAL (unmap (&r, 10, 1), 0);
  CU_ASSERT (result_is (0, 0, 1));
  CU_ASSERT_EQUAL (*states (&r, 10, 1), 'R');
  CU_ASSERT_EQUAL (rig_flush (&r), EIO);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);

  /* The record fails: still mapped. */
  memdev_fail (r.mem, MEMDEV_FLUSH, 1, EIO, true);
  CU_ASSERT_EQUAL (unmap (&r, 10, 1), EIO);
  CU_ASSERT_EQUAL (*states (&r, 10, 1), 'R');
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), SEC (2), 3), 0);
  rig_end (&r);
}

/* A disk that takes writes and returns something else. */
static void
lie (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  struct simdisk *s = opaque;

  if (op == SIM_FLUSH) {
    pthread_mutex_lock (&s->lock);
    s->data[SEC (10) + 511] ^= 1;
    pthread_mutex_unlock (&s->lock);
  }
}

static void
test_unmap_compares (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 10, 1, REMAPPED, 2);
  r.main->hook = lie;
  r.main->hook_opaque = r.main;
  CU_ASSERT_EQUAL (unmap (&r, 10, 1), 0);
  CU_ASSERT (result_is (0, 0, 1));
  CU_ASSERT_EQUAL (*states (&r, 10, 1), 'R');
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), SEC (1), 2), 0);
  rig_end (&r);
}

/* LOST is read again, and only LOST. */
static void
test_retry (void)
{
  for (uint32_t block = 512; block <= 4096; block *= 8) {
    const struct rig_options o = { .block = block };
    const unsigned n = block / 512;
    struct engine_rig r;

    rig_init (&r, &o);
    set_state (&r, 8, 2 * n, LOST, 0);
    set_state (&r, 8 + n, 1, REMAPPED, 2);
    sim_bad (r.main, SIM_READ, 8, 1, EIO);
    sim_reset (r.main);
    CU_ASSERT_EQUAL (retry (&r, 0, 100), 0);
    CU_ASSERT_EQUAL (res.done, n - 1);
    CU_ASSERT_EQUAL (res.bad, n);
    CU_ASSERT_EQUAL (res.first_bad, 8);
    CU_ASSERT_EQUAL (sim_failed (r.main, SIM_READ), 2);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (8 + n), 512, 2), 0);
    if (n > 1)
      CU_ASSERT_EQUAL (rig_read (&r, SEC (9 + n), SEC (n - 1), 1), 0);
    CU_ASSERT_EQUAL (counter (&r, COUNT_RECOVERED), n - 1);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (8), 512, 1), EIO);
    sim_bad (r.main, 0, 8, 1, 0);
    CU_ASSERT_EQUAL (retry (&r, 8, 1), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (8), block, 1), 0);
    CU_ASSERT_EQUAL (totals (&r).remapped, 2 * n);
    rig_end (&r);
  }
}

static void
test_forget (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 8, 4, LOST, 0);
  set_state (&r, 12, 4, REMAPPED, 2);
  CU_ASSERT_EQUAL (forget (&r, 10, 10), 0);
  CU_ASSERT (result_is (2, 8, 0));
  CU_ASSERT_STRING_EQUAL (states (&r, 7, 10), "DLLZZRRRRD");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), SEC (2), 0), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (12), SEC (4), 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_ALL), 0);
  rig_end (&r);
}

/* They stop at an error that isn't about one block. */
static void
test_stop (void)
{
  const struct rig_options o = { .spare_size = MIB };
  struct spare_status st;
  struct engine_rig r;

  rig_init (&r, &o);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (remap (&r, 0, st.slots_free + 10), ENOSPC);
  CU_ASSERT (result_is (st.slots_free, 0, 0));
  sim_fail (r.main, SIM_WRITE, 3, ENOMEM);
  CU_ASSERT_EQUAL (unmap (&r, 0, 1000), ENOMEM);
  CU_ASSERT (result_is (512, 0, 0));
  CU_ASSERT_EQUAL (rig_read (&r, 0, SEC (20), 1), 0);
  rig_end (&r);
}

/* What is counted for clients' requests. */
static void
test_counters (void)
{
  struct engine_status st;
  struct engine_rig r;

  rig_init (&r, NULL);
  CU_ASSERT_EQUAL (health (&r), HEALTH_OK);
  sim_bad (r.main, SIM_MODIFY, 10, 3, EIO);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (8), SEC (8), 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (8), SEC (8), 2), 0);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (20), SEC (2)), 0);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  sim_bad (r.main, SIM_READ, 50, 2, EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (50), SEC (1), 2), EIO);
  engine_get_status (r.e, &st);
  CU_ASSERT_EQUAL (st.stat[STAT_WRITES], 1);
  CU_ASSERT_EQUAL (st.stat[STAT_WRITE_BYTES], SEC (8));
  CU_ASSERT_EQUAL (st.stat[STAT_READS], 2);
  CU_ASSERT_EQUAL (st.stat[STAT_READ_BYTES], SEC (9));
  CU_ASSERT_EQUAL (st.stat[STAT_ZEROS], 1);
  CU_ASSERT_EQUAL (st.stat[STAT_FLUSHES], 1);
  CU_ASSERT_EQUAL (st.stat[STAT_MAIN_WRITE_ERRORS],
                   sim_failed (r.main, SIM_MODIFY));
  CU_ASSERT_EQUAL (st.stat[STAT_MAIN_READ_ERRORS],
                   sim_failed (r.main, SIM_READ));
  CU_ASSERT_EQUAL (st.totals.remapped, 3);
  CU_ASSERT_EQUAL (st.spare.counters[COUNT_AUTO_REMAPS], 3);
  CU_ASSERT_EQUAL (st.spare.counters[COUNT_LOST], 1);
  CU_ASSERT_EQUAL (st.health, HEALTH_DEGRADED);
  CU_ASSERT_STRING_EQUAL (engine_health_name (st.health), "degraded");
  CU_ASSERT_EQUAL (engine_main_size (r.e), 4 * MIB);
  rig_end (&r);
}

/* Of a block that stays bad the LOST sectors are reported, and no others. */
static void
test_retry_reports (void)
{
  const struct rig_options o = { .block = 4096 };
  struct engine_rig r;

  rig_init (&r, &o);
  set_state (&r, 11, 1, LOST, 0);
  set_state (&r, 13, 2, LOST, 0);
  sim_bad (r.main, SIM_READ, 8, 8, EIO);
  CU_ASSERT_EQUAL (retry (&r, 8, 8), 0);
  CU_ASSERT (result_is (0, 5, 3));
  CU_ASSERT_EQUAL (res.first_bad, 11);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "DDDLDLLD");
  rig_end (&r);
}

/* Where one block of many refuses, each is tried alone: another one that
 * returns something else is bad as well.
 */
static void
test_unmap_singly (void)
{
  /* In one call, and in four of which the third one fails. */
  static const uint32_t calls[] = { 0, 1024 };

  for (int i = 0; i < 2; i++) {
    const struct rig_options o = { .max_call = calls[i] };
    struct engine_rig r;

    rig_init (&r, &o);
    set_state (&r, 8, 8, REMAPPED, 2);
    sim_bad (r.main, SIM_MODIFY, 13, 1, EIO);
    r.main->hook = lie;
    r.main->hook_opaque = r.main;
    CU_ASSERT_EQUAL (unmap (&r, 8, 8), 0);
    CU_ASSERT (result_is (6, 0, 2));
    CU_ASSERT_EQUAL (res.first_bad, 10);
    CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "DDRDDRDD");
    /* The piece: up to what failed; then seven that succeed, and one. */
    CU_ASSERT_EQUAL (sim_calls (r.main, SIM_WRITE), (i == 0 ? 1 : 3) + 8);
    r.main->hook = NULL;
    CU_ASSERT_EQUAL (rig_read (&r, SEC (8), SEC (8), 2), 0);
    rig_end (&r);
  }
}

/* A read that times out leaves in doubt what was written before it. */
static void
test_unmap_late (void)
{
  struct engine_status st;
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 8, 8, REMAPPED, 2);
  sim_bad (r.main, SIM_READ, 13, 1, ETIMEDOUT);
  CU_ASSERT_EQUAL (unmap (&r, 8, 8), 0);
  CU_ASSERT (result_is (0, 8, 0));
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "RRRRRRRR");
  engine_get_status (r.e, &st);
  CU_ASSERT_EQUAL (st.late, 8);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (8), SEC (8), 2), 0);
  rig_end (&r);
}

/* What is gathered is taken away at the first read of main; what becomes of
 * the next one.
 */
struct thief {
  struct engine_rig *r;
  enum { THIEF_LEAVES, THIEF_SPOILS, THIEF_UNPLUGS } then;
  unsigned reads;
};

static void
steal (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  struct thief *t = opaque;
  struct exclusive_hold hold;

  /* Not of those that are asked for a sign of life. */
  if (op != SIM_READ || offset != SEC (8))
    return;
  t->reads++;
  if (t->reads == 1) {
    range_lock_exclusive (t->r->e->ranges, &hold, offset, offset + count);
    range_unlock_exclusive (t->r->e->ranges, &hold);
  }
  else if (t->then == THIEF_SPOILS)
    sim_bad (t->r->main, SIM_READ, sector_of (offset), 1, EIO);
  else if (t->then == THIEF_UNPLUGS)
    sim_gone (t->r->main, ENODEV);
}

static bool
stop_then (void *opaque)
{
  const struct thief *t = opaque;

  return t->reads > 1;
}

static void
check_stolen (int then, bool stops, int err, const char *after)
{
  struct engine_rig r;
  struct thief t = { .r = &r, .then = then };
  const struct engine_watch watch = { .stop = stop_then, .opaque = &t };

  rig_init (&r, NULL);
  set_state (&r, 8, 2, LOST, 0);
  r.main->hook = steal;
  r.main->hook_opaque = &t;
  CU_ASSERT_EQUAL (engine_retry (&r.conn, 8, 1, stops ? &watch : NULL, &res),
                   err);
  r.main->hook = NULL;
  sim_gone (r.main, 0);
  CU_ASSERT (t.reads >= 2);
  CU_ASSERT_EQUAL (res.done, *after == 'R');
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 2), after);
  rig_check_idle (&r);
  rig_end (&r);
}

static void
test_retry_singly (void)
{
  check_stolen (THIEF_LEAVES, false, 0, "RL");
  check_stolen (THIEF_LEAVES, true, ECANCELED, "RL");
  check_stolen (THIEF_SPOILS, false, 0, "LL");
  CU_ASSERT (result_is (0, 0, 1) && res.first_bad == 8);
  check_stolen (THIEF_UNPLUGS, false, EIO, "LL");
  CU_ASSERT (result_is (0, 0, 0));
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "remap", test_remap },
    { "remap and unmap whole blocks", test_remap_blocks },
    { "unmap", test_unmap },
    { "unmap compares", test_unmap_compares },
    { "retry", test_retry },
    { "forget", test_forget },
    { "stop", test_stop },
    { "counters", test_counters },
    { "retry a block", test_retry_reports },
    { "unmap block by block", test_unmap_singly },
    { "unmap times out", test_unmap_late },
    { "retry block by block", test_retry_singly },
    { NULL }
  };

  return run_tests (argc, argv, "engine-ops", tests);
}
