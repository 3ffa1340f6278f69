/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Random areas, repeatable on every machine: splitmix64 in integers only,
 * so that the same seed means the same sectors wherever it is used.
 *
 * COUNT bad sectors in runs of `cluster' are placed like beads on a
 * string: with each run shrunk to a point, the disk has (sectors - COUNT)
 * good sectors, and each run gets a random place among them.  The places
 * are sorted, and each run then moves up by the length of the runs before
 * it.  So runs never overlap (two may touch), the count is exact, and
 * nothing is tried twice, however full the disk is.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "random.h"

/* More would be a slip of the pen; they take 16 bytes each. */
#define MAX_RUNS (UINT64_C (1) << 26)

static uint64_t
mix (uint64_t z)
{
  z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static uint64_t
splitmix64 (uint64_t *state)
{
  return mix (*state += UINT64_C (0x9e3779b97f4a7c15));
}

/* From 0 to LIMIT - 1. */
static uint64_t
random_below (uint64_t *state, uint64_t limit)
{
  return (uint64_t) (((unsigned __int128) splitmix64 (state) * limit) >> 64);
}

static int
compare_places (const void *a, const void *b)
{
  const uint64_t x = ((const struct area *) a)->offset;
  const uint64_t y = ((const struct area *) b)->offset;

  return x < y ? -1 : x > y;
}

int
random_areas (const struct random_choice *choice, uint64_t size,
              struct area_list *list, struct message *message)
{
  const uint64_t sectors = bytes_to_sectors (size);
  uint64_t state = choice->seed, bad = choice->amount, runs, before = 0;
  size_t n = 0;

  *list = (struct area_list) { 0 };
  if (choice->is_percent)
    bad = (uint64_t) ((unsigned __int128) sectors * bad / WHOLE_PERCENT);
  if (bad > sectors) {
    message_set (message, "baddisk-random=%" PRIu64 " is more than the %"
                 PRIu64 " sectors that the disk has", bad, sectors);
    return EINVAL;
  }
  if (bad == 0)
    return 0;
  /* Not div_up: their sum may not fit into 64 bits. */
  runs = bad / choice->cluster + (bad % choice->cluster != 0);
  if (runs > MAX_RUNS) {
    message_set (message, "baddisk-random asks for %" PRIu64 " bad areas, but "
                 "at most %" PRIu64 " are possible: use fewer sectors, or a "
                 "larger baddisk-cluster", runs, MAX_RUNS);
    return EINVAL;
  }
  list->v = calloc (runs, sizeof *list->v);
  if (list->v == NULL) {
    message_set (message, "baddisk-random: out of memory for %" PRIu64
                 " areas", runs);
    return ENOMEM;
  }

  for (uint64_t i = 0; i < runs; i++)
    list->v[i].offset = random_below (&state, sectors - bad + 1);
  qsort (list->v, runs, sizeof *list->v, compare_places);

  /* From places to bytes.  Runs that touch become one area. */
  for (uint64_t i = 0; i < runs; i++) {
    const uint64_t length = min_u64 (bad - before, choice->cluster);
    const struct area a = {
      .offset = (list->v[i].offset + before) << SECTOR_SHIFT,
      .count = length << SECTOR_SHIFT,
    };

    if (n > 0 && list->v[n-1].offset + list->v[n-1].count == a.offset)
      list->v[n-1].count += a.count;
    else
      list->v[n++] = a;
    before += length;
  }
  list->n = n;
  return 0;
}

bool
random_coin (const struct random_choice *choice, uint64_t offset,
             uint32_t count, sector_t sector)
{
  return mix (mix (mix (choice->seed + offset) + count) + sector) & 1;
}
