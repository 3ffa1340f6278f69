/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Alive or dead: disks of which much can't be read and which are alive, and
 * disks that die, with and without a page cache before them; requests that
 * wait for one that went away (promise 12 of remap-promises(7)).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine/canaries.h"
#include "engine/marks.h"
#include "engine-rig.h"

#define STRIPE (8 * MIB)

/* A disk without content, of which stripe HEADS * n can't be read. */
struct disk {
  struct device dev;
  uint64_t size;
  unsigned heads;               /* 0: none is dead */
  atomic_bool dead;
  int dead_err;
  uint8_t *cache;               /* a flag for each 4 KiB; NULL: no cache */
  atomic_uint reads, failed;
  _Atomic uint64_t *clock;      /* ms; NULL: the system's.  It hangs for 30 s */
  struct map *map;              /* of the engine */
  struct spare *spare;
  struct memdev *mem;
  struct engine *e;
  struct engine_conn conn;
};

/* The cache reads so much ahead.  Bytes. */
#define AHEAD (128 * KIB)

static bool
in_cache (struct disk *d, uint64_t offset, uint64_t count)
{
  if (d->cache == NULL)
    return false;
  for (uint64_t i = offset / 4096; i <= (offset + count - 1) / 4096; i++)
    if (!d->cache[i])
      return false;
  return true;
}

static int
disk_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  struct disk *d = ctx;
  const bool bad = d->heads && offset / STRIPE % d->heads == 1;
  uint64_t i;

  memset (buf, 0x5a, count);
  if (in_cache (d, offset, count))
    return 0;
  atomic_fetch_add (&d->reads, 1);
  if (atomic_load (&d->dead) || bad) {
    atomic_fetch_add (&d->failed, 1);
    if (d->clock && atomic_load (&d->dead))
      atomic_fetch_add (d->clock, 30000);
    return atomic_load (&d->dead) ? d->dead_err : EIO;
  }
  if (d->cache)
    for (i = offset / 4096; i * 4096 < offset + count + AHEAD &&
                            i * 4096 < d->size; i++)
      if (!d->heads || i * 4096 / STRIPE % d->heads != 1)
        d->cache[i] = 1;
  return 0;
}

static int
disk_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  struct disk *d = ctx;

  return atomic_load (&d->dead) ? d->dead_err : 0;
}

static int
disk_pwrite_refused (void *ctx, const void *buf, uint32_t count,
                     uint64_t offset)
{
  struct disk *d = ctx;

  atomic_fetch_add (&d->failed, 1);
  return d->dead_err;
}

static int
disk_flush (void *ctx)
{
  return 0;
}

static void
disk_init (struct disk *d, uint64_t size, unsigned heads,
           enum main_cache cache, uint64_t wait_ms)
{
  static const struct device_ops ops = {
    .pread = disk_pread, .pwrite = disk_pwrite, .flush = disk_flush,
  };
  const struct engine_config config = {
    .main_size = size, .main_block = SECTOR_SIZE, .retries = 1,
    .auto_remap = true, .main_cache = cache, .lost_wait_ms = wait_ms,
  };
  struct spare_identity id = { .main_size = size };

  memset (d, 0, sizeof *d);
  d->dev = (struct device) { .ops = &ops, .ctx = d };
  d->size = size;
  d->heads = heads;
  d->dead_err = EIO;
  if (cache == MAIN_CACHED)
    d->cache = calloc (1, size / 4096);
  d->map = map_new ();
  d->mem = memdev_new (64 * MIB);
  CU_ASSERT_EQUAL_FATAL (spare_format (&d->mem->dev, d->mem->size, true, &id,
                                       NULL, d->map, &d->spare, NULL), 0);
  d->e = engine_new (&config, d->map, d->spare);
  CU_ASSERT_PTR_NOT_NULL_FATAL (d->e);
  engine_conn_init (&d->conn, d->e, &d->dev);
}

static void
disk_end (struct disk *d)
{
  engine_free (d->e);
  spare_close (d->spare);
  map_free (d->map);
  memdev_free (d->mem);
  free (d->cache);
}

static uint64_t
lost_sectors (struct disk *d)
{
  struct map_totals t;

  map_get_totals (d->map, &t);
  return t.lost;
}

static uint64_t
times_lost (struct disk *d)
{
  struct engine_status st;

  engine_get_status (d->e, &st);
  return st.ever[STAT_MAIN_LOST];
}

static uint64_t seed = 1;

