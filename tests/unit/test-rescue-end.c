/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Copying in order, what operators ask for with a copy, and the end of a rescue
 * (promises 25, 30 and 33 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "engine/copying.h"
#include "engine/finish.h"
#include "engine/settle.h"
#include "rescue-rig.h"
#include "spare/copy-id.h"

#define SECTORS 8192            /* of the rig's main */

static uint64_t
copy_all (struct rescue_rig *rr, struct copier *c)
{
  uint64_t steps = 0;
  bool done = false;

  copier_begin (c, rr->r.e, 0, SECTORS);
  while (!done && steps < 10000) {
    CU_ASSERT_EQUAL_FATAL (copier_step (c, &rr->r.conn, &done), 0);
    steps++;
  }
  return steps;
}

static struct finish_result
finish (struct rescue_rig *rr, struct finish_options o, int wanted)
{
  struct finish_result res;

  CU_ASSERT_EQUAL (engine_rescue_finish (&rr->r.conn, &o, NULL, &res), wanted);
  return res;
}

static bool
says_alone (struct rescue_rig *rr)
{
  struct copy_id id;
  bool there;

  CU_ASSERT_EQUAL (copy_id_read (rr->r.spare, &id, &there), 0);
  return id.is_alone;
}

/* In order, each sector once, around what clients have done. */
static void
test_copy (void)
{
  struct copier c = { 0 };
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  CU_ASSERT_EQUAL (rig_write (r, SEC (100), SEC (8), 2), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (3000), SEC (8), 1), 0);
  CU_ASSERT_EQUAL (copy_all (&rr, &c), 7);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 7);
  CU_ASSERT_EQUAL (c.copied, SECTORS - 8 - 8);
  CU_ASSERT_EQUAL (settle_all (r->e), 0);
  CU_ASSERT_EQUAL (totals (r).kept, SECTORS - 8);
  CU_ASSERT_EQUAL (totals (r).written, 8);
  CU_ASSERT (copy_holds (&rr, 0, SEC (100), 1));
  CU_ASSERT (copy_holds (&rr, SEC (108), SEC (SECTORS - 108), 1));
  /* Nothing is left. */
  sim_reset (r->main);
  CU_ASSERT_EQUAL (copy_all (&rr, &c), 1);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 0);
  rescue_end (&rr);

  /* Bad sectors become LOST, once; the rest is copied all the same. */
  rescue_init (&rr, NULL);
  sim_bad (r->main, SIM_READ, 500, 2, EIO);
  sim_bad (r->main, SIM_READ, 8191, 1, EIO);
  copy_all (&rr, &c);
  CU_ASSERT_EQUAL (settle_all (r->e), 0);
  CU_ASSERT_EQUAL (totals (r).lost, 3);
  CU_ASSERT_EQUAL (totals (r).kept, SECTORS - 3);
  sim_reset (r->main);
  copy_all (&rr, &c);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 0);
  rescue_end (&rr);

  /* A full copy: it is tried again later, and nothing is passed over. */
  rescue_init (&rr, NULL);
  memdev_set_bad (rr.copy, MEMDEV_WRITE, 0, 4 * MIB, ENOSPC);
  copier_begin (&c, r->e, 0, SECTORS);
  bool done;
  CU_ASSERT_EQUAL (copier_step (&c, &r->conn, &done), ENOSPC);
  CU_ASSERT_EQUAL (c.at, 0);
  memdev_set_bad (rr.copy, 0, 0, 4 * MIB, 0);
  r->now_ms += 1000;
  copy_all (&rr, &c);
  CU_ASSERT_EQUAL (settle_all (r->e), 0);
  CU_ASSERT_EQUAL (totals (r).kept, SECTORS);
  rescue_end (&rr);
}

