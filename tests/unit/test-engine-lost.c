/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A main that is gone, and flushes (promises 12 and 14 of
 * remap-promises(7)).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine-rig.h"

enum asked { READ, WRITE, EDGE, ZERO_IT, TRIM, FLUSH, CACHE, NR_REQUESTS };

static int
do_request (struct engine_rig *r, enum asked what, sector_t sector)
{
  static uint8_t buf[16 * 512];

  switch (what) {
  case READ:
    return engine_pread (&r->conn, buf, 8192, SEC (sector));
  case WRITE:
    return rig_write (r, SEC (sector), 8192, 2);
  case EDGE:
    return rig_write (r, SEC (sector) + 7, 900, 2);
  case ZERO_IT:
    return rig_zero (r, SEC (sector), 8192);
  case TRIM:
    return engine_trim (&r->conn, 8192, SEC (sector), false);
  case FLUSH:
    return rig_flush (r);
  default:
    return engine_cache (&r->conn, 8192, SEC (sector), NULL);
  }
}

/* While main is lost: the map alone answers, main isn't asked. */
static void
check_while_lost (struct engine_rig *r)
{
  uint64_t calls = sim_calls (r->main, ~0U);

  set_state (r, 80, 8, LOST, 0);
  CU_ASSERT_EQUAL (health (r), HEALTH_MAIN_LOST);
  CU_ASSERT_EQUAL (rig_read (r, SEC (64), SEC (8), 5), 0);
  CU_ASSERT_EQUAL (rig_write (r, SEC (64), SEC (8), 5), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (72), SEC (8), 0), 0);
  CU_ASSERT_EQUAL (rig_read (r, SEC (80), SEC (8), 0), EIO);
  CU_ASSERT_EQUAL (rig_write (r, SEC (80), SEC (8), 5), 0);
  CU_ASSERT_EQUAL (rig_zero (r, SEC (80), SEC (8)), 0);
  CU_ASSERT_EQUAL (engine_trim (&r->conn, 4096, SEC (64), false), 0);
  for (enum asked what = READ; what < NR_REQUESTS; what++) {
    int err = do_request (r, what, 1024);

    /* What was lost with it has to be told (promise 14). */
    CU_ASSERT (err == ESHUTDOWN || (what == FLUSH && err == EIO));
  }
  atomic_fetch_add (&r->now_ms, 999);
  CU_ASSERT_EQUAL (do_request (r, READ, 1024), ESHUTDOWN);
  CU_ASSERT_EQUAL (sim_calls (r->main, ~0U), calls);
  CU_ASSERT_STRING_EQUAL (states (r, 1024, 16), "DDDDDDDDDDDDDDDD");
}

/* Every request finds out, by an error that says so or by canaries that
 * are dead too; then nothing is remapped, and service resumes by itself.
 */
