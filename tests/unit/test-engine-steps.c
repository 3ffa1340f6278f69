/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Requests in the middle of which something happens: another operation of
 * main or spare fails, or an operator changes a state between two looks at
 * the map (promises 1, 3, 4, 6, 8 and 9 of remap-promises(7)).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine/request.h"
#include "engine-operators.h"

/* What an operator does at the Nth operation of a kind. */
struct meanwhile {
  struct engine_rig *r;
  unsigned ops, nth, seen;
  sector_t sector;              /* is remapped */
};

static void
main_hook (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  struct meanwhile *m = opaque;

  if (!(op & m->ops) || ++m->seen != m->nth)
    return;
  CU_ASSERT_EQUAL (remap (m->r, m->sector, 1), 0);
}

static void
set_hook (struct meanwhile *m, struct engine_rig *r, unsigned ops,
          unsigned nth, sector_t sector)
{
  *m = (struct meanwhile) { r, ops, nth, 0, sector };
  r->main->hook = main_hook;
  r->main->hook_opaque = m;
}

/* A client that asks for nothing gets it, and costs nothing. */
static void
test_nothing (void)
{
  struct engine_rig r;
  uint8_t buf[1];

  rig_init (&r, NULL);
  set_state (&r, 0, 1, LOST, 0);
  for (uint64_t offset = 0; offset <= 4 * MIB; offset += 4 * MIB) {
    CU_ASSERT_EQUAL (engine_pread (&r.conn, buf, 0, offset), 0);
    CU_ASSERT_EQUAL (engine_pwrite (&r.conn, buf, 0, offset, true),
                     0);
    CU_ASSERT_EQUAL (engine_zero (&r.conn, 0, offset, 0, true), 0);
    CU_ASSERT_EQUAL (engine_trim (&r.conn, 0, offset, true), 0);
    CU_ASSERT_EQUAL (engine_cache (&r.conn, 0, offset, NULL), 0);
  }
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_ALL | SIM_TRIM | SIM_FLUSH), 0);
  CU_ASSERT_EQUAL (stat_of (&r, STAT_READS) + stat_of (&r, STAT_WRITES) +
                   stat_of (&r, STAT_ZEROS) + stat_of (&r, STAT_TRIMS) +
                   stat_of (&r, STAT_CACHES), 0);
  CU_ASSERT_EQUAL (*states (&r, 0, 1), 'L');
  rig_end (&r);
}

/* Main takes no more than so much at once; or as much as anybody asks for. */
static void
test_max_call (void)
{
  struct rig_options o = { .max_call = 64 * KIB };
  struct engine_rig r;

  rig_init (&r, &o);
  CU_ASSERT_EQUAL (rig_write (&r, 64 * KIB, 256 * KIB, 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_WRITE), 4);
  CU_ASSERT_EQUAL (rig_read (&r, 64 * KIB, 256 * KIB, 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_READ), 4);
  CU_ASSERT (main_holds (&r, 320 * KIB, 64 * KIB, 1));

  /* The third call fails: only what is bad moves. */
  sim_bad (r.main, SIM_WRITE, 64 * KIB * 3 / 512, 1, EIO);
  CU_ASSERT_EQUAL (rig_write (&r, 64 * KIB, 256 * KIB, 3), 0);
  CU_ASSERT_EQUAL (totals (&r).remapped, 1);
  CU_ASSERT_EQUAL (rig_read (&r, 64 * KIB, 256 * KIB, 3), 0);
  rig_end (&r);

  o.max_call = UINT32_MAX;
  rig_init (&r, &o);
  CU_ASSERT_EQUAL (r.e->max_call, MAX_CALL);
  CU_ASSERT_EQUAL (rig_write (&r, 64 * KIB, 2 * MIB, 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_WRITE), 1);
  rig_end (&r);
}

/* While a large read looks for its bad sector, one further on is remapped,
 * or becomes LOST: that chunk is read by the map.
 */
