/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The copy: what is read is kept, what is written goes there alone, and what of
 * that is durable when (promises 8, 9, 24 to 29 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/keep.h"
#include "engine/request.h"
#include "engine/settle.h"
#include "engine/touched.h"
#include "rescue-rig.h"

/* What is read is answered at once, kept behind, and read from main once. */
static void
test_keep (void)
{
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (4), 1), 0);
  CU_ASSERT_EQUAL (rr.copy->writes, 0);
  /* From memory. */
  CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (4), 1), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (9) + 10, 700, 1), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 1);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 7, 6), "DDDDDD");
  CU_ASSERT_EQUAL (rescue_keep (&rr), 1);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 7, 6), "DkkkkD");
  CU_ASSERT (copy_holds (&rr, SEC (8), SEC (4), 1));
  CU_ASSERT (copy_holds (&rr, 0, SEC (8), JUNK));
  CU_ASSERT_EQUAL (stat_of (r, STAT_KEPT), 4);

  /* From the copy; what is beside it, from main. */
  CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (4), 1), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 1);
  CU_ASSERT_EQUAL (rig_read (r, SEC (6), SEC (8), 1), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 3);
  CU_ASSERT_EQUAL (rescue_keep (&rr), 2);
  /* Parts of sectors. */
  CU_ASSERT_EQUAL (rig_read (r, SEC (20) + 100, 700, 1), 0);
  CU_ASSERT_EQUAL (rescue_keep (&rr), 2);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 5);

  /* Recorded, in few runs; after a restart main isn't asked for it. */
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  CU_ASSERT_STRING_EQUAL (states (r, 5, 18), "DKKKKKKKKDDDDDDKKD");
  CU_ASSERT_EQUAL (totals (r).runs, 2);
  rescue_restart (&rr, false);
  sim_reset (r->main);
  CU_ASSERT_EQUAL (rig_read (r, SEC (6), SEC (8), 1), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (20) + 5, 900, 1), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 0);

  /* All of it, in order, is one run, whatever was flushed in between. */
  for (uint64_t at = 0; at < 4 * MIB; at += 100 * KIB) {
    CU_ASSERT_EQUAL (rig_read (r, at, min_u64 (100 * KIB, 4 * MIB - at), 1),
                     0);
    rescue_keep (&rr);
    CU_ASSERT_EQUAL (settle_all (r->e), 0);
  }
  CU_ASSERT_EQUAL (totals (r).runs, 1);
  CU_ASSERT_EQUAL (totals (r).kept, 8192);
  CU_ASSERT (copy_holds (&rr, 0, 4 * MIB, 1));
  rescue_end (&rr);
}

/* Memory is bounded; and a copy that can't keep costs no reader anything
 * (promise 26).
 */
static void
test_not_kept (void)
{
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  rr.config.keep_bytes = 64 * KIB;
  rescue_restart (&rr, true);
  CU_ASSERT_EQUAL (rig_read (r, 0, 48 * KIB, 1), 0);
  CU_ASSERT_EQUAL (rig_read (r, MIB, 48 * KIB, 1), 0);
  CU_ASSERT_EQUAL (stat_of (r, STAT_NOT_KEPT), 96);
  CU_ASSERT_EQUAL (rescue_keep (&rr), 1);
  CU_ASSERT_EQUAL (rig_read (r, MIB, 48 * KIB, 1), 0);
  CU_ASSERT_EQUAL (rescue_keep (&rr), 1);

  memdev_set_bad (rr.copy, MEMDEV_WRITE, 0, 4 * MIB, ENOSPC);
  CU_ASSERT_EQUAL (rig_read (r, 2 * MIB, SEC (8), 1), 0);
  CU_ASSERT_EQUAL (rescue_keep (&rr), 1);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 4096, 8), "DDDDDDDD");
  memdev_set_bad (rr.copy, 0, 0, 4 * MIB, 0);
  /* It is tried again, but not at once. */
  CU_ASSERT_EQUAL (rig_read (r, 2 * MIB, SEC (8), 1), 0);
  rescue_keep (&rr);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 4096, 8), "DDDDDDDD");
  r->now_ms += 1000;
  CU_ASSERT_EQUAL (rig_read (r, 2 * MIB, SEC (8), 1), 0);
  rescue_keep (&rr);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 4096, 8), "kkkkkkkk");
  /* A bad place of the copy. */
  memdev_set_bad (rr.copy, MEMDEV_WRITE, 3 * MIB, 512, EIO);
  CU_ASSERT_EQUAL (rig_read (r, 3 * MIB, SEC (8), 1), 0);
  rescue_keep (&rr);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 6144, 8), "DDDDDDDD");
  CU_ASSERT_EQUAL (rig_read (r, 3 * MIB, SEC (8), 1), 0);
  rescue_end (&rr);
}