static void
check_lost (enum asked what, int err, uint32_t block)
{
  const struct rig_options o = { .block = block };
  struct engine_rig r;
  uint64_t calls;

  rig_init (&r, &o);
  set_state (&r, 64, 8, REMAPPED, 5);
  set_state (&r, 72, 8, ZERO, 0);
  sim_gone (r.main, err);
  if (err != EIO || (what != FLUSH && what != TRIM)) {
    CU_ASSERT_EQUAL (do_request (&r, what, 2048), ESHUTDOWN);
  }
  else {
    /* These change no state, so nobody asks why; a read does. */
    CU_ASSERT_EQUAL (do_request (&r, what, 2048), EIO);
    CU_ASSERT_EQUAL (do_request (&r, READ, 2048), ESHUTDOWN);
  }
  CU_ASSERT_PTR_NOT_NULL (strstr (r.warning, "lost"));
  CU_ASSERT_STRING_EQUAL (states (&r, 2048, 16), "DDDDDDDDDDDDDDDD");
  CU_ASSERT_EQUAL (stat_of (&r, STAT_MAIN_LOST), 1);
  check_while_lost (&r);

  /* Asked once a second; it is still gone. */
  calls = sim_calls (r.main, ~0U);
  atomic_fetch_add (&r.now_ms, 1);
  CU_ASSERT_EQUAL (do_request (&r, READ, 1024), ESHUTDOWN);
  CU_ASSERT (sim_calls (r.main, ~0U) > calls);
  check_while_lost (&r);

  /* It answers, but with another size; then only its canaries fail. */
  sim_gone (r.main, 0);
  r.main->probed_size = r.main->size + 512;
  atomic_fetch_add (&r.now_ms, 1);
  CU_ASSERT_EQUAL (do_request (&r, READ, 1024), ESHUTDOWN);
  CU_ASSERT_PTR_NOT_NULL (strstr (r.warning, "size"));
  check_while_lost (&r);
  r.main->probed_size = r.main->size;
  sim_bad (r.main, SIM_READ, 0, 8192, EIO);
  atomic_fetch_add (&r.now_ms, 1);
  CU_ASSERT_EQUAL (do_request (&r, READ, 1024), ESHUTDOWN);
  check_while_lost (&r);
  sim_bad (r.main, 0, 0, 8192, 0);

  atomic_fetch_add (&r.now_ms, 1);
  CU_ASSERT_EQUAL (do_request (&r, READ, 1024), 0);
  CU_ASSERT_NOT_EQUAL (health (&r), HEALTH_MAIN_LOST);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (1024), SEC (16), 1), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (1024), SEC (16), 6), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (1024), SEC (16), 6), 0);
  CU_ASSERT_EQUAL (totals (&r).lost, 0);
  CU_ASSERT_EQUAL (totals (&r).remapped, 8);
  rig_end (&r);
}

static void
test_lost (void)
{
  static const int errors[] = { ENODEV, ENXIO, ENOLINK, EIO, ETIMEDOUT };

  for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
    for (enum asked what = READ; what < NR_REQUESTS; what++)
      if (errors[i] != ETIMEDOUT || what == READ)
        check_lost (what, errors[i], i % 2 ? 4096 : 512);
}

/* Operators' commands aren't for a disk that is gone. */
static void
test_lost_ops (void)
{
  for (int err = EIO; err; err = err == EIO ? ENODEV : 0) {
    struct engine_result res;
    struct engine_rig r;

    rig_init (&r, NULL);
    set_state (&r, 10, 2, LOST, 0);
    set_state (&r, 20, 2, REMAPPED, 2);
    sim_gone (r.main, err);
    CU_ASSERT_EQUAL (engine_remap (&r.conn, 0, 10, WHY_MANUAL, NULL, &res),
                     EIO);
    CU_ASSERT_EQUAL (res.done, 0);
    CU_ASSERT_EQUAL (health (&r), HEALTH_MAIN_LOST);
    CU_ASSERT_EQUAL (engine_retry (&r.conn, 10, 2, NULL, &res), EIO);
    CU_ASSERT_EQUAL (engine_unmap (&r.conn, 20, 2, NULL, &res), EIO);
    CU_ASSERT_STRING_EQUAL (states (&r, 8, 15), "DDLLDDDDDDDDRRD");
    rig_end (&r);
  }
}

/* Gone in the middle of a request, as another one finds out during the last
 * try of a block: what fails then isn't a bad sector.
 */
static void
lose_main (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  struct engine_rig *r = opaque;
  uint8_t buf[512];

  if (op != SIM_READ || offset != SEC (100) || count != 512 ||
      r->main->sector[100].failed_reads < 2)
    return;
  pthread_mutex_lock (&r->main->lock);
  r->main->hook = NULL;
  pthread_mutex_unlock (&r->main->lock);
  sim_fail (r->main, SIM_READ, 1, ENODEV);
  CU_ASSERT_EQUAL (engine_pread (&r->conn, buf, 512, SEC (3000)), ESHUTDOWN);
}

static void
test_lost_meanwhile (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_READ, 100, 1, EIO);
  r.main->hook_opaque = &r;
  r.main->hook = lose_main;
  CU_ASSERT_EQUAL (rig_read (&r, SEC (90), SEC (20), 1), ESHUTDOWN);
  CU_ASSERT_EQUAL (health (&r), HEALTH_MAIN_LOST);
  CU_ASSERT_EQUAL (totals (&r).lost, 0);
  rig_end (&r);
}