static uint64_t
pick_sector (struct disk *d, bool bad)
{
  uint64_t offset;

  do
    offset = memdev_random (&seed) % (d->size / SECTOR_SIZE) * SECTOR_SIZE;
  while (bad != (d->heads && offset / STRIPE % d->heads == 1));
  return offset;
}

/* One stripe in N can't be read: that is no disk that is gone. */
static void
test_heads (void)
{
  static const unsigned numbers[] = { 2, 3, 4, 6, 8 };
  static uint8_t buf[SECTOR_SIZE];

  for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    for (enum main_cache c = MAIN_CACHE_UNKNOWN; c <= MAIN_UNCACHED; c++) {
      struct disk d;

      disk_init (&d, 64 * 1024 * MIB, numbers[i], c, 0);
      for (unsigned n = 0; n < 10000; n++)
        CU_ASSERT_EQUAL (engine_pread (&d.conn, buf, SECTOR_SIZE,
                                       pick_sector (&d, true)), EIO);
      CU_ASSERT_EQUAL (times_lost (&d), 0);
      CU_ASSERT (lost_sectors (&d) >= 9990);
      /* A canary that fails is a bad sector that was found (promise 5). */
      CU_ASSERT (atomic_load (&d.failed) <= 4 * lost_sectors (&d));
      if (c == MAIN_UNCACHED)
        CU_ASSERT (atomic_load (&d.failed) <= 2 * 10000 + 100);
      disk_end (&d);
    }
}

/* A disk dies: nothing becomes LOST for it, whatever a cache still knows. */
static void
test_dies (void)
{
  static uint8_t buf[SECTOR_SIZE];

  for (enum main_cache c = MAIN_CACHE_UNKNOWN; c <= MAIN_CACHED; c++)
    for (int err = EIO; err; err = err == EIO ? ETIMEDOUT : 0) {
      struct disk d;
      uint64_t lost;

      disk_init (&d, 64 * MIB, 4, c, 0);
      d.dead_err = err;
      for (unsigned n = 0; n < 300; n++)
        engine_pread (&d.conn, buf, SECTOR_SIZE, pick_sector (&d, true));
      lost = lost_sectors (&d);
      CU_ASSERT (c == MAIN_CACHED ? lost > 100 : lost > 290);
      atomic_store (&d.dead, true);
      for (unsigned n = 0; n < 200; n++)
        engine_pread (&d.conn, buf, SECTOR_SIZE, pick_sector (&d, false));
      CU_ASSERT_EQUAL (lost_sectors (&d), lost);
      if (c != MAIN_CACHED)
        CU_ASSERT_EQUAL (times_lost (&d), 1);
      disk_end (&d);
    }
}

static _Atomic uint64_t simulated_ms;

static uint64_t
simulated_now (void *opaque)
{
  return atomic_load (&simulated_ms);
}

/* A disk that hangs: it is asked for a sign of life once. */
static void
test_hangs (void)
{
  static uint8_t buf[SECTOR_SIZE];
  struct disk d;

  disk_init (&d, 64 * MIB, 0, MAIN_UNCACHED, 0);
  d.e->config.now_ms = simulated_now;
  d.clock = &simulated_ms;
  d.dead_err = ETIMEDOUT;
  atomic_store (&d.dead, true);
  CU_ASSERT_EQUAL (engine_pread (&d.conn, buf, SECTOR_SIZE, 0), ESHUTDOWN);
  CU_ASSERT_EQUAL (atomic_load (&d.failed), 2);
  disk_end (&d);
}

/* Where nothing is left that could tell, a read changes no state, and what a
 * client writes is taken in.
 */
static void
test_silent (void)
{
  static uint8_t buf[MIB];
  struct engine_status st;
  struct disk d;

  disk_init (&d, 16 * MIB, 0, MAIN_CACHED, 0);
  for (uint64_t i = 0; i < d.size; i += sizeof buf)
    CU_ASSERT_EQUAL (engine_pread (&d.conn, buf, sizeof buf, i), 0);
  memset (d.cache, 0, 10);
  atomic_store (&d.dead, true);
  CU_ASSERT_EQUAL (engine_pread (&d.conn, buf, 512, 512), EIO);
  CU_ASSERT_EQUAL (lost_sectors (&d), 0);
  CU_ASSERT_EQUAL (times_lost (&d), 0);
  engine_get_status (d.e, &st);
  CU_ASSERT_EQUAL (st.health, HEALTH_DEGRADED);
  CU_ASSERT (st.main_silent);
  CU_ASSERT_EQUAL (engine_pwrite (&d.conn, buf, 512, 512, false), 0);
  memset (buf, 0, 512);
  CU_ASSERT_EQUAL (engine_pread (&d.conn, buf, 512, 512), 0);
  CU_ASSERT_EQUAL (buf[0], 0x5a);
  disk_end (&d);
}

