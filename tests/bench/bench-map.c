/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the map costs: lookups, memory, loading, updating.
 *
 *   bench-map [ENTRIES ...]      default: 0 1000 1000000 10000000
 *
 * Entries are single sectors, scattered at random over 64 GiB (or a
 * space twice as large as ENTRIES need), with slots that don't continue
 * each other.  One line for each number of entries:
 *
 *   entries   how many
 *   load_s    seconds to build the map from sorted runs
 *   B/entry   memory of all nodes, as the map counts it
 *   rss/entry growth of the process, malloc's own memory included
 *   hit_ns    one lookup of 4 KiB that begins at an entry
 *   miss_ns   one lookup at random, which mostly hits a gap
 *   direct_ns map_all_direct at random
 *   chain_ns  as hit_ns, but each waits for the one before
 *   load_ns   the machine: one load at random from as many bytes, which
 *             waits for the one before
 *   batch_ns  one map_set of a scattered new sector, 100,000 an update
 *   single_us one update with one map_set, published
 *   busy_us   the same beside four threads that do nothing but look up
 *   worst_us  the slowest of these
 *   M/s_N     millions of map_all_direct at random a second, by N threads
 *
 * Lookup times are the best of three.  All but chain_ns are of lookups
 * that don't depend on each other, so that the processor can overlap their
 * cache misses; chain_ns is the whole latency of one.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <inttypes.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "map/map.h"

#define LOOKUPS 2000000
#define BATCH 100000
#define SINGLES 200
#define BUSY_SINGLES 2000
#define MAX_THREADS 4

static uint64_t seed = 88172645463325252u;

static uint64_t
next_random (void)
{
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed * UINT64_C (2685821657736338717);
}

/* A random number below N, from the upper bits. */
static uint64_t
random_below (uint64_t n)
{
  return (uint64_t) (((unsigned __int128) next_random () * n) >> 64);
}

static double
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec + ts.tv_nsec / 1e9;
}

static uint64_t
resident (void)
{
  unsigned long pages = 0;
  FILE *fp = fopen ("/proc/self/statm", "r");

  if (fp != NULL) {
    if (fscanf (fp, "%*u %lu", &pages) != 1)
      pages = 0;
    fclose (fp);
  }
  return (uint64_t) pages * sysconf (_SC_PAGESIZE);
}

static void
check (int r, const char *what)
{
  if (r != 0) {
    fprintf (stderr, "bench-map: %s: %s\n", what, strerror (r));
    exit (EXIT_FAILURE);
  }
}

enum kind { LOOKUP, ALL_DIRECT, CHAIN };

/* Nanoseconds for one lookup; the best of three. */
static double
time_lookups (const struct map *map, const sector_t *where, enum kind kind)
{
  double best = 1e9, t;
  uint64_t sum = 0, i;
  int round;

  for (round = 0; round < 3; round++) {
    t = now ();
    for (i = 0; i < LOOKUPS; i++) {
      if (kind == ALL_DIRECT)
        sum += map_all_direct (map, where[i], 8) ? 2 : 4;
      else if (kind == LOOKUP)
        sum += 2 * (uint64_t) map_lookup (map, where[i], 8).state;
      else                      /* SUM is even; the compiler can't know */
        sum += 2 * (uint64_t) map_lookup (map, where[i] + (sum & 1), 8).state;
    }
    t = (now () - t) * 1e9 / LOOKUPS;
    if (t < best)
      best = t;
  }
  if (sum & 1)
    printf ("impossible\n");
  return best;
}

/* A thread that looks up. */
struct worker {
  pthread_t thread;
  const struct map *map;
  const sector_t *where;
  uint64_t sum;
};

static void *
work (void *arg)
{
  struct worker *w = arg;

  for (uint64_t i = 0; i < LOOKUPS; i++)
    w->sum += map_all_direct (w->map, w->where[i], 8);
  return NULL;
}

/* Millions of lookups a second by N threads; the best of three. */
static double
time_threads (const struct map *map, const sector_t *where, unsigned n)
{
  struct worker worker[MAX_THREADS];
  double best = 0, t;

  for (int round = 0; round < 3; round++) {
    t = now ();
    for (unsigned i = 0; i < n; i++) {
      worker[i] = (struct worker) { .map = map, .where = where };
      check (pthread_create (&worker[i].thread, NULL, work, &worker[i]),
             "pthread_create");
    }
    for (unsigned i = 0; i < n; i++)
      pthread_join (worker[i].thread, NULL);
    t = n * (double) LOOKUPS / 1e6 / (now () - t);
    if (t > best)
      best = t;
  }
  return best;
}

/* Nanoseconds for a load that depends on the one before, within BYTES. */
static double
time_loads (uint64_t bytes)
{
  const uint64_t n = bytes / 64 + 1;
  struct line { uint64_t next, pad[7]; } *line = malloc (n * sizeof *line);
  double best = 1e9, t;
  uint64_t i, j, at = 0;
  int round;

  check (line == NULL, "malloc");
  for (i = 0; i < n; i++)
    line[i].next = i;
  for (i = n - 1; i > 0; i--) { /* one cycle through all of them */
    const uint64_t next = line[i].next;

    j = random_below (i);
    line[i].next = line[j].next;
    line[j].next = next;
  }
  for (round = 0; round < 3; round++) {
    t = now ();
    for (i = 0; i < LOOKUPS; i++)
      at = line[at].next;
    t = (now () - t) * 1e9 / LOOKUPS;
    if (t < best)
      best = t;
  }
  if (at >= n)
    printf ("impossible\n");
  free (line);
  return best;
}