/* Canaries that fail for another reason prove nothing: no state changes,
 * and main isn't taken for lost.
 */
static void
test_canaries_unknown (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_READ, 0, 8192, ENOMEM);
  sim_bad (r.main, SIM_ALL, 100, 1, EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (100), 512, 1), EIO);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (100), 512, 2), EIO);
  CU_ASSERT_EQUAL (*states (&r, 100, 1), 'D');
  CU_ASSERT_EQUAL (health (&r), HEALTH_OK);
  rig_end (&r);
}

/* One round of canaries a request, and one that reads is enough. */
static void
test_canaries_few (void)
{
  struct engine_rig r;
  uint64_t good;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_WRITE, 0, 64, EIO);
  CU_ASSERT_EQUAL (rig_write (&r, 0, SEC (64), 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_READ), 1);
  sim_bad (r.main, SIM_READ, 100, 1, EIO);
  sim_reset (r.main);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (100), SEC (1), 2), EIO);
  good = sim_calls (r.main, SIM_READ) - sim_failed (r.main, SIM_READ);
  CU_ASSERT_EQUAL (good, 1);
  rig_end (&r);
}

/* Promise 14: a failed flush is told to its client, and once to every
 * other one that was there, by FLUSH or FUA.
 */
static void
test_flush_told (void)
{
  struct engine_conn other, third, later;
  struct engine_rig r;
  uint8_t buf[512] = { 0 };

  rig_init (&r, NULL);
  engine_conn_init (&other, r.e, &r.main->dev);
  engine_conn_init (&third, r.e, &r.main->dev);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 4096, 2), 0);
  sim_fail (r.main, SIM_FLUSH, 1, EIO);
  CU_ASSERT_EQUAL (rig_flush (&r), EIO);
  engine_conn_init (&later, r.e, &r.main->dev);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  CU_ASSERT_EQUAL (engine_flush (&later), 0);
  CU_ASSERT_EQUAL (engine_flush (&other), EIO);
  CU_ASSERT_EQUAL (engine_flush (&other), 0);
  CU_ASSERT_EQUAL (engine_pwrite (&third, buf, 512, 0, false), 0);
  CU_ASSERT_EQUAL (engine_pwrite (&third, buf, 512, 0, true), EIO);
  CU_ASSERT_EQUAL (engine_pwrite (&third, buf, 512, 0, true), 0);

  /* FUA that fails is told to others too; nothing is remapped. */
  sim_fail (r.main, SIM_FLUSH, 1, ENODATA);
  CU_ASSERT_EQUAL (rig_write_fua (&r, 0, 4096, 3), EIO);
  CU_ASSERT_EQUAL (engine_flush (&other), EIO);
  CU_ASSERT_EQUAL (engine_flush (&other), 0);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  CU_ASSERT_EQUAL (totals (&r).runs, 0);
  CU_ASSERT_EQUAL (stat_of (&r, STAT_MAIN_FLUSH_ERRORS), 2);
  rig_end (&r);
}

/* Promise 14: one that failed before there was a client is told to all that
 * come until one of them has been told, by FLUSH or FUA; not to operators
 * alone.
 */
static void
test_flush_told_at_start (void)
{
  struct engine_conn operator, other, later;
  struct engine_rig r;
  uint8_t buf[512] = { 0 };

  for (int fua = 0; fua < 2; fua++) {
    rig_init (&r, NULL);
    r.config.main_flush_failed = true;
    rig_restart (&r);
    engine_conn_init (&operator, r.e, &r.main->dev);
    CU_ASSERT_EQUAL (engine_sync (&operator), EIO);
    CU_ASSERT_EQUAL (engine_sync (&operator), 0);
    engine_conn_init (&other, r.e, &r.main->dev);
    CU_ASSERT_EQUAL (fua ? engine_pwrite (&other, buf, 512, 0, true)
                     : engine_flush (&other), EIO);
    CU_ASSERT_EQUAL (engine_flush (&other), 0);
    engine_conn_init (&later, r.e, &r.main->dev);
    CU_ASSERT_EQUAL (engine_flush (&later), 0);
    CU_ASSERT_EQUAL (rig_flush (&r), EIO);
    CU_ASSERT_EQUAL (rig_flush (&r), 0);
    rig_end (&r);
  }
}