/* Two readers, one read (promise 25). */
static void
test_join (void)
{
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;
  struct job first, second;
  struct request request;
  uint8_t buf[SEC (10)];
  uint64_t done;

  rescue_init (&rr, NULL);
  sim_close (r->main, 0, SIM_READ, 0, 4 * MIB, false);
  job_start (&first, r, JOB_READ, SEC (8), SEC (8), 1);
  sim_wait (r->main, 0, 1);
  job_start (&second, r, JOB_READ, SEC (10), SEC (4), 1);
  CU_ASSERT_FALSE (job_ended_early (&second));
  CU_ASSERT_EQUAL (r->main->gate[0].waiting, 1);
  sim_open (r->main, 0);
  CU_ASSERT_EQUAL (job_end (&first), 0);
  CU_ASSERT_EQUAL (job_end (&second), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 1);
  rescue_keep (&rr);

  /* What is written meanwhile isn't what was asked for: a reader that comes
   * after that doesn't join, and it isn't kept over.
   */
  sim_close (r->main, 0, SIM_READ, 0, 4 * MIB, true);
  job_start (&first, r, JOB_READ, SEC (100), SEC (8), 1);
  sim_wait (r->main, 0, 1);
  CU_ASSERT_EQUAL (rig_write (r, SEC (102), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (102), SEC (2), 2), 0);
  sim_open (r->main, 0);
  job_end (&first);
  CU_ASSERT_EQUAL (rig_read (r, SEC (102), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rescue_keep (&rr), 1);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 100, 8), "kkwwkkkk");
  CU_ASSERT_EQUAL (rig_read (r, SEC (102), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (104), SEC (4), 1), 0);

  /* The same between a reader's two looks at the state. */
  request_init (&request, &r->conn, SEC (104), SEC (4));
  CU_ASSERT_EQUAL (keep_read (&request, buf, SEC (104), SEC (108), &done),
                   LOOK_AGAIN);
  CU_ASSERT_EQUAL (keep_read_block (&request, buf, SEC (104), SEC (104) + 5,
                                    SEC (104) + 9), LOOK_AGAIN);
  CU_ASSERT_EQUAL (keep_read (&request, buf, SEC (98), SEC (108), &done), 0);
  CU_ASSERT_EQUAL (done, SEC (100));
  rescue_end (&rr);

  /* If the shared read fails the second reader reads its own blocks. */
  rescue_init (&rr, NULL);
  sim_bad (r->main, SIM_READ, 8, 1, EIO);
  sim_close (r->main, 0, SIM_READ, 0, 4 * MIB, false);
  r->main->gate[0].quota = 1;
  job_start (&first, r, JOB_READ, SEC (8), SEC (8), 1);
  sim_wait (r->main, 0, 1);
  job_start (&second, r, JOB_READ, SEC (10), SEC (4), 1);
  CU_ASSERT_FALSE (job_ended_early (&second));
  sim_open (r->main, 0);
  CU_ASSERT_EQUAL (job_end (&first), EIO);
  CU_ASSERT_EQUAL (job_end (&second), 0);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 7, 3), "DLD");
  rescue_end (&rr);
}

/* A write goes to the copy, is visible at once, and durable with the next
 * FLUSH: the copy is flushed, and then it is recorded (promise 27).
 */
static unsigned order_of_copy, order_of_spare, order;

static void
note_copy (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  if (op == MEMDEV_FLUSH)
    order_of_copy = ++order;
}

static void
note_spare (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  if (op == MEMDEV_WRITE && order_of_spare == 0)
    order_of_spare = ++order;
}

static void
test_write (void)
{
  struct spare_status st;
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;
  uint64_t commits;

  rescue_init (&rr, NULL);
  spare_get_status (r->spare, &st);
  commits = st.commits;
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (5), 2), 0);
  CU_ASSERT_EQUAL (rig_write (r, SEC (12), SEC (1), 3), 0);
  spare_get_status (r->spare, &st);
  CU_ASSERT_EQUAL (st.commits, commits);
  CU_ASSERT_EQUAL (rr.copy->flushes, 0);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 9, 7), "DwwwwwD");
  CU_ASSERT_EQUAL (rig_read (r, SEC (12), SEC (1), 3), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (13), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 0);

  /* Killed: main's. */
  rescue_restart (&rr, false);
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (5), 1), 0);

  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (5), 2), 0);
  rr.copy->hook = note_copy;
  r->mem->hook = note_spare;
  order = order_of_copy = order_of_spare = 0;
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  CU_ASSERT (order_of_copy == 1 && order_of_spare == 2);
  rr.copy->hook = r->mem->hook = NULL;
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 9, 7), "DWWWWWD");
  rescue_restart (&rr, false);
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (5), 2), 0);

  /* What is recorded as written takes no record; a flush costs the copy's. */
  spare_get_status (r->spare, &st);
  commits = st.commits;
  CU_ASSERT_EQUAL (rig_write (r, SEC (11), SEC (2), 4), 0);
  rr.copy->flushes = 0;
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  CU_ASSERT_EQUAL (rr.copy->flushes, 1);
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  CU_ASSERT_EQUAL (rr.copy->flushes, 1);
  spare_get_status (r->spare, &st);
  CU_ASSERT_EQUAL (st.commits, commits);

  /* FUA: the write alone. */
  CU_ASSERT_EQUAL (rig_write_fua (r, SEC (50), SEC (2), 5), 0);
  rescue_restart (&rr, false);
  CU_ASSERT_EQUAL (rig_read (r, SEC (50), SEC (2), 5), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_FLUSH), 4);
  rescue_end (&rr);
}