/* Promise 33: it yields. */
static void
test_pace (void)
{
  struct copier c = { 0 };
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;
  bool done;

  rescue_init (&rr, NULL);
  r->now_ms += 100000;
  copier_begin (&c, r->e, 0, SECTORS);
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), 0);
  CU_ASSERT_EQUAL (copier_step (&c, &r->conn, &done), 0);
  /* Its own reads are no client's. */
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), 0);
  CU_ASSERT_EQUAL (rig_read (r, 3 * MIB, SEC (1), 1), 0);
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), COPYING_IDLE_MS);
  r->now_ms += COPYING_IDLE_MS - 1;
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), 1);
  r->now_ms++;
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), 0);
  /* The floor: 1 MiB a second, however busy clients are. */
  r->now_ms = c.piece_ms + 990;
  CU_ASSERT_EQUAL (rig_read (r, 3 * MIB + 4096, SEC (1), 1), 0);
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), 10);
  r->now_ms += 10;
  CU_ASSERT_EQUAL (rig_read (r, 3 * MIB + 8192, SEC (1), 1), 0);
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), 0);
  /* The limit. */
  c.rate = MIB / 4;
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), 3000);
  c.rate = 0;

  /* Beside an error: after 30 s, or for a twentieth of the time. */
  sim_bad (r->main, SIM_READ, 2048, 1, EIO);
  r->now_ms += 100;
  CU_ASSERT_EQUAL (copier_step (&c, &r->conn, &done), 0);
  c.risky_ms = 6000;
  c.began_ms = r->now_ms;
  CU_ASSERT_EQUAL (rig_read (r, 3 * MIB + 12288, SEC (1), 1), 0);
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), COPYING_RISKY_IDLE_MS);
  r->now_ms += COPYING_RISKY_IDLE_MS;
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), 0);
  CU_ASSERT_EQUAL (rig_read (r, 3 * MIB + 16384, SEC (1), 1), 0);
  r->now_ms = c.began_ms + 6000 * COPYING_RISKY_PART - 7;
  CU_ASSERT_EQUAL (rig_read (r, 3 * MIB + 20480, SEC (1), 1), 0);
  CU_ASSERT_EQUAL (copier_wait_ms (&c, r->e), 7);
  rescue_keep (&rr);
  rescue_end (&rr);
}

/* Promise 30. */
static void
test_finish (void)
{
  const struct rig_options large = { .copy_block = 4096 };
  struct finish_options o = { .marker = true };
  struct engine_result retried;
  struct finish_result res;
  struct engine_status st;
  struct copier c = { 0 };
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;
  uint8_t text[SECTOR_SIZE];

  for (int i = 0; i < 2; i++) {
    rescue_init (&rr, i ? &large : NULL);
    set_state (r, 40, 3, REMAPPED, 5);
    CU_ASSERT_EQUAL (rig_zero (r, SEC (100), SEC (30)), 0);
    sim_bad (r->main, SIM_READ, 600, 1, EIO);
    res = finish (&rr, o, EBUSY);
    CU_ASSERT_EQUAL (res.direct, SECTORS - 33);
    copy_all (&rr, &c);
    CU_ASSERT_EQUAL (rig_write (r, SEC (200), SEC (4), 3), 0);
    res = finish (&rr, o, 0);
    CU_ASSERT_EQUAL (res.moved, 33);
    CU_ASSERT_EQUAL (res.stayed, 0);
    CU_ASSERT_EQUAL (res.lost, 1);
    CU_ASSERT_EQUAL (res.different, 0);
    CU_ASSERT (res.compared > 0);
    CU_ASSERT (res.main_not_needed);
    CU_ASSERT (res.copy_alone);
    CU_ASSERT (says_alone (&rr));
    /* All of it, raw; and the lost one says so. */
    CU_ASSERT (copy_holds (&rr, 0, SEC (40), 1));
    CU_ASSERT (copy_holds (&rr, SEC (40), SEC (3), 5));
    CU_ASSERT (copy_holds (&rr, SEC (100), SEC (30), 0));
    CU_ASSERT (copy_holds (&rr, SEC (200), SEC (4), 3));
    finish_marker (600, text);
    CU_ASSERT_EQUAL (memcmp (rr.copy->data + SEC (600), text, sizeof text), 0);
    CU_ASSERT_EQUAL (memdev_unflushed (rr.copy, rr.copy->nevents), 0);

    /* Main may go: nobody notices. */
    sim_gone (r->main, ENODEV);
    CU_ASSERT_EQUAL (rig_read (r, SEC (41), SEC (2), 5), 0);
    CU_ASSERT_EQUAL (rig_read (r, 0, SEC (40), 1), 0);
    CU_ASSERT (engine_retry (&r->conn, 600, 1, NULL, &retried) != 0);
    CU_ASSERT_EQUAL (rig_write (r, SEC (600), SEC (1), 6), 0);
    CU_ASSERT_EQUAL (rig_flush (r), 0);
    engine_get_status (r->e, &st);
    CU_ASSERT_EQUAL (st.health, HEALTH_OK);
    CU_ASSERT (st.copy.main_not_needed);
    CU_ASSERT (st.copy.alone);
    /* A restart changes nothing of it; a sector that goes elsewhere does,
     * before it does.
     */
    sim_gone (r->main, 0);
    rescue_restart (&rr, false);
    engine_get_status (r->e, &st);
    CU_ASSERT (st.copy.alone);
    memdev_set_bad (rr.copy, MEMDEV_WRITE, SEC (48), 512, EIO);
    CU_ASSERT_EQUAL (rig_write (r, SEC (48), SEC (1), 7), 0);
    CU_ASSERT (!says_alone (&rr));
    res = finish (&rr, o, 0);
    CU_ASSERT (res.stayed > 0);
    CU_ASSERT_EQUAL (res.first_stayed, 48);
    CU_ASSERT (res.main_not_needed);
    CU_ASSERT (!res.copy_alone);
    memdev_set_bad (rr.copy, 0, SEC (48), 512, 0);
    res = finish (&rr, o, 0);
    CU_ASSERT (res.copy_alone);
    rescue_end (&rr);
  }
}