/* Promise 14: what FUA and FLUSH flush. */
static void
test_flush_what (void)
{
  struct engine_rig r;
  uint64_t spare;

  rig_init (&r, NULL);
  set_state (&r, 10, 2, REMAPPED, 2);
  spare = r.mem->flushes;
  CU_ASSERT_EQUAL (rig_write (&r, 0, 512, 2), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (10), 512, 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 0);
  CU_ASSERT_EQUAL (r.mem->flushes, spare);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 1);
  CU_ASSERT_EQUAL (r.mem->flushes, spare + 1);

  CU_ASSERT_EQUAL (rig_write_fua (&r, 0, 512, 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 2);
  CU_ASSERT_EQUAL (r.mem->flushes, spare + 1);
  CU_ASSERT_EQUAL (rig_write_fua (&r, SEC (10), 512, 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 2);
  CU_ASSERT_EQUAL (r.mem->flushes, spare + 2);
  CU_ASSERT_EQUAL (rig_write_fua (&r, SEC (9), SEC (3), 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 3);
  CU_ASSERT_EQUAL (r.mem->flushes, spare + 3);

  /* The spare's error fails it as well. */
  memdev_fail (r.mem, MEMDEV_FLUSH, 1, EIO, false);
  CU_ASSERT_EQUAL (rig_write_fua (&r, SEC (10), 512, 2), EIO);
  rig_end (&r);
}

/* Promise 13: a write that main failed is durable before it is answered:
 * the spare as a crash would leave it has all of it.
 */
static void
test_durable (void)
{
  const struct memdev_crash nothing_unflushed = { .subset = 0 };
  struct memdev *crashed;
  struct engine_rig r;

  rig_init (&r, NULL);
  memdev_record (r.mem, true);
  sim_bad (r.main, SIM_ALL, 100, 4, EIO);
  sim_bad (r.main, SIM_READ, 200, 1, EIO);
  sim_recover (r.main, 200, 1);
  set_state (&r, 300, 2, REMAPPED, 7);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (90), SEC (12), 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (102), SEC (1), 2), EIO);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (103), SEC (1)), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (200), SEC (1), 1), 0);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (300), SEC (1)), 0);
  crashed = memdev_crash (r.mem, r.mem->nevents, &nothing_unflushed);

  engine_free (r.e);
  spare_close (r.spare);
  map_free (r.map);
  memdev_free (r.mem);
  r.mem = crashed;
  r.map = map_new ();
  CU_ASSERT_EQUAL_FATAL (spare_load (&r.mem->dev, r.mem->size, false, NULL,
                                     r.map, &r.spare, NULL), 0);
  r.e = engine_new (&r.config, r.map, r.spare);
  engine_conn_init (&r.conn, r.e, &r.main->dev);
  CU_ASSERT_STRING_EQUAL (states (&r, 99, 6), "DRRLZD");
  CU_ASSERT_STRING_EQUAL (states (&r, 200, 1), "R");
  CU_ASSERT_STRING_EQUAL (states (&r, 300, 2), "ZR");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (90), SEC (12), 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (200), SEC (1), 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (301), SEC (1), 7), 0);
  rig_end (&r);
}

/* A flush that succeeds while another one's failure isn't known yet. */
static void
test_flush_race (void)
{
  struct engine_rig r;
  struct job a, b;

  rig_init (&r, NULL);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 4096, 2), 0);
  sim_fail (r.main, SIM_FLUSH, 1, EIO);
  sim_close (r.main, 0, SIM_FLUSH, 0, 1, true);
  r.main->gate[0].quota = 1;
  job_start (&a, &r, JOB_FLUSH, 0, 0, 0);
  sim_wait (r.main, 0, 1);
  job_start (&b, &r, JOB_FLUSH, 0, 0, 0);
  /* It may wait, but it may not say that all is well. */
  job_ended_early (&b);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&a), EIO);
  CU_ASSERT_EQUAL (job_end (&b), EIO);
  CU_ASSERT_EQUAL (rig_flush (&r), EIO);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  rig_end (&r);
}