/* Random gaps: ascending sectors without duplicates over about SPACE. */
static void
load (struct map *map, sector_t *entry, uint64_t n, uint64_t space)
{
  const uint64_t gap = n > 0 ? 2 * space / n : 0;
  sector_t at = 0;
  uint64_t i;

  for (i = 0; i < n; i++) {
    const struct run run = { at, 1, REMAPPED, 2 * (n - i) };

    check (map_load (map, &run), "map_load");
    entry[i] = at;
    at += 2 + random_below (gap - 3);
  }
  check (map_load_end (map), "map_load_end");
}

static double
time_updates (struct map *map, uint64_t space, unsigned updates,
              unsigned sets)
{
  const double t = now ();
  unsigned i, j;

  for (i = 0; i < updates; i++) {
    map_begin (map);
    for (j = 0; j < sets; j++) {
      const struct run run = {
        random_below (space), 1, REMAPPED, random_below (MAP_MAX_SLOT),
      };

      check (map_set (map, &run), "map_set");
    }
    map_publish (map);
  }
  return (now () - t) / updates / sets;
}

struct busy {
  const struct map *map;
  const sector_t *where;
  bool stop;
};

static void *
busy_thread (void *arg)
{
  const struct busy *b = arg;
  uint64_t sum = 0;

  while (!__atomic_load_n (&b->stop, __ATOMIC_RELAXED))
    for (unsigned i = 0; i < 1000; i++)
      sum += map_all_direct (b->map, b->where[i], 8);
  return (void *) (uintptr_t) sum;
}

/* Seconds for an update with one change beside busy readers, and the most that
 * one took.
 */
static double
time_busy_updates (struct map *map, const sector_t *where, uint64_t space,
                   double *worst)
{
  struct busy b = { .map = map, .where = where };
  pthread_t thread[MAX_THREADS];
  double t, sum = 0;

  *worst = 0;
  for (unsigned i = 0; i < MAX_THREADS; i++)
    check (pthread_create (&thread[i], NULL, busy_thread, &b), "thread");
  for (unsigned i = 0; i < BUSY_SINGLES; i++) {
    t = time_updates (map, space, 1, 1);
    sum += t;
    if (t > *worst)
      *worst = t;
  }
  __atomic_store_n (&b.stop, true, __ATOMIC_RELAXED);
  for (unsigned i = 0; i < MAX_THREADS; i++)
    pthread_join (thread[i], NULL);
  return sum / BUSY_SINGLES;
}

static void
bench (uint64_t n)
{
  const uint64_t space = n > 13000000 ? 10 * n : UINT64_C (1) << 27;
  sector_t *entry = malloc ((n > 0 ? n : 1) * sizeof *entry);
  sector_t *where = malloc (LOOKUPS * sizeof *where);
  struct map *map = map_new ();
  struct map_totals totals;
  double t, hit = 0, chain = 0, miss, direct, batch, single;
  double busy, worst;
  double load_ns, threads[MAX_THREADS];
  uint64_t rss, i;

  if (entry == NULL || where == NULL || map == NULL)
    check (1, "malloc");
  memset (entry, 0, (n > 0 ? n : 1) * sizeof *entry);
  memset (where, 0, LOOKUPS * sizeof *where);

  rss = resident ();
  t = now ();
  load (map, entry, n, space);
  t = now () - t;
  rss = resident () - rss;
  map_get_totals (map, &totals);

  if (n > 0) {
    for (i = 0; i < LOOKUPS; i++)
      where[i] = entry[random_below (n)];
    hit = time_lookups (map, where, LOOKUP);
    chain = time_lookups (map, where, CHAIN);
  }
  for (i = 0; i < LOOKUPS; i++)
    where[i] = random_below (space);
  miss = time_lookups (map, where, LOOKUP);
  direct = time_lookups (map, where, ALL_DIRECT);
  load_ns = time_loads (totals.bytes);
  printf ("%10" PRIu64 " %7.3f %8.2f %9.2f %7.1f %7.1f %9.1f %8.1f %7.1f",
          n, t,
          n > 0 ? (double) totals.bytes / n : 0,
          n > 0 ? (double) rss / n : 0, hit, miss, direct, chain,
          load_ns);
  for (unsigned k = 1; k <= MAX_THREADS; k++)
    threads[k - 1] = time_threads (map, where, k);

  batch = time_updates (map, space, 1, BATCH) * 1e9;
  single = time_updates (map, space, SINGLES, 1) * 1e6;
  busy = time_busy_updates (map, where, space, &worst) * 1e6;
  map_get_totals (map, &totals);
  printf (" %8.0f %9.1f %8.1f %8.1f %8.2f", batch, single, busy,
          worst * 1e6,
          totals.runs > 0 ? (double) totals.bytes / totals.runs : 0);
  for (unsigned k = 0; k < MAX_THREADS; k++)
    printf (" %7.1f", threads[k]);
  printf ("\n");
  fflush (stdout);

  map_free (map);
  free (entry);
  free (where);
}

int
main (int argc, char *argv[])
{
  static const uint64_t standard[] = { 0, 1000, 1000000, 10000000 };
  size_t i;
  int arg;

  printf ("   entries  load_s  B/entry rss/entry  hit_ns miss_ns direct_ns"
          " chain_ns load_ns batch_ns single_us"
          "  busy_us worst_us  B/after"
          "   M/s_1   M/s_2   M/s_3   M/s_4\n");
  for (arg = 1; arg < argc; arg++)
    bench (strtoull (argv[arg], NULL, 0));
  for (i = 0; argc == 1 && i < sizeof standard / sizeof standard[0]; i++)
    bench (standard[i]);
  return EXIT_SUCCESS;
}