static void
test_isolation_overtaken (void)
{
  const sector_t later = 2 * MIB / 512 + 5;
  struct meanwhile m;
  struct engine_rig r;

  for (int lost = 0; lost < 2; lost++) {
    rig_init (&r, NULL);
    sim_bad (r.main, SIM_READ, 10, 1, EIO);
    sim_recover (r.main, 10, 3);
    if (lost)
      sim_bad (r.main, SIM_READ, later, 1, EIO);
    /* The first read of sector 10 alone, roughly. */
    set_hook (&m, &r, SIM_READ, 20, later);
    CU_ASSERT_EQUAL (rig_read (&r, 0, 3 * MIB, 1), lost ? EIO : 0);
    CU_ASSERT (m.seen > m.nth);
    r.main->hook = NULL;
    CU_ASSERT_EQUAL (*states (&r, 10, 1), 'R');
    CU_ASSERT_EQUAL (*states (&r, later, 1), lost ? 'L' : 'R');
    CU_ASSERT_EQUAL (totals (&r).remapped, lost ? 1 : 2);
    CU_ASSERT_EQUAL (rig_read (&r, 0, 2 * MIB, 1), 0);
    rig_end (&r);
  }
}

/* A chunk fails in a way that says nothing about the disk: that is passed on,
 * and no state changes (promise 10).
 */
static void
test_isolation_ends (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_READ, 10, 1, EIO);
  /* After the request as a whole. */
  sim_fail (r.main, SIM_READ, 2, EPERM);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 3 * MIB, 1), EPERM);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_READ), 2);
  CU_ASSERT_EQUAL (totals (&r).lost + totals (&r).remapped, 0);
  CU_ASSERT_EQUAL (r.main->sector[10].failed_reads, 1);
  rig_end (&r);
}

/* The last chunk of a large read is a block: it has failed alone already, and
 * isn't asked once more for that (promise 5).
 */
static void
test_last_chunk (void)
{
  const sector_t last = 2 * MIB / 512;
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_READ, last, 1, EIO);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 2 * MIB + 512, 1), EIO);
  CU_ASSERT_EQUAL (*states (&r, last, 1), 'L');
  CU_ASSERT_EQUAL (totals (&r).lost, 1);
  /* In the request, alone, and once more. */
  CU_ASSERT_EQUAL (r.main->sector[last].failed_reads, 3);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 2 * MIB, 1), 0);
  rig_end (&r);
}

/* Two reads of parts of a block that is mixed: one of them completes it, and
 * the other one finds that done.
 */
static void
test_mixed_twice (void)
{
  const struct rig_options o = { .block = 4096 };
  struct engine_rig r;
  struct job a, b;

  rig_init (&r, &o);
  set_state (&r, 8, 2, REMAPPED, 1);
  sim_close (r.main, 0, SIM_READ, 4096, 4096, false);
  job_start (&a, &r, JOB_READ, SEC (11), 512, 1);
  sim_wait (r.main, 0, 1);
  job_start (&b, &r, JOB_READ, SEC (12), 1024, 1);
  CU_ASSERT (!job_ended_early (&b));
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&a), 0);
  CU_ASSERT_EQUAL (job_end (&b), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_READ), 1);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "RRRRRRRR");
  CU_ASSERT_EQUAL (rig_read (&r, 0, 3 * 4096, 1), 0);
  rig_end (&r);
}

/* A sector becomes LOST behind the part that is being read: the request
 * fails, with nothing invented (promise 4).
 */
static void
test_lost_meanwhile (void)
{
  struct meanwhile m;
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 0, 1, ZERO, 0);
  set_state (&r, 8, 1, ZERO, 0);
  sim_bad (r.main, SIM_READ, 10, 1, EIO);
  set_hook (&m, &r, SIM_READ, 1, 10);
  CU_ASSERT_EQUAL (rig_read (&r, 0, SEC (16), 1), EIO);
  r.main->hook = NULL;
  CU_ASSERT_EQUAL (*states (&r, 10, 1), 'L');
  CU_ASSERT_EQUAL (stat_of (&r, STAT_LOST_REFUSED), 1);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (1), SEC (7), 1), 0);
  rig_end (&r);
}

/* A write that timed out, and for which the spare has no room: main isn't
 * used for these blocks again, and each try ends at the first piece.
 */
static void
test_late_and_full (void)
{
  const struct rig_options o = { .spare_size = MIB };
  struct engine_rig r;
  uint64_t writes;

  rig_init (&r, &o);
  sim_fail (r.main, SIM_WRITE, 1, ETIMEDOUT);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 2 * MIB, 2), ENOSPC);
  writes = sim_calls (r.main, SIM_WRITE);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 2 * MIB, 3), ENOSPC);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_WRITE), writes);
  CU_ASSERT_EQUAL (totals (&r).remapped, 0);
  /* A part of it fits; and the rest of the disk is as good as ever. */
  CU_ASSERT_EQUAL (rig_write (&r, MIB, 4096, 4), 0);
  CU_ASSERT_EQUAL (totals (&r).remapped, 8);
  CU_ASSERT_EQUAL (rig_read (&r, MIB, 4096, 4), 0);
  CU_ASSERT_EQUAL (rig_write (&r, 2 * MIB, MIB, 5), 0);
  CU_ASSERT (main_holds (&r, 2 * MIB, MIB, 5));
  rig_end (&r);
}

