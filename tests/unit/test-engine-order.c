/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Requests at the same time: no change of state overtakes a write, no slot
 * is used again too early, and a sector that is stuck holds up nobody who
 * doesn't need it (promise 8 of remap-promises(7)).
 *
 * Where a request has to wait, the test gives it time to go wrong; how
 * long it takes changes no result of correct code.
 */

#include <config.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine-rig.h"

/* A test that hangs has failed. */
#define PATIENCE 240    /* seconds */

/* Waits until main has been asked to write the sector so often. */
static void
wait_for_writes (struct engine_rig *r, sector_t sector, unsigned n)
{
  const struct timespec ts = { .tv_nsec = 1000000 };

  pthread_mutex_lock (&r->main->lock);
  while (r->main->sector[sector].writes < n) {
    pthread_mutex_unlock (&r->main->lock);
    nanosleep (&ts, NULL);
    pthread_mutex_lock (&r->main->lock);
  }
  pthread_mutex_unlock (&r->main->lock);
}

/* A weak block is moved while a write to it is in flight: what the write
 * brought must be what is moved.
 */
static void
test_salvage_and_write (void)
{
  struct engine_rig r;
  struct job w, rd;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_READ, 10, 1, EIO);
  sim_recover (r.main, 10, 1);
  sim_close (r.main, 0, SIM_WRITE, SEC (10), 512, false);
  job_start (&w, &r, JOB_WRITE, SEC (10), 512, 2);
  sim_wait (r.main, 0, 1);
  job_start (&rd, &r, JOB_READ, SEC (10), 512, 2);
  CU_ASSERT (!job_ended_early (&rd));
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&w), 0);
  CU_ASSERT_EQUAL (job_end (&rd), 0);
  CU_ASSERT_EQUAL (*states (&r, 10, 1), 'R');
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 2), 0);
  rig_end (&r);
}

/* A write ends well between a read that failed and the record of it: the
 * sector must not become LOST, with any number of retries.
 */
static void
test_lost_and_write (void)
{
  for (int retries = -1; retries <= 2; retries++) {
    const struct rig_options o = { .retries = retries };
    struct engine_rig r;
    struct job w, rd;

    rig_init (&r, &o);
    sim_bad (r.main, SIM_READ, 10, 1, EIO);
    sim_close (r.main, 0, SIM_WRITE, SEC (10), 512, false);
    job_start (&w, &r, JOB_WRITE, SEC (10), 512, 2);
    sim_wait (r.main, 0, 1);
    job_start (&rd, &r, JOB_READ, SEC (10), 512, 2);
    CU_ASSERT (!job_ended_early (&rd));
    /* The write makes the sector good again. */
    sim_bad (r.main, 0, 10, 1, 0);
    sim_open (r.main, 0);
    CU_ASSERT_EQUAL (job_end (&w), 0);
    CU_ASSERT_EQUAL (job_end (&rd), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 2), 0);
    CU_ASSERT_EQUAL (totals (&r).lost, 0);
    rig_end (&r);
  }
}

/* A write of a part of a block, while one of the whole is in flight, and
 * the other way round; likewise for zeroes.
 */
static void
check_edge (int first, int second)
{
  static const struct {
    int what;
    uint64_t offset, count;
  } requests[] = {
    { JOB_WRITE, 4096, 4096 }, { JOB_WRITE, 4096 + 100, 50 },
    { JOB_ZERO, 4096, 4096 }, { JOB_ZERO, 4096 + 512, 512 },
  };
  const struct rig_options o = { .block = 4096 };
  uint8_t expected[4096];
  struct engine_rig r;
  struct job a, b;

  rig_init (&r, &o);
  sim_close (r.main, 0, SIM_MODIFY, 4096, 4096, false);
  job_start (&a, &r, requests[first].what, requests[first].offset,
             requests[first].count, 2);
  sim_wait (r.main, 0, 1);
  job_start (&b, &r, requests[second].what, requests[second].offset,
             requests[second].count, 3);
  CU_ASSERT (!job_ended_early (&b));
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&a), 0);
  CU_ASSERT_EQUAL (job_end (&b), 0);

  /* One of the two is a part of the block, and came last or not. */
  fill (expected, 4096, 4096, 1);
  for (int pass = 0; pass < 2; pass++) {
    int i = pass == 0 ? first : second;

    fill (expected + (requests[i].offset - 4096), requests[i].offset,
          requests[i].count, i >= 2 ? 0 : pass == 0 ? 2 : 3);
  }
  CU_ASSERT_EQUAL (memcmp (r.main->data + 4096, expected, 4096), 0);
  CU_ASSERT (main_holds (&r, 0, 4096, 1));
  CU_ASSERT (main_holds (&r, 8192, 8192, 1));
  rig_end (&r);
}