/* A sector that becomes ZERO, pending, takes the word back, too. */
static void
test_withdrawn (void)
{
  struct finish_options o = { .give_up = true };
  struct finish_result res;
  struct copier c = { 0 };
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  copier_begin (&c, r->e, 0, 2048);
  for (bool done = false; !done;)
    CU_ASSERT_EQUAL_FATAL (copier_step (&c, &r->conn, &done), 0);
  sim_reset (r->main);
  res = finish (&rr, o, 0);
  CU_ASSERT_EQUAL (res.given_up, SECTORS - 2048);
  CU_ASSERT_EQUAL (res.lost, SECTORS - 2048);
  CU_ASSERT (res.copy_alone);
  /* What it held before isn't there any more. */
  CU_ASSERT (copy_holds (&rr, SEC (2048), SEC (SECTORS - 2048), 0));
  CU_ASSERT (sim_calls (r->main, SIM_READ) <= 64);
  CU_ASSERT (says_alone (&rr));
  CU_ASSERT_EQUAL (rig_zero (r, SEC (4000), SEC (8)), 0);
  CU_ASSERT (!says_alone (&rr));
  res = finish (&rr, o, 0);
  CU_ASSERT_EQUAL (res.moved, 8);
  CU_ASSERT (res.copy_alone);
  /* The spare can't take it back: then the change isn't made. */
  memdev_set_bad (r->mem, MEMDEV_WRITE, 0, r->mem->size, EIO);
  CU_ASSERT_EQUAL (rig_zero (r, SEC (4100), SEC (8)), EIO);
  CU_ASSERT_EQUAL (rig_read (r, SEC (4100), SEC (1), 0), EIO);
  memdev_set_bad (r->mem, 0, 0, r->mem->size, 0);
  rescue_restart (&rr, false);
  CU_ASSERT (says_alone (&rr));
  rescue_end (&rr);

  /* The copy isn't what main is. */
  rescue_init (&rr, NULL);
  copy_all (&rr, &c);
  CU_ASSERT_EQUAL (settle_all (r->e), 0);
  rr.copy->data[SEC (77) + 5] ^= 1;
  o = (struct finish_options) { .verify = true };
  res = finish (&rr, o, 0);
  CU_ASSERT_EQUAL (res.different + 0, 8);
  CU_ASSERT_EQUAL (res.first_different, 72);
  CU_ASSERT_EQUAL (res.compared, SECTORS);
  rescue_end (&rr);
}