struct waiter {
  struct disk *d;
  uint8_t buf[SECTOR_SIZE];
  bool write;
  int err;
  atomic_bool done;
  pthread_t thread;
};

static void *
wait_for_disk (void *arg)
{
  struct waiter *w = arg;

  w->err = w->write
    ? engine_pwrite (&w->d->conn, w->buf, SECTOR_SIZE, 4 * MIB, true)
    : engine_pread (&w->d->conn, w->buf, SECTOR_SIZE, 2 * MIB);
  atomic_store (&w->done, true);
  return NULL;
}

/* A disk that goes away and comes back: requests wait for it, and nobody sees
 * that it was gone.
 */
static void
test_comes_back (void)
{
  static struct waiter w[8];
  struct disk d;

  for (int err = ENODEV; err; err = err == ENODEV ? EIO : 0) {
    disk_init (&d, 64 * MIB, 0, MAIN_UNCACHED, 600000);
    d.dead_err = err;
    atomic_store (&d.dead, true);
    for (unsigned i = 0; i < 8; i++) {
      memset (&w[i], 0, sizeof w[i]);
      w[i].d = &d;
      w[i].write = i % 2;
      CU_ASSERT_EQUAL_FATAL (pthread_create (&w[i].thread, NULL,
                                             wait_for_disk, &w[i]), 0);
    }
    /* It has been asked again, which is done once a second. */
    while (times_lost (&d) == 0 || atomic_load (&d.failed) < 12)
      ;
    for (unsigned i = 0; i < 8; i++)
      CU_ASSERT_FALSE (atomic_load (&w[i].done));
    atomic_store (&d.dead, false);
    for (unsigned i = 0; i < 8; i++) {
      pthread_join (w[i].thread, NULL);
      CU_ASSERT_EQUAL (w[i].err, 0);
    }
    CU_ASSERT_EQUAL (lost_sectors (&d), 0);
    CU_ASSERT_EQUAL (times_lost (&d), 1);
    disk_end (&d);
  }
}

/* What was written and not flushed may be gone with it: the next FLUSH says so,
 * although main is back by then; and then all is well (promise 14).
 */
static void
test_unflushed (void)
{
  static struct waiter w;
  static uint8_t buf[SECTOR_SIZE];
  struct disk d;

  disk_init (&d, 64 * MIB, 0, MAIN_UNCACHED, 600000);
  d.dead_err = ENODEV;
  CU_ASSERT_EQUAL (engine_pwrite (&d.conn, buf, SECTOR_SIZE, 0, false), 0);
  atomic_store (&d.dead, true);
  memset (&w, 0, sizeof w);
  w.d = &d;
  CU_ASSERT_EQUAL_FATAL (pthread_create (&w.thread, NULL, wait_for_disk, &w),
                         0);
  while (times_lost (&d) == 0)
    ;
  CU_ASSERT_EQUAL (engine_flush (&d.conn), EIO);
  atomic_store (&d.dead, false);
  pthread_join (w.thread, NULL);
  CU_ASSERT_EQUAL (w.err, 0);
  CU_ASSERT_EQUAL (engine_flush (&d.conn), 0);
  disk_end (&d);
}

/* A flush on one connection says nothing about what another one has written, if
 * main is like that; else it does (promise 14).
 */
static void
test_per_connection (void)
{
  static uint8_t buf[SECTOR_SIZE];

  for (int per_conn = 0; per_conn < 2; per_conn++) {
    struct engine_conn other;
    struct disk d;

    disk_init (&d, 64 * MIB, 0, MAIN_UNCACHED, 0);
    d.dead_err = ENODEV;
    if (per_conn)
      engine_flush_is_per_conn (d.e);
    engine_conn_init (&other, d.e, &d.dev);
    CU_ASSERT_EQUAL (engine_pwrite (&other, buf, 512, 0, false), 0);
    CU_ASSERT_EQUAL (engine_flush (&d.conn), 0);
    atomic_store (&d.dead, true);
    CU_ASSERT_EQUAL (engine_pread (&d.conn, buf, 512, MIB), ESHUTDOWN);
    CU_ASSERT_EQUAL (engine_flush (&other), per_conn ? EIO : ESHUTDOWN);
    disk_end (&d);
  }
}