static void
test_edges (void)
{
  check_edge (0, 1);
  check_edge (1, 0);
  check_edge (0, 3);
  check_edge (1, 3);
  check_edge (1, 2);
  check_edge (3, 1);
}

/* A write that is in flight while another one's failure remaps its block:
 * the block is moved once, and the last one to end wins.
 */
static void
test_failing_write_and_write (void)
{
  struct engine_rig r;
  struct job a, b;

  alarm (PATIENCE);
  rig_init (&r, NULL);
  sim_close (r.main, 0, SIM_WRITE, SEC (10), 512, false);
  r.main->gate[0].quota = 1;
  job_start (&a, &r, JOB_WRITE, SEC (10), 512, 2);
  sim_wait (r.main, 0, 1);
  sim_bad (r.main, SIM_WRITE, 10, 3, EIO);
  job_start (&b, &r, JOB_WRITE, SEC (8), SEC (8), 3);
  /* All at once, and each block alone, up to the one that A writes. */
  wait_for_writes (&r, 9, 2);
  CU_ASSERT (!job_ended_early (&b));
  /* Other blocks of the same request are done, or go on. */
  CU_ASSERT_EQUAL (rig_write (&r, SEC (8), 512, 4), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (11), 512, 4), 0);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&a), 0);
  CU_ASSERT_EQUAL (job_end (&b), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "DDRRRDDD");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (8), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (9), SEC (1), 3), 0);
  CU_ASSERT (rig_read (&r, SEC (10), SEC (1), 2) == 0 ||
             rig_read (&r, SEC (10), SEC (1), 3) == 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (11), SEC (5), 3), 0);
  alarm (0);
  rig_end (&r);
}

/* Failing writes of the same blocks: each block gets one slot. */
static void
test_failing_writes (void)
{
  struct job jobs[4];
  struct engine_rig r;
  int ok = 0;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_WRITE, 40, 8, EIO);
  sim_close (r.main, 0, SIM_WRITE, SEC (40), SEC (8), true);
  for (int i = 0; i < 4; i++)
    job_start (&jobs[i], &r, JOB_WRITE, SEC (32 + i), SEC (16), 2 + i);
  sim_wait (r.main, 0, 4);
  sim_open (r.main, 0);
  for (int i = 0; i < 4; i++)
    CU_ASSERT_EQUAL (job_end (&jobs[i]), 0);
  CU_ASSERT_EQUAL (totals (&r).remapped, 8);
  for (int s = 40; s < 48; s++) {
    for (int i = ok = 0; i < 4; i++)
      ok |= rig_read (&r, SEC (s), 512, 2 + i) == 0;
    CU_ASSERT (ok);
  }
  rig_end (&r);
}

/* Closes gate 0 behind the first read of the sector, so that the next one
 * is stuck: that is the one under the lock.
 */
static void
stick_on_second (void *opaque, enum sim_op op, uint64_t offset,
                 uint64_t count)
{
  struct engine_rig *r = opaque;

  if (op == SIM_READ && offset <= SEC (100) && offset + count > SEC (100))
    sim_close (r->main, 0, SIM_READ, SEC (100), 512, false);
}

/* One sector is stuck in main.  Requests that don't need it go on: other
 * sectors, other states, and other blocks of a large request that waits,
 * even one that it had to wait for at first.
 */
