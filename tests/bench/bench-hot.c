/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * One hot remapped sector (a journal, say) beside a busy disk: what its
 * exclusive holds cost those who write DIRECT sectors.
 *
 *   bench-hot [DIRECTORY [ROUNDS [MS]]]     default: /dev/shm 15 200
 *
 * WRITERS threads write 4 KiB at random, and one thread writes one sector all
 * the time: a DIRECT one, or a remapped one.  They take turns, for MS
 * milliseconds each.  Printed are medians over the rounds:
 *
 *   direct_ns    processor time of one write of the others, beside a hot
 *                sector that is DIRECT
 *   remapped_ns  the same beside one that is remapped
 *   ratio        median of the rounds' ratios
 *   hot_direct, hot_remapped    writes of the hot sector a second
 *   wall_ratio   as ratio, of the others' writes a second (direct/remapped)
 *   gathered     as ratio, while an operator's request has gathered as many
 *                blocks as it may, far from where all the others write
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/operation.h"

#define WRITERS 2
#define MAIN_SIZE (UINT64_C (256) << 20)
#define SPARE_SIZE (UINT64_C (4) << 20)
#define HOT_DIRECT 2048         /* sectors; the others stay away from them */
#define HOT_REMAPPED 4096
#define MAX_ROUNDS 100

static int main_fd, spare_fd;
static struct engine *engine;
static atomic_bool stop;

static void
check (bool ok, const char *what)
{
  if (!ok) {
    perror (what);
    exit (EXIT_FAILURE);
  }
}

static int
file_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  return pread (*(int *) ctx, buf, count, offset) == count ? 0 : EIO;
}

static int
file_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  return pwrite (*(int *) ctx, buf, count, offset) == count ? 0 : EIO;
}

static int
file_flush (void *ctx)
{
  return 0;
}

static const struct device_ops file_ops = {
  .pread = file_pread, .pwrite = file_pwrite, .flush = file_flush,
};
static const struct device main_dev = { &file_ops, &main_fd };
static const struct device spare_dev = { &file_ops, &spare_fd };

static double
now (clockid_t clock)
{
  struct timespec ts;

  clock_gettime (clock, &ts);
  return ts.tv_sec * 1e9 + ts.tv_nsec;
}

struct thread {
  pthread_t thread;
  uint64_t hot;                 /* byte offset; 0: at random */
  uint64_t writes;
  double ns;                    /* of the processor */
};

static void *
run (void *arg)
{
  static const uint8_t data[4096];
  struct thread *t = arg;
  const double begin = now (CLOCK_THREAD_CPUTIME_ID);
  uint64_t seed = (uintptr_t) t, offset = t->hot;
  struct engine_conn conn;

  engine_conn_init (&conn, engine, &main_dev);
  for (; !atomic_load_explicit (&stop, memory_order_relaxed); t->writes++) {
    if (t->hot == 0) {
      seed = seed * UINT64_C (6364136223846793005) + 1442695040888963407;
      offset = MAIN_SIZE / 2 + (seed >> 33) % (MAIN_SIZE / 2 / 4096) * 4096;
    }
    check (engine_pwrite_plain (&conn, data, t->hot ? 512 : 4096,
                                offset) == 0, "write");
  }
  t->ns = now (CLOCK_THREAD_CPUTIME_ID) - begin;
  return NULL;
}

struct result {
  double ns, writes, hot;       /* one write; in this round */
};

static struct result
measure (uint64_t hot, unsigned ms)
{
  struct thread t[WRITERS + 1] = { { .hot = hot } };
  struct result r = { 0 };
  double ns = 0;

  atomic_store (&stop, false);
  for (int i = 0; i <= WRITERS; i++)
    check (pthread_create (&t[i].thread, NULL, run, &t[i]) == 0, "thread");
  usleep (ms * 1000);
  atomic_store (&stop, true);
  for (int i = 0; i <= WRITERS; i++)
    pthread_join (t[i].thread, NULL);
  for (int i = 1; i <= WRITERS; i++) {
    r.writes += t[i].writes;
    ns += t[i].ns;
  }
  r.ns = ns / r.writes;
  r.hot = t[0].writes;
  return r;
}