/* Main lost with unflushed writes is a failed flush; without, it is not. */
static void
test_lost_unflushed (void)
{
  for (int dirty = 0; dirty < 3; dirty++) {
    struct engine_conn other;
    struct engine_rig r;
    bool told = dirty > 0;

    rig_init (&r, NULL);
    engine_conn_init (&other, r.e, &r.main->dev);
    CU_ASSERT_EQUAL (rig_write (&r, 0, 4096, 2), 0);
    if (dirty == 0)
      CU_ASSERT_EQUAL (rig_flush (&r), 0);
    sim_gone (r.main, ENODEV);
    if (dirty == 2) {
      /* The flush itself finds out. */
      CU_ASSERT_EQUAL (rig_flush (&r), EIO);
    }
    CU_ASSERT_EQUAL (rig_read (&r, 0, 4096, 2), ESHUTDOWN);
    CU_ASSERT_EQUAL (rig_flush (&r), dirty == 1 ? EIO : ESHUTDOWN);
    sim_gone (r.main, 0);
    atomic_fetch_add (&r.now_ms, 1000);
    CU_ASSERT_EQUAL (rig_read (&r, 0, 4096, 2), 0);
    CU_ASSERT_EQUAL (engine_flush (&other),
                     told ? EIO : 0);
    CU_ASSERT_EQUAL (engine_flush (&other), 0);
    CU_ASSERT_EQUAL (rig_flush (&r), 0);
    rig_end (&r);
  }
}

/* Main is lost and comes back while a write is in flight, which then ends
 * well: nobody knows whether main still has it.  A flush beside it, before
 * the loss, changes nothing about that.
 */
static void
test_lost_in_flight (void)
{
  for (int what = JOB_WRITE; what <= JOB_ZERO; what++)
    for (int flushed = 0; flushed < 2; flushed++) {
      struct engine_conn other;
      struct engine_rig r;
      struct job w;

      rig_init (&r, NULL);
      engine_conn_init (&other, r.e, &r.main->dev);
      sim_close (r.main, 0, SIM_MODIFY, SEC (10), 512, true);
      job_start (&w, &r, what, SEC (10), 512, 2);
      sim_wait (r.main, 0, 1);
      if (flushed)
        CU_ASSERT_EQUAL (rig_flush (&r), 0);
      sim_gone (r.main, ENODEV);
      CU_ASSERT_EQUAL (rig_read (&r, 0, 4096, 1), ESHUTDOWN);
      sim_gone (r.main, 0);
      atomic_fetch_add (&r.now_ms, 1000);
      CU_ASSERT_EQUAL (rig_read (&r, 0, 4096, 1), 0);
      /* Nothing that was acknowledged may be lost, as yet. */
      CU_ASSERT_EQUAL (rig_flush (&r), 0);
      sim_open (r.main, 0);
      CU_ASSERT_EQUAL (job_end (&w), 0);
      CU_ASSERT_EQUAL (rig_flush (&r), EIO);
      CU_ASSERT_EQUAL (engine_flush (&other), EIO);
      CU_ASSERT_EQUAL (rig_flush (&r), 0);
      CU_ASSERT_EQUAL (engine_flush (&other), 0);
      rig_end (&r);
    }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "main is lost and back (promise 12)", test_lost },
    { "operators' commands (promise 12)", test_lost_ops },
    { "main is lost meanwhile (promise 12)", test_lost_meanwhile },
    { "canaries that prove nothing (promise 12)", test_canaries_unknown },
    { "how many canaries (promise 12)", test_canaries_few },
    { "a failed flush is told (promise 14)", test_flush_told },
    { "a failed flush at the start (promise 14)", test_flush_told_at_start },
    { "what is flushed (promise 14)", test_flush_what },
    { "flushes at the same time (promise 14)", test_flush_race },
    { "main lost and unflushed (promise 14)", test_lost_unflushed },
    { "main lost and a write in flight (promise 14)", test_lost_in_flight },
    { "durable before answered (promise 13)", test_durable },
    { NULL }
  };

  return run_tests (argc, argv, "engine-lost", tests);
}
