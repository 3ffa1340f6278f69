/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What requests cost that touch only DIRECT sectors (promise 24 of
 * remap-promises(7)), and the engine when memory runs out: each allocation
 * of each slow path fails once.  Then the request fails or succeeds, but
 * nothing is invented, lost, leaked or left locked.
 *
 * Linked with --wrap for the functions that allocate or lock.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine-rig.h"
#include "fail-malloc.h"

static _Thread_local unsigned locks;

extern int __real_pthread_mutex_lock (pthread_mutex_t *m);
extern int __real_pthread_mutex_trylock (pthread_mutex_t *m);
extern int __wrap_pthread_mutex_lock (pthread_mutex_t *m);
extern int __wrap_pthread_mutex_trylock (pthread_mutex_t *m);

int
__wrap_pthread_mutex_lock (pthread_mutex_t *m)
{
  locks++;
  return __real_pthread_mutex_lock (m);
}

int
__wrap_pthread_mutex_trylock (pthread_mutex_t *m)
{
  locks++;
  return __real_pthread_mutex_trylock (m);
}

/* A main that takes no lock and allocates nothing itself. */
static uint8_t plain[MIB];

static int
plain_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  memcpy (buf, plain + offset, count);
  return 0;
}

static int
plain_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  memcpy (plain + offset, buf, count);
  return 0;
}

static int
plain_flush (void *ctx)
{
  return 0;
}

static int
plain_zero (void *ctx, uint32_t count, uint64_t offset, unsigned flags)
{
  memset (plain + offset, 0, count);
  return 0;
}

static int
plain_trim (void *ctx, uint32_t count, uint64_t offset)
{
  return 0;
}

static int
plain_cache (void *ctx, uint32_t count, uint64_t offset)
{
  return 0;
}

/* Promise 24, on a disk where other sectors are mapped, and where a write
 * timed out once.
 */
static void
test_clean_path (void)
{
  static const struct device_ops ops = {
    .pread = plain_pread, .pwrite = plain_pwrite, .flush = plain_flush,
    .zero = plain_zero, .trim = plain_trim,
  };
  const struct device dev = { .ops = &ops };
  static uint8_t buf[128 * 1024];

  for (int how = 0; how < 3; how++) {
    const struct rig_options o = { .size = MIB };
    struct engine_rig r;
    uint32_t len;

    rig_init (&r, &o);
    if (how > 0)
      set_state (&r, 10, 5, REMAPPED, 2);
    if (how > 1) {
      sim_fail (r.main, SIM_WRITE, 1, ETIMEDOUT);
      CU_ASSERT_EQUAL (rig_write (&r, SEC (10) - 512, 512, 2), 0);
    }
    /* A thread's first lookup registers it. */
    CU_ASSERT_EQUAL (engine_pread (over (&r.conn, &dev), buf, 512, 32768), 0);

    malloc_calls = locks = 0;
    CU_ASSERT_EQUAL (engine_pread (over (&r.conn, &dev), buf, sizeof buf,
                                   32768), 0);
    CU_ASSERT_EQUAL (engine_pwrite (over (&r.conn, &dev), buf, sizeof buf,
                                    32768, false), 0);
    CU_ASSERT_EQUAL (engine_pwrite (over (&r.conn, &dev), buf, sizeof buf,
                                    32768, true), 0);
    CU_ASSERT_EQUAL (engine_zero (over (&r.conn, &dev), sizeof buf, 32768, 0,
                                  false), 0);
    CU_ASSERT_EQUAL (engine_trim (over (&r.conn, &dev), sizeof buf, 32768,
                                  false), 0);
    CU_ASSERT_EQUAL (engine_cache (over (&r.conn, &dev), sizeof buf, 32768,
                                   plain_cache), 0);
    CU_ASSERT_EQUAL (engine_extent (r.e, sizeof buf, 32768, &len), DIRECT);
    CU_ASSERT_EQUAL (malloc_calls, 0);
    CU_ASSERT_EQUAL (locks, 0);
    rig_end (&r);
  }
}

/* A disk with all there is: D D R R L L Z Z in sectors 8-15 and 24-31, the
 * first of each pair bad.
 */
#define DISK_SECTORS 64

enum what {
  N_READ_BAD, N_READ_WEAK, N_READ_PART, N_READ_MIXED, N_WRITE_BAD,
  N_WRITE_EDGES, N_WRITE_MAPPED, N_WRITE_BAD_SLOT, N_WRITE_TIMEOUT, N_ZERO,
  N_ZERO_MIXED, N_ZERO_PART, N_TRIM, N_CACHE, N_FLUSH, N_REMAP, N_UNMAP,
  N_RETRY, N_FORGET, N_READ_BAD_SLOT, N_WRITE_UNREADABLE, N_ZERO_UNREADABLE,
  NR_WHAT
};

static uint8_t data[DISK_SECTORS * 512];