/* Zeroes to a place where all is bad: after so many failures the rest isn't
 * tried (promise 3).
 */
static void
test_zero_many (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_MODIFY, 1024, 1024, EIO);
  CU_ASSERT_EQUAL (rig_zero (&r, 0, MIB), 0);
  CU_ASSERT_EQUAL (totals (&r).zero, 1024);
  CU_ASSERT (sim_failed (r.main, SIM_MODIFY) <= MAX_FAILING_PIECES + 11);
  CU_ASSERT_EQUAL (rig_read (&r, 0, MIB, 0), 0);
  CU_ASSERT_EQUAL (rig_read (&r, MIB, MIB, 1), 0);
  rig_restart (&r);
  CU_ASSERT_EQUAL (rig_read (&r, 0, MIB, 0), 0);
  CU_ASSERT_EQUAL (totals (&r).zero, 1024);
  rig_end (&r);
}

/* All of a mixed block: main has no part in it (promise 9). */
static void
test_zero_mixed (void)
{
  const struct rig_options o = { .block = 4096 };
  struct engine_rig r;

  rig_init (&r, &o);
  set_state (&r, 9, 2, LOST, 0);
  set_state (&r, 12, 1, REMAPPED, 2);
  CU_ASSERT_EQUAL (rig_zero (&r, 0, 3 * 4096), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_READ), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 7, 10), "DZZZZZZZZD");
  CU_ASSERT_EQUAL (rig_read (&r, 0, 3 * 4096, 0), 0);
  CU_ASSERT (main_holds (&r, 4096, 4096, 1));
  rig_end (&r);

  /* A part at the beginning, or at the end: the rest is read and kept. */
  for (sector_t at = 8; at <= 14; at += 6) {
    rig_init (&r, &o);
    set_state (&r, 12, 1, REMAPPED, 1);
    CU_ASSERT_EQUAL (rig_zero (&r, SEC (at), 1024), 0);
    CU_ASSERT_EQUAL (sim_calls (r.main, SIM_READ), 1);
    CU_ASSERT_STRING_EQUAL (states (&r, 8, 8),
                            at == 8 ? "ZZRRRRRR" : "RRRRRRZZ");
    CU_ASSERT_EQUAL (rig_read (&r, SEC (at), 1024, 0), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (at == 8 ? 10 : 8), SEC (6), 1), 0);
    rig_end (&r);
  }
}

/* A part of a block whose state can't change at first, for lack of room. */
static void
test_edge_no_room (void)
{
  const struct rig_options o = { .block = 4096 };
  struct engine_rig r;

  /* Once only; then main fails to write it. */
  rig_init (&r, &o);
  set_state (&r, 8, 1, REMAPPED, 1);
  sim_bad (r.main, SIM_WRITE, 12, 1, EIO);
  memdev_fail (r.mem, MEMDEV_WRITE, 1, ENOSPC, false);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (10) + 100, 50, 2), 0);
  CU_ASSERT_EQUAL (sim_failed (r.main, SIM_WRITE), 1);
  CU_ASSERT_STRING_EQUAL (states (&r, 7, 10), "DRRRRRRRRD");
  CU_ASSERT_EQUAL (rig_read (&r, 4096, SEC (2) + 100, 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10) + 100, 50, 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10) + 150, SEC (5) + 362, 1), 0);
  rig_end (&r);

  /* Main can't be read, and nothing can be recorded: not even that. */
  rig_init (&r, &o);
  set_state (&r, 8, 1, REMAPPED, 1);
  sim_bad (r.main, SIM_READ, 9, 7, EIO);
  memdev_fail (r.mem, MEMDEV_WRITE, 1, ENOSPC, true);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (8) + 100, 50, 2), ENOSPC);
  memdev_fail (r.mem, 0, 0, 0, false);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "RDDDDDDD");
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_WRITE), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (8) + 100, 50, 3), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "RLLLLLLL");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (8), 100, 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (8) + 100, 50, 3), 0);
  rig_end (&r);
}