/* Each state, written, zeroed and trimmed as a whole. */
static void
test_table (void)
{
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  for (int what = 0; what < 3; what++) {
    rescue_init (&rr, NULL);
    set_state (r, 2, 2, LOST, 0);
    set_state (r, 4, 2, ZERO, 0);
    set_state (r, 6, 2, REMAPPED, 2);
    CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (2), 1), 0);
    rescue_keep (&rr);
    CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 3), 0);
    CU_ASSERT_EQUAL (settle_all (r->e), 0);
    CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 0, 12), "DDLLZZRRKKWW");
    sim_reset (r->main);
    if (what == 0) {
      CU_ASSERT_EQUAL (rig_write (r, 0, SEC (12), 7), 0);
      CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 0, 12), "wwwwwwRRwwWW");
      CU_ASSERT_EQUAL (rig_read (r, 0, SEC (12), 7), 0);
    }
    else if (what == 1) {
      CU_ASSERT_EQUAL (rig_zero (r, 0, SEC (12)), 0);
      CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 0, 12), "zzzzZZZZwwWW");
      CU_ASSERT_EQUAL (rig_read (r, 0, SEC (12), 0), 0);
    }
    else {
      CU_ASSERT_EQUAL (engine_trim (&r->conn, SEC (12), 0, false), 0);
      CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 0, 12), "zzLLZZRRKKWW");
      CU_ASSERT_EQUAL (rig_read (r, 0, SEC (2), 0), 0);
      CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (2), 1), 0);
    }
    CU_ASSERT_EQUAL (sim_calls (r->main, ~0U), 0);
    CU_ASSERT_EQUAL (rig_flush (r), 0);
    rescue_restart (&rr, false);
    CU_ASSERT_EQUAL (rig_read (r, 0, SEC (2), what == 0 ? 7 : 0), 0);
    rescue_end (&rr);
  }

  /* The other ways to trim. */
  rescue_init (&rr, NULL);
  rr.config.trim_zeroes = rr.config.ignore_trim = true;
  rescue_restart (&rr, true);
  CU_ASSERT_EQUAL (rig_write (r, SEC (4), SEC (2), 3), 0);
  CU_ASSERT_EQUAL (engine_trim (&r->conn, SEC (4), SEC (2), false), 0);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 2, 4), "DDww");
  CU_ASSERT_EQUAL (rig_read (r, SEC (2), SEC (2), 1), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (4), SEC (2), 0), 0);
  rescue_end (&rr);
}