static int
request_of (struct engine_rig *r, enum what what, struct engine_conn *conn)
{
  struct engine_result res;

  switch (what) {
  case N_READ_BAD:
    return engine_pread (conn, data, 8192, SEC (32));
  case N_READ_WEAK:
    return engine_pread (conn, data, 4096, SEC (40));
  case N_READ_PART:
    return engine_pread (conn, data, 700, SEC (40) + 3);
  case N_READ_MIXED:
    return engine_pread (conn, data, 512, SEC (8));
  case N_WRITE_BAD:
  case N_WRITE_TIMEOUT:
    return engine_pwrite (conn, data, 8192, SEC (32), false);
  case N_WRITE_EDGES:
    return engine_pwrite (conn, data, 8192, SEC (32) + 700, true);
  case N_READ_BAD_SLOT:
    return engine_pread (conn, data, SEC (8), SEC (16));
  case N_ZERO_UNREADABLE:
    return engine_zero (conn, SEC (8), SEC (16), 0, false);
  case N_WRITE_MAPPED:
  case N_WRITE_BAD_SLOT:
  case N_WRITE_UNREADABLE:
    return engine_pwrite (conn, data, SEC (8), SEC (16), true);
  case N_ZERO:
    return engine_zero (conn, SEC (40), 0, 0, false);
  case N_ZERO_MIXED:
    return engine_zero (conn, SEC (5), SEC (9), 0, false);
  case N_ZERO_PART:
    return engine_zero (conn, SEC (1), SEC (32) + 5, 0, false);
  case N_TRIM:
    return engine_trim (conn, SEC (64), 0, true);
  case N_CACHE:
    return engine_cache (conn, SEC (40), 0, NULL);
  case N_FLUSH:
    return engine_flush (conn);
  case N_REMAP:
    return engine_remap (conn, 0, 64, WHY_MANUAL, NULL, &res);
  case N_UNMAP:
    return engine_unmap (conn, 0, 64, NULL, &res);
  case N_RETRY:
    return engine_retry (conn, 0, 64, NULL, &res);
  default:
    return engine_forget_lost (r->e, 0, 64, NULL, &res);
  }
}

static void
prepare (struct engine_rig *r, enum what what, uint32_t block)
{
  const struct rig_options o = { .size = DISK_SECTORS * 512, .block = block,
                                 .spare_size = MIB };

  rig_init (r, &o);
  set_state (r, 10, 2, REMAPPED, 1);
  set_state (r, 12, 2, LOST, 0);
  set_state (r, 16, 8, REMAPPED, 1);
  set_state (r, 24, 4, LOST, 0);
  sim_bad (r->main, SIM_ALL, 33, 2, EIO);
  sim_bad (r->main, SIM_READ, 43, 1, EIO);
  sim_recover (r->main, 43, what == N_READ_PART ? 1 : 2);
  if (what == N_WRITE_TIMEOUT)
    sim_fail (r->main, SIM_WRITE, 1, ETIMEDOUT);
  if (what == N_WRITE_BAD_SLOT)
    memdev_fail (r->mem, MEMDEV_WRITE, 1, EIO, false);
  if (what >= N_READ_BAD_SLOT)
    memdev_fail (r->mem, MEMDEV_READ, 1, EIO, true);
  if (what > N_READ_BAD_SLOT) {
    CU_ASSERT_EQUAL (rig_read (r, SEC (16), SEC (8), 1), EIO);
    memdev_fail (r->mem, 0, 0, 0, false);
  }
}

/* Whatever the request came to: each sector reads as what it was, or as
 * what was or may have been written (tag 1 again, or zeroes), or fails if
 * it may be LOST.
 */
static void
check_all (struct engine_rig *r, enum what what)
{
  for (sector_t s = 0; s < DISK_SECTORS; s++) {
    int err = rig_read (r, SEC (s), 512, 1);

    if (err == -1)
      err = rig_read (r, SEC (s), 512, 0) == 0 &&
        (what == N_ZERO || what == N_ZERO_MIXED || what == N_FORGET ||
         what == N_ZERO_UNREADABLE) ? 0 : -1;
    if (err == -1 && what == N_ZERO_PART && (s == 32 || s == 33))
      err = 0;
    if (s == 12 || s == 13 || (s >= 24 && s < 28) || (s >= 32 && s < 40) ||
        (s >= 8 && s < 16) || (s >= 40 && s < 48)) {
      CU_ASSERT (err == 0 || err == EIO);
    }
    else {
      CU_ASSERT_EQUAL (err, 0);
    }
  }
}

static void
check_request (enum what what, uint32_t block)
{
  for (unsigned n = 1; n < 1000; n++) {
    struct engine_conn conn;
    struct engine_rig r;
    uint64_t offset = what == N_WRITE_EDGES ? SEC (32) + 700
      : what == N_WRITE_BAD || what == N_WRITE_TIMEOUT ? SEC (32) : SEC (16);
    unsigned hits;
    int err;

    prepare (&r, what, block);
    fill (data, offset, 8192, 1);
    engine_conn_init (&conn, r.e, &r.main->dev);
    malloc_hits = 0;
    malloc_countdown = n;
    err = request_of (&r, what, &conn);
    malloc_countdown = 0;
    hits = malloc_hits;
    CU_ASSERT (err == 0 || err == EIO || err == ENOMEM);
    rig_check_idle (&r);
    memdev_fail (r.mem, 0, 0, 0, false);
    check_all (&r, what);
    rig_restart (&r);
    check_all (&r, what);
    rig_end (&r);
    if (hits == 0)
      return;
  }
  CU_FAIL ("it never ends");
}

static void
test_requests (void)
{
  for (enum what what = 0; what < NR_WHAT; what++) {
    check_request (what, 512);
    check_request (what, 4096);
  }
}

/* Making an engine. */
static void
test_new (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  for (unsigned n = 1;; n++) {
    struct engine *e;

    malloc_countdown = n;
    e = engine_new (&r.config, r.map, r.spare);
    if (malloc_countdown > 0) {
      malloc_countdown = 0;
      CU_ASSERT_PTR_NOT_NULL (e);
      engine_free (e);
      break;
    }
    CU_ASSERT_PTR_NULL (e);
    CU_ASSERT_EQUAL (errno, ENOMEM);
  }
  malloc_countdown = 1;
  CU_ASSERT_PTR_NULL (events_new (&(struct events_config) { 0 }));
  malloc_countdown = 0;
  rig_end (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "no lock, no allocation (promise 24)", test_clean_path },
    { "requests without memory", test_requests },
    { "an engine without memory", test_new },
    { NULL }
  };

  return run_tests (argc, argv, "engine-nomem", tests);
}