static void
test_stuck_sector (void)
{
  struct engine_result res;
  struct engine_rig r;
  struct job stuck, slow, large;

  alarm (PATIENCE);
  rig_init (&r, NULL);
  set_state (&r, 50, 4, REMAPPED, 2);
  set_state (&r, 60, 4, LOST, 0);
  set_state (&r, 64, 4, ZERO, 0);
  sim_bad (r.main, SIM_READ, 100, 1, EIO);
  r.main->hook_opaque = &r;
  r.main->hook = stick_on_second;
  job_start (&stuck, &r, JOB_READ, SEC (100), 512, 1);
  sim_wait (r.main, 0, 1);
  pthread_mutex_lock (&r.main->lock);
  r.main->hook = NULL;
  pthread_mutex_unlock (&r.main->lock);
  sim_close (r.main, 1, SIM_READ, SEC (81), 512, false);
  job_start (&slow, &r, JOB_WRITE, SEC (81) + 7, 9, 2);
  sim_wait (r.main, 1, 1);
  job_start (&large, &r, JOB_WRITE, SEC (70), MIB, 3);
  wait_for_writes (&r, 80, 1);
  sim_open (r.main, 1);
  CU_ASSERT_EQUAL (job_end (&slow), 0);
  wait_for_writes (&r, 99, 1);
  CU_ASSERT (!job_ended_early (&large));

  sim_bad (r.main, SIM_MODIFY, 80, 2, EIO);
  sim_bad (r.main, SIM_READ, 90, 1, EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (50), SEC (4), 2), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (50), SEC (4), 4), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (60), SEC (1), 4), EIO);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (60), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (61), SEC (6)), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (99), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (99) + 7, 9, 4), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (101), SEC (1000), 1), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (80), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (81), SEC (1)), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (90), SEC (1), 1), EIO);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  CU_ASSERT_EQUAL (engine_remap (&r.conn, 102, 9, WHY_MANUAL, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.done, 9);
  CU_ASSERT_STRING_EQUAL (states (&r, 80, 12), "RZDDDDDDDDLD");
  CU_ASSERT (!atomic_load (&large.done));

  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&stuck), EIO);
  CU_ASSERT_EQUAL (job_end (&large), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (70), SEC (10), 3), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (80), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (81), SEC (1), 0), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (82), SEC (8), 3), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (91), SEC (8), 3), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (99), 7, 4), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (100), SEC (70 + 2048 - 100), 3), 0);
  CU_ASSERT_EQUAL (*states (&r, 100, 1), 'R');
  alarm (0);
  rig_end (&r);
}

/* The same for a write that is stuck, and large requests that go to the
 * spare and so want all of their range alone.
 */
static void
test_stuck_write (void)
{
  struct engine_rig r;
  struct job stuck, large;

  alarm (PATIENCE);
  rig_init (&r, NULL);
  sim_close (r.main, 0, SIM_WRITE, SEC (100), 512, false);
  job_start (&stuck, &r, JOB_WRITE, SEC (100), 512, 2);
  sim_wait (r.main, 0, 1);
  /* A write that times out is moved as a whole. */
  sim_open (r.main, 1);
  sim_bad (r.main, SIM_WRITE, 99, 1, ETIMEDOUT);
  sim_bad (r.main, SIM_WRITE, 1000, 1, ETIMEDOUT);
  job_start (&large, &r, JOB_WRITE, SEC (101), SEC (1000), 3);
  CU_ASSERT_EQUAL (job_end (&large), 0);
  job_start (&large, &r, JOB_ZERO, SEC (101), SEC (1000), 0);
  CU_ASSERT_EQUAL (job_end (&large), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (99), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (50), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (101), SEC (1), 4), 0);
  sim_open (r.main, 0);
  CU_ASSERT_EQUAL (job_end (&stuck), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (100), 512, 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (101), 512, 4), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (102), SEC (999), 0), 0);
  alarm (0);
  rig_end (&r);
}

/* The spare's reads stop here. */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_cond = PTHREAD_COND_INITIALIZER;
static bool gate_closed, gate_reached;

static void
spare_gate (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  if (op != MEMDEV_READ)
    return;
  pthread_mutex_lock (&gate_lock);
  if (gate_closed) {
    gate_reached = true;
    pthread_cond_broadcast (&gate_cond);
  }
  while (gate_closed)
    pthread_cond_wait (&gate_cond, &gate_lock);
  pthread_mutex_unlock (&gate_lock);
}

