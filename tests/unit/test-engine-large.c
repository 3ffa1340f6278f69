/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Requests of gigabytes, of which a few sectors fail: what fails is what
 * changes, and a sector that takes its time holds up nobody else (promises 3
 * and 9 of remap-promises(7)).
 *
 * Main has 8 GiB and no content: it knows which sectors are bad, counts
 * calls and bytes, and can be stopped at a sector.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine-rig.h"

#define GIB (MIB * 1024)
#define SIZE (8 * GIB)

struct large {
  struct device dev;
  struct device_ops ops;
  struct map *map;              /* of the engine */
  struct spare *spare;
  struct memdev *mem;
  struct engine *e;
  struct engine_conn conn;
  struct map *bad;              /* LOST: for writes and zeroes */
  int err;                      /* of these */
  uint64_t calls, failed, bytes;        /* written or zeroed */

  /* Calls that touch this byte wait. */
  pthread_mutex_t lock;
  pthread_cond_t cond;
  uint64_t gate;                /* UINT64_MAX: open */
  unsigned waiting;
};

static void
stop_at_gate (struct large *l, uint64_t offset, uint64_t count)
{
  pthread_mutex_lock (&l->lock);
  if (l->gate >= offset && l->gate < offset + count) {
    l->waiting++;
    pthread_cond_broadcast (&l->cond);
    while (l->gate >= offset && l->gate < offset + count)
      pthread_cond_wait (&l->cond, &l->lock);
    l->waiting--;
  }
  pthread_mutex_unlock (&l->lock);
}

static void
close_gate (struct large *l, uint64_t offset)
{
  pthread_mutex_lock (&l->lock);
  l->gate = offset;
  pthread_cond_broadcast (&l->cond);
  pthread_mutex_unlock (&l->lock);
}

static void
wait_for_visitor (struct large *l)
{
  pthread_mutex_lock (&l->lock);
  while (l->waiting == 0)
    pthread_cond_wait (&l->cond, &l->lock);
  pthread_mutex_unlock (&l->lock);
}

static int
large_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  stop_at_gate (ctx, offset, count);
  memset (buf, 0x5a, count);
  return 0;
}

static int
modify (struct large *l, uint64_t offset, uint64_t count)
{
  stop_at_gate (l, offset, count);
  l->calls++;
  l->bytes += count;
  if (map_all_direct (l->bad, sector_of (offset),
                      sectors_in (offset, offset + count)))
    return 0;
  l->failed++;
  return l->err;
}

static int
large_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  return modify (ctx, offset, count);
}

static int
large_zero (void *ctx, uint32_t count, uint64_t offset, unsigned flags)
{
  return modify (ctx, offset, count);
}

static int
large_flush (void *ctx)
{
  return 0;
}

static void
large_init (struct large *l, bool can_zero, bool auto_remap)
{
  struct engine_config config = {
    .main_size = SIZE, .main_block = SECTOR_SIZE, .retries = 1,
    .auto_remap = auto_remap,
  };
  struct spare_identity id = { .main_size = SIZE };

  memset (l, 0, sizeof *l);
  l->ops = (struct device_ops) {
    .pread = large_pread, .pwrite = large_pwrite, .flush = large_flush,
    .zero = can_zero ? large_zero : NULL, .trim = NULL,
  };
  l->dev = (struct device) { .ops = &l->ops, .ctx = l };
  l->err = EIO;
  l->gate = UINT64_MAX;
  pthread_mutex_init (&l->lock, NULL);
  pthread_cond_init (&l->cond, NULL);
  l->bad = map_new ();
  l->map = map_new ();
  l->mem = memdev_new (16 * MIB);
  CU_ASSERT_EQUAL_FATAL (spare_format (&l->mem->dev, l->mem->size, true, &id,
                                       NULL, l->map, &l->spare, NULL), 0);
  l->e = engine_new (&config, l->map, l->spare);
  CU_ASSERT_PTR_NOT_NULL_FATAL (l->e);
  engine_conn_init (&l->conn, l->e, &l->dev);
}

static void
large_end (struct large *l)
{
  engine_free (l->e);
  spare_close (l->spare);
  map_free (l->map);
  map_free (l->bad);
  memdev_free (l->mem);
}

static void
set_bad (struct large *l, sector_t start, uint64_t count)
{
  const struct run run = { .start = start, .count = count, .state = LOST,
                           .slot = NO_SLOT };

  map_begin (l->bad);
  CU_ASSERT_EQUAL_FATAL (map_set (l->bad, &run), 0);
  map_publish (l->bad);
}

/* N bad sectors far from each other in the first 4 GiB. */
static void
scatter (struct large *l, unsigned n)
{
  const uint64_t step = 4 * GIB / SECTOR_SIZE / n;

  for (unsigned i = 0; i < n; i++)
    set_bad (l, i * step + 7 + i % 11, 1);
}