/* What operators ask for. */
static void
test_operators (void)
{
  struct engine_result res;
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  sim_bad (r->main, SIM_READ, 12, 1, EIO);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (1), 2), 0);
  CU_ASSERT_EQUAL (engine_remap (&r->conn, 8, 8, WHY_MANUAL, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.done, 7);
  CU_ASSERT_EQUAL (res.left, 1);
  CU_ASSERT_EQUAL (res.bad, 1);
  CU_ASSERT_EQUAL (res.first_bad, 12);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 7, 10), "DKKWKLKKKD");
  CU_ASSERT_EQUAL (engine_verify (&r->conn, 8, 8, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.bad, 1);
  memdev_set_bad (rr.copy, MEMDEV_READ, SEC (14), 512, EIO);
  CU_ASSERT_EQUAL (engine_verify (&r->conn, 8, 8, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.bad, 2);
  memdev_set_bad (rr.copy, 0, SEC (14), 512, 0);
  /* LOST sectors that can be read again. */
  sim_bad (r->main, 0, 12, 1, 0);
  CU_ASSERT_EQUAL (engine_retry (&r->conn, 8, 8, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.done, 1);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 12, 1), "W");
  CU_ASSERT (copy_holds (&rr, SEC (12), SEC (1), 1));
  /* One that a client wrote meanwhile isn't LOST any more. */
  CU_ASSERT_EQUAL (engine_declare_lost (r->e, 30, 4, WHY_IMPORT, NULL, &res),
                   0);
  CU_ASSERT_EQUAL (res.done, 4);
  CU_ASSERT_EQUAL (engine_declare_lost (r->e, 8, 4, WHY_IMPORT, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.done, 0);
  CU_ASSERT_EQUAL (rig_write (r, SEC (31), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (engine_forget_lost (r->e, 30, 4, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.done, 3);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 30, 4), "ZwZZ");
  CU_ASSERT_EQUAL (rig_read (r, SEC (31), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (engine_unmap (&r->conn, 30, 4, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.done, 3);
  CU_ASSERT_EQUAL (res.left, 1);
  CU_ASSERT_EQUAL (engine_unmap (&r->conn, SECTORS, 1, NULL, &res), EINVAL);
  CU_ASSERT_EQUAL (engine_remap (&r->conn, 0, SECTORS + 1, WHY_MANUAL, NULL,
                                 &res), EINVAL);
  rescue_end (&rr);
}

/* A slot is given up only when the copy can't lose the sector any more (promise
 * 27).
 */
static void
test_power_fails (void)
{
  struct engine_result res;
  struct rescue_rig rr;
  uint64_t seed = 1;

  for (int i = 0; i < 8; i++) {
    rescue_init (&rr, NULL);
    rr.copy->recording = true;
    set_state (&rr.r, 40, 8, REMAPPED, 5);
    CU_ASSERT_EQUAL (engine_unmap (&rr.r.conn, 40, 8, NULL, &res), 0);
    CU_ASSERT_EQUAL (res.done, 8);
    rescue_cut_power (&rr, &seed);
    rescue_crash (&rr);
    CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 40, 8), "WWWWWWWW");
    CU_ASSERT_EQUAL (rig_read (&rr.r, SEC (40), SEC (8), 5), 0);
    rescue_end (&rr);
  }
}

/* What is pending takes more room in the log than what is recorded: that is no
 * reason not to keep, or not to record (promise 27).
 */
static void
test_room (void)
{
  const struct rig_options o = { .spare_size = MIB };
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, &o);
  for (sector_t s = 0; s < SECTORS; s++) {
    CU_ASSERT_EQUAL (rig_read (r, SEC (s), SEC (1), 1), 0);
    rescue_keep (&rr);
  }
  CU_ASSERT_EQUAL (stat_of (r, STAT_KEPT), SECTORS);
  CU_ASSERT_EQUAL (stat_of (r, STAT_NOT_KEPT), 0);
  rescue_end (&rr);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "copying in order (promise 25)", test_copy },
    { "it yields (promise 33)", test_pace },
    { "the end (promise 30)", test_finish },
    { "what is taken back (promise 30)", test_withdrawn },
    { "operators", test_operators },
    { "room in the log (promise 27)", test_room },
    { "the power fails (promise 27)", test_power_fails },
    { NULL }
  };

  return run_tests (argc, argv, "rescue-end", tests);
}