/* Parts of sectors, merged with what they hold. */
static void
test_parts (void)
{
  uint8_t want[SEC (16)], got[SEC (16)];
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  for (int blocks = 0; blocks < 4; blocks++) {
    const struct rig_options o = {
      .block = blocks & 1 ? 4096 : 512, .copy_block = blocks & 2 ? 4096 : 512,
    };

    rescue_init (&rr, &o);
    set_state (r, 4, 2, ZERO, 0);
    set_state (r, 6, 2, REMAPPED, 2);
    CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 3), 0);
    CU_ASSERT_EQUAL (settle_all (r->e), 0);
    fill (want, 0, sizeof want, 1);
    memset (want + SEC (4), 0, SEC (2));
    fill (want + SEC (6), SEC (6), SEC (2), 2);
    fill (want + SEC (10), SEC (10), SEC (2), 3);
    for (int i = 1; i < 12; i += 2) {
      fill (got, SEC (i) + 400, 200, 9);
      memcpy (want + SEC (i) + 400, got, 200);
      CU_ASSERT_EQUAL (engine_pwrite (&r->conn, got, 200, SEC (i) + 400, false),
                       0);
    }
    CU_ASSERT_EQUAL (engine_pread (&r->conn, got, sizeof got, 0), 0);
    CU_ASSERT_EQUAL (memcmp (want, got, sizeof got), 0);
    CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 0, 14), "DwwwwwRRwwWWwD");
    CU_ASSERT_EQUAL (rig_flush (r), 0);
    rescue_restart (&rr, false);
    CU_ASSERT_EQUAL (engine_pread (&r->conn, got, sizeof got, 0), 0);
    CU_ASSERT_EQUAL (memcmp (want, got, sizeof got), 0);

    /* A part of a LOST sector, at either end: nothing is written. */
    set_state (r, 100, 1, LOST, 0);
    CU_ASSERT_EQUAL (rig_write (r, SEC (100) + 5, SEC (3), 9), EIO);
    CU_ASSERT_EQUAL (rig_write (r, SEC (97) + 5, SEC (3), 9), EIO);
    CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 97, 7), "DDDLDDD");
    /* A part of one that main can't read: LOST. */
    sim_bad (r->main, SIM_READ, 200, 1, EIO);
    CU_ASSERT_EQUAL (rig_write (r, SEC (200) + 5, 20, 9), EIO);
    CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 200, 8), blocks & 1
                            ? "LLLLLLLL" : "LDDDDDDD");
    CU_ASSERT_EQUAL (rig_write (r, SEC (200), 512, 9), 0);
    CU_ASSERT_EQUAL (rig_read (r, SEC (200), 512, 9), 0);
    rescue_end (&rr);
  }
}

/* Promise 28: a flush of the copy that fails is for ever. */
static void
test_flush_fails (void)
{
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  CU_ASSERT_EQUAL (rig_write (r, SEC (2), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (20), SEC (2), 1), 0);
  rescue_keep (&rr);
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  CU_ASSERT_EQUAL (rig_write (r, SEC (3), SEC (2), 3), 0);
  CU_ASSERT_EQUAL (rig_zero (r, SEC (8), SEC (2)), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (30), SEC (2), 1), 0);
  rescue_keep (&rr);
  memdev_fail (rr.copy, MEMDEV_FLUSH, 1, EIO, false);
  CU_ASSERT_EQUAL (rig_flush (r), EIO);
  for (int again = 0; again < 2; again++) {
    CU_ASSERT_EQUAL (rig_flush (r), EIO);
    CU_ASSERT_EQUAL (rig_write (r, SEC (50), SEC (1), 4), EIO);
    CU_ASSERT_EQUAL (rig_write_fua (r, SEC (50), SEC (1), 4), EIO);
    /* No record: EIO; recorded: old or new; kept without a record: main. */
    CU_ASSERT_EQUAL (rig_read (r, SEC (4), SEC (1), 3), EIO);
    CU_ASSERT_EQUAL (rig_read (r, SEC (2), SEC (1), 2), 0);
    sim_reset (r->main);
    CU_ASSERT_EQUAL (rig_read (r, SEC (20), SEC (2), 1), 0);
    CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 0);
    CU_ASSERT_EQUAL (rig_read (r, SEC (30), SEC (2), 1), 0);
    CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 1);
    CU_ASSERT_EQUAL (rig_read (r, SEC (60), SEC (2), 1), 0);
    if (again == 0)
      CU_ASSERT_EQUAL (rescue_keep (&rr), 2);
    CU_ASSERT_EQUAL (health (r), HEALTH_CRITICAL);
  }
  CU_ASSERT_STRING_EQUAL (states (r, 0, 10), "DDWWDDDDDD");
  rescue_restart (&rr, false);
  CU_ASSERT_EQUAL (rig_write (r, SEC (50), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (4), SEC (1), 1), 0);
  rescue_end (&rr);
}