static struct map_totals
totals_of (struct large *l)
{
  struct map_totals t;

  map_get_totals (l->map, &t);
  return t;
}

static const unsigned numbers[] = { 1, 2, 5, 8, 40, 1000 };
#define NR_NUMBERS (sizeof numbers / sizeof numbers[0])

/* As many sectors become ZERO as are bad, and each costs a handful of
 * failing calls, however large the request is.
 */
static void
test_scattered (void)
{
  for (unsigned i = 0; i < NR_NUMBERS; i++)
    for (int can_zero = 0; can_zero <= 1; can_zero++) {
      const unsigned n = numbers[i];
      struct large l;

      large_init (&l, can_zero, true);
      scatter (&l, n);
      CU_ASSERT_EQUAL (engine_zero (&l.conn, 4 * GIB - 512, 0, 0, false), 0);
      CU_ASSERT_EQUAL (totals_of (&l).zero, n);
      CU_ASSERT (l.failed <= 5 * n);
      /* Of each call that failed at most all is zeroed again, twice. */
      CU_ASSERT (l.bytes <= 4 * GIB + 3 * (uint64_t) n * MAIN_PIECE);
      if (!can_zero)
        CU_ASSERT (l.bytes <= 4 * GIB + 3 * (uint64_t) n * MIB);
      large_end (&l);
    }
}

/* Bad ones side by side: what is given up besides is less than 1 MiB for each
 * call that they touch.
 */
static void
test_runs (void)
{
  for (unsigned i = 0; i < NR_NUMBERS; i++) {
    const unsigned n = numbers[i];
    struct large l;

    large_init (&l, true, true);
    set_bad (&l, 3000001, n);
    set_bad (&l, 6000001, n);
    CU_ASSERT_EQUAL (engine_zero (&l.conn, 4 * GIB - 512, 0, 0, false), 0);
    CU_ASSERT (totals_of (&l).zero >= 2 * n);
    CU_ASSERT (totals_of (&l).zero <= (n < 40 ? 2 * n : 2 * n + 2 * 2048));
    CU_ASSERT (l.failed <= 2 * (MAX_FAILING_PIECES + 48));
    large_end (&l);
  }
}

/* A whole 32 MiB that fails: each piece of it is given up sooner or later,
 * without one try for each sector.
 */
static void
test_all_bad (void)
{
  struct large l;

  large_init (&l, true, true);
  set_bad (&l, 100 * 65536, 65536);
  CU_ASSERT_EQUAL (engine_zero (&l.conn, 4 * GIB - 512, 0, 0, false), 0);
  CU_ASSERT_EQUAL (totals_of (&l).zero, 65536);
  CU_ASSERT (l.failed <= MAX_FAILING_PIECES + 16 * 16 + 32);
  large_end (&l);
}

/* One call that times out may still land: so what it covers is left alone,
 * and nothing else.
 */
static void
test_timed_out (void)
{
  static uint8_t buf[4096];
  struct large l;

  large_init (&l, true, true);
  set_bad (&l, 1000000, 1);
  l.err = ETIMEDOUT;
  CU_ASSERT_EQUAL (engine_zero (&l.conn, 4 * GIB - 512, 0, 0, false), 0);
  CU_ASSERT_EQUAL (l.failed, 1);
  CU_ASSERT_EQUAL (totals_of (&l).zero, MAIN_PIECE / SECTOR_SIZE);

  /* Elsewhere writes are main's, right beside it too. */
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 4096, 3 * GIB, false), 0);
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 4096, 0, false), 0);
  CU_ASSERT_EQUAL (totals_of (&l).remapped, 0);
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 4096, SEC (1000000), false),
                   0);
  CU_ASSERT_EQUAL (totals_of (&l).remapped, 8);
  large_end (&l);

  /* Where nothing is remapped, it is refused, and everything else isn't. */
  large_init (&l, true, false);
  set_bad (&l, 1000000, 1);
  l.err = ETIMEDOUT;
  CU_ASSERT_EQUAL (engine_zero (&l.conn, 4 * GIB - 512, 0, 0, false), EIO);
  l.err = 0;
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 4096, 3 * GIB, false), 0);
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 4096, SEC (1000000), false),
                   EIO);
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 4096, SEC (900000), false),
                   0);
  large_end (&l);
}

/* What is late doesn't take along what lies beside it in the same request. */
static void
test_beside_late (void)
{
  struct large l;

  large_init (&l, true, true);
  late_add (l.e, SEC (70000), SEC (70008));
  CU_ASSERT_EQUAL (engine_zero (&l.conn, 1 * GIB, 0, 0, false), 0);
  CU_ASSERT_EQUAL (totals_of (&l).zero, 8);
  CU_ASSERT_EQUAL (l.bytes, 1 * GIB - SEC (8));
  large_end (&l);
}