static void
set_gate (struct engine_rig *r, bool closed)
{
  pthread_mutex_lock (&gate_lock);
  gate_closed = closed;
  pthread_cond_broadcast (&gate_cond);
  pthread_mutex_unlock (&gate_lock);
  pthread_mutex_lock (&r->mem->lock);
  r->mem->hook = closed ? spare_gate : NULL;
  pthread_mutex_unlock (&r->mem->lock);
}

/* Promises 8 and 9: a freed slot isn't used again as long as somebody who
 * looked it up may still read it.
 */
static void
test_slot_reuse (void)
{
  const struct rig_options o = { .spare_size = MIB };
  struct spare_status st;
  struct engine_rig r;
  struct job rd, zero;

  rig_init (&r, &o);
  spare_get_status (r.spare, &st);
  set_state (&r, 10, 1, REMAPPED, 2);
  set_state (&r, 4000, st.slots_free - 1, REMAPPED, 3);
  sim_bad (r.main, SIM_WRITE, 20, 1, EIO);

  gate_reached = false;
  set_gate (&r, true);
  job_start (&rd, &r, JOB_READ, SEC (10), 512, 2);
  pthread_mutex_lock (&gate_lock);
  while (!gate_reached)
    pthread_cond_wait (&gate_cond, &gate_lock);
  pthread_mutex_unlock (&gate_lock);

  job_start (&zero, &r, JOB_ZERO, SEC (10), 512, 0);
  CU_ASSERT (!job_ended_early (&zero));
  /* If the slot were free now, this one would take it. */
  CU_ASSERT_EQUAL (rig_write (&r, SEC (20), 512, 9), ENOSPC);
  set_gate (&r, false);
  CU_ASSERT_EQUAL (job_end (&rd), 0);
  CU_ASSERT_EQUAL (job_end (&zero), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (20), 512, 9), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 0), 0);
  rig_end (&r);
}

static void *
unmap_thread (void *opaque)
{
  struct engine_rig *r = opaque;
  struct engine_result res;
  struct engine_conn conn;

  engine_conn_init (&conn, r->e, &r->main->dev);
  CU_ASSERT_EQUAL (engine_unmap (&conn, 10, 1, NULL, &res), 0);
  return NULL;
}

/* An unmap, and requests for the sector while it is under way: while main is
 * written they wait; while it is read back they don't, and the unmap looks
 * again.
 */
static void
test_unmap_and_write (void)
{
  struct engine_rig r;
  struct job w, rd;
  pthread_t t;

  for (int read_back = 0; read_back < 2; read_back++) {
    const unsigned op = read_back ? SIM_READ : SIM_WRITE;

    rig_init (&r, NULL);
    set_state (&r, 10, 1, REMAPPED, 2);
    sim_close (r.main, 0, op, SEC (10), 512, true);
    pthread_create (&t, NULL, unmap_thread, &r);
    sim_wait (r.main, 0, 1);
    job_start (&rd, &r, JOB_READ, SEC (10), 512, 2);
    if (read_back) {
      CU_ASSERT_EQUAL (job_end (&rd), 0);
      CU_ASSERT_EQUAL (*states (&r, 10, 1), 'R');
      sim_open (r.main, 0);
    }
    else {
      CU_ASSERT (!job_ended_early (&rd));
      sim_open (r.main, 0);
      CU_ASSERT_EQUAL (job_end (&rd), 0);
    }
    pthread_join (t, NULL);
    CU_ASSERT_EQUAL (*states (&r, 10, 1), 'D');
    CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 2), 0);

    set_state (&r, 10, 1, REMAPPED, 2);
    sim_close (r.main, 0, op, SEC (10), 512, true);
    pthread_create (&t, NULL, unmap_thread, &r);
    sim_wait (r.main, 0, 1);
    job_start (&w, &r, JOB_WRITE, SEC (10), 512, 3);
    if (read_back) {
      CU_ASSERT_EQUAL (job_end (&w), 0);
      CU_ASSERT_EQUAL (*states (&r, 10, 1), 'R');
      sim_open (r.main, 0);
    }
    else {
      CU_ASSERT (!job_ended_early (&w));
      sim_open (r.main, 0);
      CU_ASSERT_EQUAL (job_end (&w), 0);
    }
    pthread_join (t, NULL);
    CU_ASSERT_EQUAL (*states (&r, 10, 1), 'D');
    CU_ASSERT_EQUAL (rig_read (&r, SEC (10), 512, 3), 0);
    rig_end (&r);
  }
}