/* Without automatic remapping: a weak block stays where it is, and one of
 * which a write may still land is left alone (promise 7).
 */
static void
test_edge_manual (void)
{
  const struct rig_options o = { .manual = true, .block = 4096 };
  struct engine_rig r;
  uint64_t writes;

  rig_init (&r, &o);
  sim_bad (r.main, SIM_READ, 8, 1, EIO);
  sim_recover (r.main, 8, 1);
  CU_ASSERT_EQUAL (rig_write (&r, 4096 + 100, 50, 2), 0);
  CU_ASSERT_EQUAL (r.main->sector[8].failed_reads, 1);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "DDDDDDDD");
  CU_ASSERT (main_holds (&r, 4096, 100, 1));
  CU_ASSERT (main_holds (&r, 4096 + 100, 50, 2));
  CU_ASSERT (main_holds (&r, 4096 + 150, 4096 - 150, 1));

  sim_fail (r.main, SIM_WRITE, 1, ETIMEDOUT);
  CU_ASSERT_EQUAL (rig_write (&r, 8192, 4096, 2), EIO);
  writes = sim_calls (r.main, SIM_WRITE);
  CU_ASSERT_EQUAL (rig_write (&r, 8192 + 512, 512, 3), EIO);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_WRITE), writes);
  CU_ASSERT_EQUAL (totals (&r).remapped, 0);
  engine_set_auto_remap (r.e, true);
  CU_ASSERT_EQUAL (rig_write (&r, 8192 + 512, 512, 4), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_WRITE), writes);
  CU_ASSERT_STRING_EQUAL (states (&r, 16, 8), "RRRRRRRR");
  CU_ASSERT_EQUAL (rig_read (&r, 8192 + 512, 512, 4), 0);
  rig_end (&r);
}

static void
fail_second_flush (void *opaque, enum memdev_op op, uint64_t offset,
                   uint64_t count)
{
  struct meanwhile *m = opaque;

  if (op == MEMDEV_FLUSH && ++m->seen == m->nth)
    memdev_fail (m->r->mem, MEMDEV_FLUSH, 1, EIO, false);
}

/* A slot is bad, another one is taken, and whether the record of both is on
 * the disk isn't known: main gets nothing more for the sector that it is
 * about, and sector 0 is not it (promise 1).
 */
static void
test_doubt_and_bad_slot (void)
{
  struct meanwhile m;
  struct engine_rig r;

  rig_init (&r, NULL);
  m = (struct meanwhile) { .r = &r, .nth = 2 };
  sim_bad (r.main, SIM_WRITE, 10, 1, EIO);
  memdev_fail (r.mem, MEMDEV_WRITE, 1, EIO, false);
  r.mem->hook = fail_second_flush;
  r.mem->hook_opaque = &m;
  CU_ASSERT_EQUAL (rig_write (&r, SEC (10), 512, 2), EIO);
  r.mem->hook = NULL;
  CU_ASSERT (spare_failed (r.spare));
  sim_bad (r.main, 0, 10, 1, 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (10), 512, 3), EIO);
  CU_ASSERT (!main_holds (&r, SEC (10), 512, 3));
  CU_ASSERT_EQUAL (rig_write (&r, 0, SEC (10), 4), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (11), 512, 4), 0);
  rig_restart (&r);
  CU_ASSERT_EQUAL (*states (&r, 10, 1), 'R');
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, 0, SEC (10), 4), 0);
  rig_end (&r);
}

/* Main refuses a write, and while the canaries are asked an operator remaps
 * the sector: the write goes to a slot that is there already, and is durable
 * before it succeeds (promise 13).
 */
static void
test_moved_meanwhile (void)
{
  struct meanwhile m, f;
  struct engine_rig r;
  uint64_t flushes;

  for (int fails = 0; fails < 2; fails++) {
    rig_init (&r, NULL);
    sim_bad (r.main, SIM_WRITE, 10, 1, EIO);
    set_hook (&m, &r, SIM_READ, 1, 10);
    /* The operator's slot, its record, and the write. */
    f = (struct meanwhile) { .r = &r, .nth = fails ? 3 : 0 };
    r.mem->hook = fail_second_flush;
    r.mem->hook_opaque = &f;
    flushes = r.mem->flushes;
    CU_ASSERT_EQUAL (rig_write (&r, SEC (10), 512, 2), fails ? EIO : 0);
    CU_ASSERT_EQUAL (r.mem->flushes - flushes, 3);
    CU_ASSERT_EQUAL (*states (&r, 10, 1), 'R');
    CU_ASSERT_EQUAL (spare_failed (r.spare), fails);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 2), 0);
    r.main->hook = NULL;
    r.mem->hook = NULL;
    rig_end (&r);
  }
}

