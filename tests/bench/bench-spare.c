/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Spares with many entries, for the benchmarks.
 *
 *   bench-spare make SPARE MAIN-SIZE ENTRIES RUN
 *
 * formats SPARE for a main of so many bytes, and remaps ENTRIES runs of RUN
 * sectors each, spread evenly over it with some chance.  The slots' content
 * isn't written: they are holes, and read as zeroes.
 *
 *   bench-spare open SPARE
 *
 * opens it as a server does, and prints how many seconds that took, and how
 * many of the processor's, the number of sectors and of the map's entries,
 * and the map's bytes.
 *
 *   bench-spare sample SPARE MAIN-SIZE COUNT
 *
 * prints the offsets of COUNT blocks of 4 KiB, chosen by chance, that hold a
 * remapped sector, and of as many that don't: a line "hit" or "clean" each.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/sparefile.h"
#include "spare/internal.h"
#include "spare/slots.h"

#define BATCH 65536              /* changes a commit */

static struct spare_file file;
static struct message message;

/* Where slots are: what is written there is left out. */
static uint64_t slots_start;

static void
check (int err, const char *what)
{
  if (err == 0)
    return;
  fprintf (stderr, "bench-spare: %s: %s %s\n", what, strerror (err),
           message.text);
  exit (EXIT_FAILURE);
}

static int
lazy_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  return device_pread (&file.device, buf, count, offset);
}

static int
lazy_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  if (offset >= slots_start)
    return 0;
  return device_pwrite (&file.device, buf, count, offset);
}

static int
lazy_flush (void *ctx)
{
  return 0;
}

static const struct device_ops lazy_ops = {
  .pread = lazy_pread, .pwrite = lazy_pwrite, .flush = lazy_flush,
};
static const struct device lazy = { .ops = &lazy_ops };

static double
now (clockid_t clock)
{
  struct timespec ts;

  clock_gettime (clock, &ts);
  return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* With room for the log, and to spare. */
static uint64_t
spare_size (uint64_t entries, uint64_t run)
{
  return round_up (64 * SPARE_MIN_SIZE + entries * run * SECTOR_SIZE / 4 * 5,
                   SPARE_MIN_SIZE);
}

static void
make (const char *path, uint64_t main_size, uint64_t entries, uint64_t run)
{
  const uint64_t sectors = main_size / SECTOR_SIZE;
  const uint64_t gap = entries > 0 ? sectors / entries : 0;
  struct spare_identity id = { .main_size = main_size };
  struct change_list list = { 0 };
  struct map *map = map_new ();
  struct spare *spare;
  uint64_t i, size = spare_size (entries, run), seed = 1;
  uint8_t *data = calloc (run, SECTOR_SIZE);

  if (map == NULL || data == NULL || (entries > 0 && gap < 2 * run))
    check (EINVAL, "too many entries for this size");
  check (spare_file_open (&file, path, 0, true, false, &message), path);
  check (spare_file_extend (&file, size, &message), "extend");
  slots_start = UINT64_MAX;
  check (spare_format (&lazy, size, true, &id, NULL, map, &spare, &message),
         "format");
  slots_start = spare_geometry (spare)->segment[0].offset;
  for (i = 0; i < entries; i++) {
    seed = seed * UINT64_C (6364136223846793005) + 1442695040888963407;
    check (spare_store (spare, &list,
                        i * gap + (seed >> 33) % (gap - run), data, run,
                        WHY_MANUAL), "store");
    if (list.n >= BATCH || i == entries - 1) {
      check (spare_commit (spare, &list, NULL), "commit");
      change_list_free (&list);
    }
  }
  spare_close (spare);
  spare_file_close (&file, false);
  map_free (map);
  free (data);
}

static struct spare *
open_spare (const char *path, struct map *map)
{
  struct spare *spare;

  check (spare_file_open (&file, path, 0, false, true, &message), path);
  check (spare_load (&file.device, file.size, true, NULL, map, &spare,
                     &message), "load");
  return spare;
}

static void
sample (const char *path, uint64_t main_size, uint64_t count)
{
  const uint64_t blocks = main_size / 4096;
  struct map *map = map_new ();
  struct spare *spare = open_spare (path, map);
  uint64_t hits = 0, clean = 0, seed = 2;
  struct run run;

  while (hits < count || clean < count) {
    uint64_t block;

    seed = seed * UINT64_C (6364136223846793005) + 1442695040888963407;
    block = (seed >> 20) % blocks;
    if (clean < count && map_all_direct (map, block * 8, 8)) {
      printf ("clean %" PRIu64 "\n", block * 4096);
      clean++;
    }
    if (hits == count)
      continue;
    if (map_next (map, block * 8, &run) && run.start / 8 < blocks)
      printf ("hit %" PRIu64 "\n", run.start / 8 * 4096);
    hits++;
  }
  spare_close (spare);
  spare_file_close (&file, false);
  map_free (map);
}

static void
load (const char *path)
{
  struct map *map = map_new ();
  struct map_totals totals;
  struct spare *spare;
  double t = now (CLOCK_MONOTONIC), cpu = now (CLOCK_PROCESS_CPUTIME_ID);

  spare = open_spare (path, map);
  t = now (CLOCK_MONOTONIC) - t;
  cpu = now (CLOCK_PROCESS_CPUTIME_ID) - cpu;
  map_get_totals (map, &totals);
  printf ("%.4f %.4f %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", t, cpu,
          totals.remapped, totals.runs, totals.bytes);
  spare_close (spare);
  spare_file_close (&file, false);
  map_free (map);
}

int
main (int argc, char *argv[])
{
  if (argc == 6 && strcmp (argv[1], "make") == 0)
    make (argv[2], strtoull (argv[3], NULL, 0), strtoull (argv[4], NULL, 0),
          strtoull (argv[5], NULL, 0));
  else if (argc == 3 && strcmp (argv[1], "open") == 0)
    load (argv[2]);
  else if (argc == 5 && strcmp (argv[1], "sample") == 0)
    sample (argv[2], strtoull (argv[3], NULL, 0),
            strtoull (argv[4], NULL, 0));
  else {
    fprintf (stderr, "usage: bench-spare make SPARE MAIN-SIZE ENTRIES RUN\n"
             "       bench-spare open SPARE\n"
             "       bench-spare sample SPARE MAIN-SIZE COUNT\n");
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