/* Beside 256 blocks in the first half of the disk. */
static struct result
measure_gathered (uint64_t hot, unsigned ms)
{
  static struct exclusive_hold hold[BATCH_PIECES];
  struct result r;

  for (uint64_t i = 0; i < BATCH_PIECES; i++)
    range_lock_tentative (engine->ranges, &hold[i], (4 << 20) + (i << 18),
                          (4 << 20) + (i << 18) + 512);
  r = measure (hot, ms);
  for (unsigned i = 0; i < BATCH_PIECES; i++)
    range_unlock_exclusive (engine->ranges, &hold[i]);
  return r;
}

static int
compare (const void *a, const void *b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

static double
median (double *v, unsigned n)
{
  qsort (v, n, sizeof *v, compare);
  return v[n / 2];
}

static int
new_file (const char *dir, uint64_t size)
{
  char path[4096];
  int fd;

  snprintf (path, sizeof path, "%s/bench-hot-XXXXXX", dir);
  fd = mkstemp (path);
  check (fd != -1 && unlink (path) == 0 && ftruncate (fd, size) == 0, path);
  return fd;
}

int
main (int argc, char *argv[])
{
  const char *dir = argc > 1 ? argv[1] : "/dev/shm";
  const unsigned rounds = argc > 2 ? atoi (argv[2]) : 15;
  const unsigned ms = argc > 3 ? atoi (argv[3]) : 200;
  const struct engine_config config = {
    .main_size = MAIN_SIZE, .main_block = 512, .auto_remap = true,
  };
  struct spare_identity id = { .main_size = MAIN_SIZE };
  static double v[7][MAX_ROUNDS];
  static const struct spare_env env;
  struct engine_result res;
  struct engine_conn conn;
  struct message message;
  struct map *map = map_new ();
  struct spare *spare;

  check (rounds > 0 && rounds <= MAX_ROUNDS, "rounds");
  main_fd = new_file (dir, MAIN_SIZE);
  spare_fd = new_file (dir, SPARE_SIZE);
  check (spare_format (&spare_dev, SPARE_SIZE, false, &id, &env, map, &spare,
                       &message) == 0, "format");
  engine = engine_new (&config, map, spare);
  check (engine != NULL, "engine");
  engine_conn_init (&conn, engine, &main_dev);
  check (engine_remap (&conn, HOT_REMAPPED, 1, WHY_MANUAL, NULL, &res) == 0,
         "remap");

  measure (HOT_DIRECT << SECTOR_SHIFT, 4 * ms);
  for (unsigned i = 0; i < rounds; i++) {
    const struct result d = measure (HOT_DIRECT << SECTOR_SHIFT, ms);
    const struct result r = measure (HOT_REMAPPED << SECTOR_SHIFT, ms);

    const struct result g = measure_gathered (HOT_DIRECT << SECTOR_SHIFT, ms);

    v[0][i] = d.ns;
    v[1][i] = r.ns;
    v[2][i] = r.ns / d.ns;
    v[3][i] = d.hot * 1000 / ms;
    v[4][i] = r.hot * 1000 / ms;
    v[5][i] = d.writes / r.writes;
    v[6][i] = g.ns / d.ns;
  }
  printf ("direct_ns remapped_ns ratio hot_direct hot_remapped wall_ratio "
          "gathered\n");
  printf ("%9.0f %11.0f %5.3f %10.0f %12.0f %10.3f %8.3f\n",
          median (v[0], rounds), median (v[1], rounds), median (v[2], rounds),
          median (v[3], rounds), median (v[4], rounds), median (v[5], rounds),
          median (v[6], rounds));
  engine_free (engine);
  spare_close (spare);
  map_free (map);
  close (main_fd);
  close (spare_fd);
  return EXIT_SUCCESS;
}