/* Main goes away and comes back while a write is in flight, and another one
 * is made before that ends: whoever was told of the loss is told again.
 */
static void
test_lost_in_flight (void)
{
  struct engine_rig r;
  struct job w;

  rig_init (&r, NULL);
  sim_close (r.main, 0, SIM_WRITE, SEC (10), 512, true);
  job_start (&w, &r, JOB_WRITE, SEC (10), 512, 2);
  sim_wait (r.main, 0, 1);
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (50), 512, 1), ESHUTDOWN);
  sim_gone (r.main, 0);
  r.now_ms += 100000;
  CU_ASSERT_EQUAL (rig_read (&r, SEC (50), 512, 1), 0);
  /* This connection learns of it, if there is anything to learn; and that
   * it goes on.
   */
  rig_flush (&r);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (20), 512, 3), 0);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&w), 0);
  CU_ASSERT_EQUAL (rig_flush (&r), EIO);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  rig_end (&r);
}

/* What watches an operation needs not want everything; and one that is ended
 * in the middle has done what it says.
 */
static bool
stop_after (void *opaque)
{
  unsigned *left = opaque;

  if (*left == 0)
    return true;
  --*left;
  return false;
}

static void
count_bad (void *opaque, sector_t start, uint64_t count)
{
  *(unsigned *) opaque += count;
}

static void
test_watches (void)
{
  const struct rig_options o = { .block = 4096 };
  unsigned left = 3, bad = 0;
  const struct engine_watch stop_only = { .stop = stop_after,
                                          .opaque = &left };
  const struct engine_watch bad_only = { .bad = count_bad, .opaque = &bad };
  struct engine_rig r;

  rig_init (&r, &o);
  sim_bad (r.main, SIM_READ, 0, 64, EIO);
  /* Sectors that are LOST already aren't found bad. */
  set_state (&r, 1, 2, LOST, 0);
  CU_ASSERT_EQUAL (engine_remap (&r.conn, 0, 8, WHY_MANUAL, &bad_only, &res),
                   0);
  CU_ASSERT_EQUAL (bad, 6);
  CU_ASSERT (result_is (6, 2, 6));
  CU_ASSERT_EQUAL (res.first_bad, 0);

  CU_ASSERT_EQUAL (engine_remap (&r.conn, 0, 64, WHY_MANUAL, &stop_only, &res),
                   ECANCELED);
  const uint64_t lost = totals (&r).lost;
  CU_ASSERT_EQUAL (res.done, lost - 8);
  CU_ASSERT_EQUAL (res.bad, lost - 8);
  CU_ASSERT (lost > 8 && lost < 64);
  CU_ASSERT_EQUAL (engine_remap (&r.conn, 0, 64, WHY_MANUAL, NULL, &res), 0);
  CU_ASSERT (result_is (64 - lost, lost, 64 - lost));
  rig_end (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "requests of no bytes", test_nothing },
    { "what main takes at once", test_max_call },
    { "isolation that is overtaken (promise 8)", test_isolation_overtaken },
    { "isolation that ends (promise 10)", test_isolation_ends },
    { "the last chunk of a read (promise 5)", test_last_chunk },
    { "a mixed block, read twice", test_mixed_twice },
    { "LOST meanwhile (promise 4)", test_lost_meanwhile },
    { "timed out, and no room (promise 3)", test_late_and_full },
    { "zeroes where all is bad (promise 3)", test_zero_many },
    { "zeroes to a mixed block (promise 9)", test_zero_mixed },
    { "no room for an edge (promises 6, 18)", test_edge_no_room },
    { "edges without remapping (promise 7)", test_edge_manual },
    { "in doubt, and a bad slot (promise 1)", test_doubt_and_bad_slot },
    { "moved meanwhile (promise 13)", test_moved_meanwhile },
    { "main lost in flight (promise 14)", test_lost_in_flight },
    { "watches", test_watches },
    { NULL }
  };

  return run_tests (argc, argv, "engine-steps", tests);
}