/* Everything at once: each thread owns every fourth part of 128 bytes, so
 * all of them share each sector and block, and sectors go bad on the way.
 * What a thread wrote it must read, or an error for a LOST sector.
 */
#define OWNERS 4
#define STRESS_SECTORS 64

struct slot_owner {
  struct engine_rig *r;
  unsigned me;
  uint8_t version[STRESS_SECTORS];
  bool unsure[STRESS_SECTORS];  /* the last write failed */
  unsigned wrong;
  pthread_t thread;
};

static void
owner_step (struct slot_owner *o, struct engine_conn *conn, uint64_t *seed)
{
  struct engine_rig *r = o->r;
  unsigned s = memdev_random (seed) % STRESS_SECTORS, n = 0;
  uint64_t offset = SEC (s) + o->me * 128;
  uint8_t buf[128];
  int err;

  switch (memdev_random (seed) % 4) {
  case 0:
    memset (buf, o->version[s] + 1, sizeof buf);
    err = engine_pwrite (conn, buf, sizeof buf, offset, false);
    if (err == 0) {
      o->version[s]++;
      o->unsure[s] = false;
    }
    else
      o->unsure[s] = true;
    if (err && err != EIO)
      o->wrong++;
    break;
  case 1:
    /* Sectors go bad, and some are good again. */
    if (o->me == 0)
      sim_bad (r->main, memdev_random (seed) % 3 ? 0 : SIM_ALL, s, 1, EIO);
    break;
  default:
    err = engine_pread (conn, buf, sizeof buf, offset);
    if (err && err != EIO)
      o->wrong++;
    if (err)
      break;
    for (unsigned i = 0; i < sizeof buf; i++)
      n += buf[i] != buf[0];
    if (n > 0 || (buf[0] != o->version[s] &&
                  (!o->unsure[s] || buf[0] != (uint8_t) (o->version[s] + 1))))
      o->wrong++;
  }
}

static void *
owner_thread (void *arg)
{
  struct slot_owner *o = arg;
  struct engine_conn conn;
  uint64_t seed = o->me + 1;

  engine_conn_init (&conn, o->r->e, &o->r->main->dev);
  for (int i = 0; i < 3000; i++)
    owner_step (o, &conn, &seed);
  return NULL;
}

static void
test_stress (void)
{
  for (uint32_t block = 512; block <= 4096; block *= 8) {
    const struct rig_options opt = { .size = 2 * MIB, .block = block };
    static struct slot_owner o[OWNERS];
    struct engine_rig r;

    rig_init (&r, &opt);
    memset (r.main->data, 0, SEC (STRESS_SECTORS));
    memset (o, 0, sizeof o);
    for (unsigned i = 0; i < OWNERS; i++) {
      o[i].r = &r;
      o[i].me = i;
      pthread_create (&o[i].thread, NULL, owner_thread, &o[i]);
    }
    for (unsigned i = 0; i < OWNERS; i++) {
      pthread_join (o[i].thread, NULL);
      CU_ASSERT_EQUAL (o[i].wrong, 0);
    }
    CU_ASSERT (totals (&r).remapped + totals (&r).lost > 0);
    rig_end (&r);
  }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "a weak block is written", test_salvage_and_write },
    { "a block isn't LOST after a write", test_lost_and_write },
    { "parts of blocks", test_edges },
    { "a failing write beside another", test_failing_write_and_write },
    { "failing writes at once", test_failing_writes },
    { "a sector is stuck in a read", test_stuck_sector },
    { "a sector is stuck in a write", test_stuck_write },
    { "slots are used again", test_slot_reuse },
    { "unmap", test_unmap_and_write },
    { "everything at once", test_stress },
    { NULL }
  };

  return run_tests (argc, argv, "engine-order (promise 8)", tests);
}