static int
slow_trim (void *ctx, uint32_t count, uint64_t offset)
{
  return modify (ctx, offset, count);
}

static void
test_trim_timed_out (void)
{
  static uint8_t buf[4096];
  struct large l;

  large_init (&l, true, true);
  l.conn.main_dev.ops = &l.ops;
  l.ops.trim = slow_trim;
  set_bad (&l, 1000000, 1);
  l.err = ETIMEDOUT;
  CU_ASSERT_EQUAL (engine_trim (&l.conn, 4 * GIB - 512, 0, false), EIO);
  l.err = 0;
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 4096, 2 * GIB, false), 0);
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 4096,
                                  SEC (1000000) + MAIN_PIECE, false), 0);
  CU_ASSERT_EQUAL (totals_of (&l).remapped, 0);
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 4096, SEC (1000000), false),
                   0);
  CU_ASSERT_EQUAL (totals_of (&l).remapped, 8);
  large_end (&l);
}

struct task {
  struct large *l;
  enum { TASK_ZERO, TASK_REMAP } what;
  int err;
  pthread_t thread;
};

static void *
run_task (void *arg)
{
  struct task *t = arg;
  struct engine_result res;

  if (t->what == TASK_ZERO)
    t->err = engine_zero (&t->l->conn, 4 * GIB - 512, 0, 0, false);
  else
    t->err = engine_remap (&t->l->conn, 0, 256, WHY_MANUAL, NULL, &res);
  return NULL;
}

/* While main is stuck at a sector, requests elsewhere go on.  If they didn't,
 * this would wait for ever: the gate opens when they have ended.
 */
static void
test_stuck_zero (void)
{
  struct task t;
  struct large l;
  uint8_t buf[100] = { 0 };

  large_init (&l, true, true);
  close_gate (&l, GIB / 10 + 5);
  t = (struct task) { .l = &l, .what = TASK_ZERO };
  CU_ASSERT_EQUAL_FATAL (pthread_create (&t.thread, NULL, run_task, &t), 0);
  wait_for_visitor (&l);
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 100, 2900 * MIB + 3, false),
                   0);
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 100, 3, false), 0);
  close_gate (&l, UINT64_MAX);
  pthread_join (t.thread, NULL);
  CU_ASSERT_EQUAL (t.err, 0);
  large_end (&l);
}

/* A request of gigabytes may touch millions of ranges that aren't main's: it
 * doesn't keep them all in mind until the end.
 */
static void
test_stretches (void)
{
  struct engine_result res;
  struct task t;
  struct large l;

  large_init (&l, true, true);
  CU_ASSERT_EQUAL (engine_declare_lost (l.e, 100, 1, WHY_MANUAL, NULL, &res),
                   0);
  close_gate (&l, 3 * GIB + 5);
  t = (struct task) { .l = &l, .what = TASK_ZERO };
  CU_ASSERT_EQUAL_FATAL (pthread_create (&t.thread, NULL, run_task, &t), 0);
  wait_for_visitor (&l);
  CU_ASSERT_EQUAL (map_lookup (l.map, 100, 1).state, ZERO);
  close_gate (&l, UINT64_MAX);
  pthread_join (t.thread, NULL);
  CU_ASSERT_EQUAL (t.err, 0);
  CU_ASSERT_EQUAL (totals_of (&l).zero, 1);
  CU_ASSERT_EQUAL (totals_of (&l).runs, 1);
  large_end (&l);
}

static void
test_stuck_remap (void)
{
  struct task t;
  struct large l;
  uint8_t buf[512] = { 0 };

  large_init (&l, true, true);
  close_gate (&l, SEC (100) + 5);
  t = (struct task) { .l = &l, .what = TASK_REMAP };
  CU_ASSERT_EQUAL_FATAL (pthread_create (&t.thread, NULL, run_task, &t), 0);
  wait_for_visitor (&l);
  CU_ASSERT_EQUAL (engine_pwrite (&l.conn, buf, 512, SEC (10), false), 0);
  close_gate (&l, UINT64_MAX);
  pthread_join (t.thread, NULL);
  CU_ASSERT_EQUAL (t.err, 0);
  CU_ASSERT_EQUAL (totals_of (&l).remapped, 256);
  large_end (&l);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "scattered bad sectors (promise 9)", test_scattered },
    { "runs of bad sectors (promise 9)", test_runs },
    { "32 MiB of bad sectors (promise 9)", test_all_bad },
    { "a call that timed out (promises 3, 9)", test_timed_out },
    { "beside what is late (promises 3, 9)", test_beside_late },
    { "a trim that timed out (promise 3)", test_trim_timed_out },
    { "stuck while zeroing (promise 8)", test_stuck_zero },
    { "stuck while remapping (promise 8)", test_stuck_remap },
    { "stretch by stretch", test_stretches },
    { NULL }
  };

  return run_tests (argc, argv, "engine-large", tests);
}