/* Promise 29: what the copy refuses goes to a slot, in the same request. */
static void
test_copy_refuses (void)
{
  struct engine_status st;
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  for (int large = 0; large < 2; large++) {
    const struct rig_options o = { .copy_block = large ? 4096 : 512 };

    rescue_init (&rr, &o);
    CU_ASSERT_EQUAL (rig_write (r, SEC (18), SEC (1), 2), 0);
    CU_ASSERT_EQUAL (settle_all (r->e), 0);
    memdev_set_bad (rr.copy, MEMDEV_WRITE, SEC (17), 512, EIO);
    CU_ASSERT_EQUAL (rig_write (r, SEC (8), SEC (16), 3), 0);
    CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 7, 18), large
                            ? "DwwwwwwwwRRRRRRRRD" : "DwwwwwwwwwRWwwwwwD");
    CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (16), 3), 0);
    /* Before a FLUSH the slot alone is durable. */
    rescue_restart (&rr, false);
    CU_ASSERT_EQUAL (rig_read (r, SEC (17), SEC (1), 3), 0);
    CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (1), 1), 0);
    /* What was pending before is over. */
    CU_ASSERT_EQUAL (rig_write (r, SEC (40), SEC (1), 2), 0);
    memdev_set_bad (rr.copy, MEMDEV_WRITE, SEC (40), 512, EIO);
    CU_ASSERT_EQUAL (rig_write (r, SEC (40), SEC (1), 3), 0);
    CU_ASSERT_EQUAL (rig_zero (r, SEC (40), SEC (1)), 0);
    CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 40, 1), "Z");
    CU_ASSERT_EQUAL (rig_read (r, SEC (40), SEC (1), 0), 0);
    rescue_end (&rr);
  }

  /* A zero that it refuses, of what is ZERO in the spare and was written since,
   * is recorded all the same.
   */
  rescue_init (&rr, NULL);
  set_state (r, 10, 2, ZERO, 0);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 2), 0);
  memdev_set_bad (rr.copy, MEMDEV_WRITE, SEC (10), 512, EIO);
  CU_ASSERT_EQUAL (rig_zero (r, SEC (10), SEC (2)), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (2), 0), 0);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 10, 2), "Zw");
  rescue_end (&rr);

  /* Neighbours of a block that is refused move along. */
  const struct rig_options o = { .copy_block = 4096 };

  rescue_init (&rr, &o);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 2), 0);
  memdev_set_bad (rr.copy, MEMDEV_WRITE, SEC (8), 4096, EIO);
  CU_ASSERT_EQUAL (rig_write (r, SEC (12), SEC (1), 3), 0);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 8, 8), "DDRRRDDD");
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (12), SEC (1), 3), 0);
  rescue_end (&rr);

  /* What timed out may still land: nothing more is written there. */
  rescue_init (&rr, NULL);
  memdev_fail (rr.copy, MEMDEV_WRITE, 1, ETIMEDOUT, false);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 2), 0);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 9, 4), "DRRD");
  CU_ASSERT_EQUAL (rig_zero (r, SEC (10), SEC (1)), 0);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (1), 3), 0);
  memdev_land (rr.copy);
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (1), 3), 0);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 9, 4), "DRRD");
  rescue_end (&rr);

  /* No room: that is no bad sector. */
  rescue_init (&rr, NULL);
  memdev_fail (rr.copy, MEMDEV_WRITE, 1, ENOSPC, true);
  CU_ASSERT_EQUAL (health (r), HEALTH_OK);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 2), ENOSPC);
  CU_ASSERT_EQUAL (health (r), HEALTH_CRITICAL);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 9, 4), "DDDD");
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (2), 1), 0);
  memdev_fail (rr.copy, 0, 0, 0, false);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (health (r), HEALTH_OK);
  engine_get_status (r->e, &st);
  CU_ASSERT (st.copy.there && st.copy.written == 2 && st.copy.kept == 0);
  rescue_end (&rr);

  /* It answers nothing any more, also where it was written before: the same as
   * if it said that it is gone.
   */
  rescue_init (&rr, NULL);
  CU_ASSERT_EQUAL (rig_write (r, SEC (500), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  memdev_set_bad (rr.copy, MEMDEV_WRITE, SEC (10), 512, EIO);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (1), 2), 0);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 9, 3), "DRD");
  memdev_fail (rr.copy, MEMDEV_ANY, 1, EIO, true);
  CU_ASSERT_EQUAL (rig_write (r, SEC (20), SEC (2), 2), EIO);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 19, 4), "DDDD");
  CU_ASSERT_EQUAL (rig_flush (r), EIO);
  rescue_end (&rr);

  /* It is gone: nothing goes to slots. */
  rescue_init (&rr, NULL);
  memdev_fail (rr.copy, MEMDEV_ANY, 1, ENODEV, true);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 2), EIO);
  CU_ASSERT_EQUAL (rig_flush (r), EIO);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 9, 4), "DDDD");
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (2), 1), 0);
  rescue_end (&rr);
}