/* A disk that turns read-only: that is no bad sector, the health says it, and
 * where it is asked for the spare takes what clients write (promise 10).
 */
static void
test_read_only (void)
{
  static const int errors[] = { EROFS, EPERM, EOPNOTSUPP, ENOSPC };
  static uint8_t buf[8192];
  struct device_ops ops;
  struct engine_status st;
  struct message reason[ENGINE_MAX_REASONS];
  struct disk d;

  for (unsigned i = 0; i < 4; i++)
    for (int to_spare = 0; to_spare < 2; to_spare++) {
      disk_init (&d, 64 * MIB, 0, MAIN_UNCACHED, 0);
      d.e->config.readonly_to_spare = to_spare;
      CU_ASSERT_EQUAL (engine_pwrite (&d.conn, buf, 8192, 0, false), 0);
      ops = *d.conn.main_dev.ops;
      ops.pwrite = disk_pwrite_refused;
      d.conn.main_dev.ops = &ops;
      d.dead_err = errors[i];
      for (unsigned n = 0; n < 20; n++) {
        memset (buf, n, sizeof buf);
        if (to_spare) {
          CU_ASSERT_EQUAL (engine_pwrite (&d.conn, buf, 8192, n * 8192 + 100,
                                          n % 2), 0);
          buf[0] = 0xcc;
          CU_ASSERT_EQUAL (engine_pread (&d.conn, buf, 8192, n * 8192 + 100),
                           0);
          CU_ASSERT_EQUAL (buf[0], n);
        }
        else
          CU_ASSERT_EQUAL (engine_pwrite (&d.conn, buf, 8192, n * 8192, n % 2),
                           errors[i] == EOPNOTSUPP ? EIO : errors[i]);
      }
      engine_get_status (d.e, &st);
      CU_ASSERT_EQUAL (st.health, to_spare ? HEALTH_DEGRADED
                       : HEALTH_CRITICAL);
      CU_ASSERT (engine_health_reasons (&st, reason) > 0);
      CU_ASSERT_PTR_NOT_NULL (strstr (reason[0].text, "refuses"));
      CU_ASSERT (st.stat[STAT_MAIN_REFUSED] >= (to_spare ? 1 : 20));
      CU_ASSERT_EQUAL (lost_sectors (&d), 0);

      /* It takes writes again, and that is noticed. */
      ops.pwrite = disk_pwrite;
      atomic_store (&d.dead, false);
      CU_ASSERT_EQUAL (engine_pwrite (&d.conn, buf, 8192, 32 * MIB, false), 0);
      engine_get_status (d.e, &st);
      CU_ASSERT_EQUAL (st.health, HEALTH_OK);
      CU_ASSERT_EQUAL (atomic_load (&d.e->simple_max), MAIN_PIECE);
      disk_end (&d);
    }
}

/* What is late is counted, and shows (promise 3). */
static void
test_late_shows (void)
{
  struct message reason[ENGINE_MAX_REASONS];
  struct engine_status st;
  struct disk d;

  disk_init (&d, 64 * MIB, 0, MAIN_UNCACHED, 0);
  late_add (d.e, 8192, 8192 + 4096);
  engine_get_status (d.e, &st);
  CU_ASSERT_EQUAL (st.late, 8);
  CU_ASSERT_EQUAL (st.health, HEALTH_DEGRADED);
  CU_ASSERT_EQUAL (engine_health_reasons (&st, reason), 1);
  CU_ASSERT_PTR_NOT_NULL (strstr (reason[0].text, "8 sectors are late"));
  atomic_store (&d.e->late.all, true);
  engine_get_status (d.e, &st);
  CU_ASSERT_EQUAL (st.late, UINT64_MAX);
  CU_ASSERT_EQUAL (engine_health_reasons (&st, reason), 1);
  CU_ASSERT_PTR_NOT_NULL (strstr (reason[0].text, "isn't written any more"));
  disk_end (&d);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "dead heads (promise 12)", test_heads },
    { "a disk that dies (promise 12)", test_dies },
    { "a disk that hangs (promise 12)", test_hangs },
    { "only a cache could tell (promise 12)", test_silent },
    { "a disk that comes back (promise 12)", test_comes_back },
    { "a disk that comes back without writes (promise 14)", test_unflushed },
    { "flushes of one connection (promise 14)", test_per_connection },
    { "a disk that turns read-only (promise 10)", test_read_only },
    { "what is late shows (promise 3)", test_late_shows },
    { NULL }
  };

  return run_tests (argc, argv, "engine-life", tests);
}