/* What is kept can be read from main as well; what was written can't. */
static void
test_fallback (void)
{
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (8), 1), 0);
  rescue_keep (&rr);
  CU_ASSERT_EQUAL (rig_write (r, SEC (100), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  memdev_set_bad (rr.copy, MEMDEV_READ, SEC (10), 512, EIO);
  memdev_set_bad (rr.copy, MEMDEV_READ, SEC (100), 512, EIO);
  sim_reset (r->main);
  CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (8), 1), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 1);
  CU_ASSERT_EQUAL (rig_read (r, SEC (100), SEC (2), 2), EIO);
  CU_ASSERT_EQUAL (rig_read (r, SEC (101), SEC (1), 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 1);
  /* It is kept again, and nothing else is. */
  rr.copy->writes = rr.copy->bytes_written = 0;
  CU_ASSERT_EQUAL (rescue_keep (&rr), 1);
  CU_ASSERT_EQUAL (rr.copy->writes, 1);
  CU_ASSERT_EQUAL (rr.copy->bytes_written, 512);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 8, 8), "KKKKKKKK");

  /* A client writes to what is kept: that is marked first, and after a kill
   * main isn't asked any more, in all of that GiB.
   */
  CU_ASSERT_EQUAL (rig_write (r, SEC (12), SEC (1), 3), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (1), 1), 0);
  rescue_restart (&rr, false);
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (1), 1), EIO);
  CU_ASSERT_EQUAL (rig_read (r, SEC (9), SEC (1), 1), 0);
  rescue_restart (&rr, true);
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (1), 1), EIO);
  rescue_end (&rr);

  /* A clean end removes the mark. */
  rescue_init (&rr, NULL);
  CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (8), 1), 0);
  rescue_keep (&rr);
  CU_ASSERT_EQUAL (settle_all (r->e), 0);
  CU_ASSERT_EQUAL (rig_write (r, SEC (12), SEC (1), 3), 0);
  rescue_restart (&rr, true);
  memdev_set_bad (rr.copy, MEMDEV_READ, SEC (10), 1024, EIO);
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (1), 1), 0);
  CU_ASSERT_FALSE (touched_stale (r->e, 0, 100));
  rescue_end (&rr);
}

/* Bad sectors of main: as ever, but nothing goes to slots that can be kept, and
 * no block is completed.
 */
static void
test_bad_main (void)
{
  const struct rig_options o = { .block = 4096 };
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  sim_bad (r->main, SIM_READ, 10, 1, EIO);
  sim_bad (r->main, SIM_READ, 20, 1, EIO);
  sim_recover (r->main, 20, 1);
  CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (4), 1), EIO);
  CU_ASSERT_EQUAL (rig_read (r, SEC (18), SEC (4), 1), 0);
  rescue_keep (&rr);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 8, 14), "kkLDDDDDDDkkkk");
  CU_ASSERT (sim_failed (r->main, SIM_READ) <= 4);
  sim_reset (r->main);
  CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (4), 1), EIO);
  CU_ASSERT_EQUAL (rig_read (r, SEC (20), SEC (1), 1), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 0);
  rescue_end (&rr);

  rescue_init (&rr, &o);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (8), SEC (2), 1), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (14), SEC (2), 1), 0);
  CU_ASSERT_EQUAL (sim_calls (r->main, SIM_READ), 1);
  rescue_keep (&rr);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 8, 8), "kkwwkkkk");
  sim_bad (r->main, SIM_READ, 16, 8, EIO);
  CU_ASSERT_EQUAL (rig_write (r, SEC (18), SEC (2), 3), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (17), SEC (1), 1), EIO);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 16, 8), "LLwwLLLL");
  CU_ASSERT_EQUAL (rig_read (r, SEC (18), SEC (2), 3), 0);
  rescue_end (&rr);
}

/* A batch that is under way is waited for, and what changes beside it stays
 * pending (promise 27).
 */
static struct rescue_rig *beside;

static void
write_beside (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  if (op != MEMDEV_FLUSH)
    return;
  beside->copy->hook = NULL;
  CU_ASSERT_EQUAL (rig_write (&beside->r, SEC (10), SEC (1), 7), 0);
  CU_ASSERT_EQUAL (rig_write (&beside->r, SEC (21), SEC (1), 7), 0);
  CU_ASSERT_EQUAL (rig_write (&beside->r, SEC (30), SEC (1), 7), 0);
  CU_ASSERT_EQUAL (rig_write (&beside->r, SEC (40), SEC (1), 7), 0);
}

static void
test_beside (void)
{
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  beside = &rr;
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (20), SEC (3), 1), 0);
  rescue_keep (&rr);
  CU_ASSERT_EQUAL (rig_zero (r, SEC (30), SEC (2)), 0);
  rr.copy->hook = write_beside;
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  /* Written again: it is recorded.  No longer what main holds: it isn't. */
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 10, 2), "WW");
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 20, 3), "KwK");
  CU_ASSERT_STRING_EQUAL (states (r, 20, 3), "KDK");
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 30, 2), "wZ");
  CU_ASSERT_STRING_EQUAL (states (r, 30, 2), "ZZ");
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 40, 1), "w");
  CU_ASSERT_EQUAL (rig_read (r, SEC (30), SEC (1), 7), 0);
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  rescue_restart (&rr, false);
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (1), 7), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (21), SEC (1), 7), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (30), SEC (1), 7), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (40), SEC (1), 7), 0);
  rescue_end (&rr);
}

/* A spare that has failed can't record anything: writes that need it fail, and
 * FLUSH (promise 16).
 */
static void
test_spare_fails (void)
{
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  CU_ASSERT_EQUAL (rig_write (r, SEC (20), SEC (2), 2), 0);
  memdev_fail (r->mem, MEMDEV_FLUSH, 1, EIO, false);
  CU_ASSERT_EQUAL (rig_flush (r), EIO);
  CU_ASSERT_EQUAL (rig_write (r, SEC (30), SEC (2), 2), EIO);
  CU_ASSERT_EQUAL (rig_zero (r, SEC (30), SEC (2)), EIO);
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 3), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (20), SEC (2), 2), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (30), SEC (2), 1), 0);
  CU_ASSERT_EQUAL (rig_flush (r), EIO);
  rescue_end (&rr);
}

/* While the copy is being flushed for a batch: another change of state, and
 * another FLUSH, wait for it.
 */
static struct job slot_job, flush_job;

static void
start_beside (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  if (op != MEMDEV_FLUSH)
    return;
  beside->copy->hook = NULL;
  job_start (&slot_job, &beside->r, JOB_WRITE, SEC (10), SEC (1), 7);
  CU_ASSERT_FALSE (job_ended_early (&slot_job));
  job_start (&flush_job, &beside->r, JOB_FLUSH, 0, 0, 0);
  CU_ASSERT_FALSE (job_ended_early (&flush_job));
}

static void
test_waits (void)
{
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;

  rescue_init (&rr, NULL);
  beside = &rr;
  CU_ASSERT_EQUAL (rig_write (r, SEC (10), SEC (2), 2), 0);
  memdev_set_bad (rr.copy, MEMDEV_WRITE, SEC (10), 512, EIO);
  rr.copy->hook = start_beside;
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  CU_ASSERT_EQUAL (job_end (&slot_job), 0);
  CU_ASSERT_EQUAL (job_end (&flush_job), 0);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 10, 2), "RW");
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (1), 7), 0);
  rescue_restart (&rr, false);
  CU_ASSERT_EQUAL (rig_read (r, SEC (10), SEC (1), 7), 0);
  rescue_end (&rr);
}

/* Room in the log: without it a write fails before anything, and nothing is
 * kept; what was acknowledged is recorded (promise 27).
 */
static void
test_log_full (void)
{
  const struct rig_options o = { .size = 16 * MIB, .spare_size = MIB };
  struct rescue_rig rr;
  struct engine_rig *r = &rr.r;
  uint64_t i, n;
  int err = 0;

  rescue_init (&rr, &o);
  for (n = 0; err == 0; n++)
    err = rig_write (r, SEC (2 * n), SEC (1), 2);
  CU_ASSERT_EQUAL (err, ENOSPC);
  CU_ASSERT (n > 500);
  CU_ASSERT_EQUAL (rig_read (r, SEC (2 * n), SEC (1), 1), 0);
  CU_ASSERT_EQUAL (rescue_keep (&rr), 1);
  CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 2 * n - 2, 3), "DDD");
  /* Others can't take it. */
  for (i = 0; i < 2000; i++)
    engine_declare_lost (r->e, 2 * n + 2 * i, 1, WHY_IMPORT, NULL,
                         &(struct engine_result) { 0 });
  CU_ASSERT_EQUAL (rig_flush (r), 0);
  CU_ASSERT_EQUAL (totals (r).written, n - 1);
  rescue_restart (&rr, false);
  for (i = 0; i < n - 1; i++)
    CU_ASSERT_EQUAL (rig_read (r, SEC (2 * i), SEC (1), 2), 0);
  /* Those that change nothing need none. */
  CU_ASSERT_EQUAL (rig_write (r, 0, SEC (1), 3), 0);
  rescue_end (&rr);
}

/* Clients side by side, each with sectors of its own in everybody's blocks,
 * while what they read is kept and recorded.
 */
#define THREADS 4
#define ROUNDS 400
#define AREA 256U               /* sectors */

struct client {
  struct rescue_rig *rr;
  struct engine_conn conn;
  unsigned number, tag[AREA];
  pthread_t thread;
};

static void
check_client (struct client *c, struct engine_conn *conn)
{
  uint8_t buf[SECTOR_SIZE];

  for (unsigned s = c->number; s < AREA; s += THREADS) {
    CU_ASSERT_EQUAL (engine_pread (conn, buf, sizeof buf, SEC (s)), 0);
    CU_ASSERT (matches (buf, SEC (s), sizeof buf, c->tag[s]));
  }
}

static void *
client (void *arg)
{
  struct client *c = arg;
  uint8_t buf[SECTOR_SIZE];
  uint64_t seed = c->number + 1;

  for (unsigned i = 0; i < ROUNDS; i++) {
    const unsigned s = memdev_random (&seed) % (AREA / THREADS) * THREADS +
      c->number;

    atomic_fetch_add (&c->rr->r.now_ms, 30);
    switch (memdev_random (&seed) % 8) {
    case 0: case 1: case 2:
      c->tag[s] = 2 + i;
      fill (buf, SEC (s), sizeof buf, c->tag[s]);
      CU_ASSERT_EQUAL (engine_pwrite (&c->conn, buf, sizeof buf, SEC (s),
                                      i % 16 == 0), 0);
      break;
    case 3:
      c->tag[s] = 0;
      CU_ASSERT_EQUAL (engine_zero (&c->conn, sizeof buf, SEC (s), 0, false),
                       0);
      break;
    case 4:
      if (i % 8 == 0)
        CU_ASSERT_EQUAL (engine_flush (&c->conn), 0);
      break;
    default:
      CU_ASSERT_EQUAL (engine_pread (&c->conn, buf, sizeof buf, SEC (s)), 0);
      CU_ASSERT (matches (buf, SEC (s), sizeof buf, c->tag[s]));
    }
  }
  return NULL;
}

static void *
keeper (void *arg)
{
  engine_keeper (arg);
  return NULL;
}

static void
test_threads (void)
{
  static struct client c[THREADS];
  pthread_t keeper_thread;
  struct engine_conn conn;
  struct rescue_rig rr;

  for (int large = 0; large < 2; large++) {
    const struct rig_options o = { .copy_block = large ? 4096 : 512 };

    rescue_init (&rr, &o);
    for (int i = 0; i < 5; i++)
      memdev_set_bad (rr.copy, MEMDEV_WRITE, SEC (37 * i + 11), 512, EIO);
    engine_conn_init (&conn, rr.r.e, &rr.r.main->dev);
    CU_ASSERT_EQUAL_FATAL (pthread_create (&keeper_thread, NULL, keeper,
                                           &conn), 0);
    for (unsigned i = 0; i < THREADS; i++) {
      c[i] = (struct client) { .rr = &rr, .number = i };
      for (unsigned s = 0; s < AREA; s++)
        c[i].tag[s] = 1;
      engine_conn_init (&c[i].conn, rr.r.e, &rr.r.main->dev);
      CU_ASSERT_EQUAL_FATAL (pthread_create (&c[i].thread, NULL, client,
                                             &c[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
      pthread_join (c[i].thread, NULL);
    engine_stop_keeper (rr.r.e);
    pthread_join (keeper_thread, NULL);
    for (unsigned i = 0; i < THREADS; i++)
      check_client (&c[i], &rr.r.conn);
    rescue_restart (&rr, true);
    for (unsigned i = 0; i < THREADS; i++)
      check_client (&c[i], &rr.r.conn);
    rescue_end (&rr);
  }
}

static void
test_attach (void)
{
  struct rescue_rig rr;
  struct engine_rig r;
  struct rescue_config c = { 0 };

  rescue_init (&rr, NULL);
  CU_ASSERT_EQUAL (engine_attach_copy (&rr.r.conn, &rr.config), EEXIST);
  rescue_end (&rr);

  rig_init (&r, NULL);
  c.block = 4096;
  c.size = 4 * MIB;
  CU_ASSERT_EQUAL (engine_attach_copy (&r.conn, &c), EINVAL);
  c.block = 512;
  c.size = 4 * MIB - 1;
  CU_ASSERT_EQUAL (engine_attach_copy (&r.conn, &c), EINVAL);
  c.size = 4 * MIB;
  sim_fail (r.main, SIM_FLUSH, 1, EIO);
  CU_ASSERT_EQUAL (engine_attach_copy (&r.conn, &c), EIO);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 512, 2), 0);
  CU_ASSERT (main_holds (&r, 0, 512, 2));
  rig_end (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "attaching a copy (promise 25)", test_attach },
    { "what is read is kept (promises 24, 25, 26)", test_keep },
    { "what can't be kept (promise 26)", test_not_kept },
    { "readers join (promise 25)", test_join },
    { "writes and flushes (promises 14, 27)", test_write },
    { "the table of cases (promise 9)", test_table },
    { "parts of sectors and blocks (promise 6)", test_parts },
    { "a failed flush (promise 28)", test_flush_fails },
    { "the copy refuses (promise 29)", test_copy_refuses },
    { "fallback to main (promise 27)", test_fallback },
    { "bad sectors of main (promises 4, 5)", test_bad_main },
    { "changes beside a batch (promise 27)", test_beside },
    { "the spare fails (promise 16)", test_spare_fails },
    { "what waits for a batch (promise 27)", test_waits },
    { "a full log (promise 27)", test_log_full },
    { "side by side (promises 1, 27)", test_threads },
    { NULL }
  };

  return run_tests (argc, argv, "rescue", tests);
}
