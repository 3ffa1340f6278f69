/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A disk that is gone must not be taken for a disk full of bad sectors: all
 * that is read from it then would become LOST, and that can't be undone.
 * Many drives, and all that lies between them and us, report both with the
 * same error number.  So when main fails, blocks elsewhere are read before
 * anything is recorded: if one of them can be read, main is alive.
 *
 * A page cache answers for a dead disk as long as it has what is asked for.
 * So a canary should be a block that nobody has touched since the start.
 * Which blocks have been isn't known one by one: main is divided into at
 * most CANARY_REGIONS regions, each access marks those that it touches, and
 * the block in the middle of a region that has no mark is the canary.  The
 * marks are relaxed atomics that are written once each, since every request
 * of a client passes here.
 *
 * Three canaries are picked, one from each third of the disk: a single one
 * may well be a bad sector that nobody knows of yet.  Where no region is
 * untouched any more, touched ones are picked all the same.
 */

#include <config.h>

#include <string.h>

#include "base/bytes.h"
#include "engine/canaries.h"

/* Regions are at least this large, where main is: what a page cache reads
 * ahead of a request must not count as untouched.
 */
#define MIN_REGION (UINT64_C (256) << 10)

void
canaries_init (struct canaries *c, uint64_t size, uint32_t block)
{
  uint64_t min = MIN_REGION;

  memset (c, 0, sizeof *c);
  c->size = size;
  c->block = block;
  pthread_mutex_init (&c->mutex, NULL);
  c->random = UINT64_C (0x9e3779b97f4a7c15);

  /* A small main has fewer than eight such regions: make them smaller. */
  while (min > block && size / min < 8)
    min >>= 1;
  if (min < block)
    min = block;
  while (UINT64_C (1) << c->region_shift < min ||
         (size - 1) >> c->region_shift >= CANARY_REGIONS)
    c->region_shift++;
  c->nr_regions = ((size - 1) >> c->region_shift) + 1;
}

void
canaries_destroy (struct canaries *c)
{
  pthread_mutex_destroy (&c->mutex);
}

/* The block in the middle of a region, if it is fit to be a canary. */
static bool
canary_of_region (struct canaries *c, const struct map *map, uint32_t r,
                  uint64_t avoid_start, uint64_t avoid_end, uint64_t *offset)
{
  uint64_t start = (uint64_t) r << c->region_shift;
  uint64_t len = UINT64_C (1) << c->region_shift;
  uint64_t block;

  if (len > c->size - start)
    len = c->size - start;
  block = round_down (start + len / 2, c->block);
  if (block + c->block > c->size)
    return false;
  if (block < avoid_end && block + c->block > avoid_start)
    return false;
  if (!map_all_direct (map, block >> SECTOR_SHIFT, c->block >> SECTOR_SHIFT))
    return false;
  *offset = block;
  return true;
}

/* A canary among the regions FIRST .. END - 1, in a region that none of the
 * N that were picked before is in.
 */
static bool
canary_among (struct canaries *c, const struct map *map,
              uint32_t first, uint32_t end, bool touched,
              uint64_t avoid_start, uint64_t avoid_end,
              const uint64_t *picked, unsigned n, uint64_t *offset)
{
  const uint32_t nr = end - first;

  if (nr == 0)
    return false;
  /* Knuth's MMIX generator: another place each time will do. */
  c->random = c->random * UINT64_C (6364136223846793005) +
    UINT64_C (1442695040888963407);
  for (uint32_t i = 0, at = (c->random >> 33) % nr; i < nr; i++) {
    uint32_t r = first + (at + i) % nr;
    bool taken = touched != atomic_load_explicit (&c->touched[r],
                                                  memory_order_relaxed);

    for (unsigned j = 0; j < n; j++)
      taken |= picked[j] >> c->region_shift == r;
    if (!taken &&
        canary_of_region (c, map, r, avoid_start, avoid_end, offset))
      return true;
  }
  return false;
}

/* One of each third of the disk, and if one has none, more of the others:
 * a single canary may well be a bad sector that nobody knows of yet, and a
 * disk with many of them must not look as if it were gone.
 */
unsigned
canaries_pick (struct canaries *c, const struct map *map,
               uint64_t avoid_start, uint64_t avoid_end,
               uint64_t block_offset[NR_CANARIES])
{
  const uint64_t nr = c->nr_regions;
  unsigned n = 0;

  pthread_mutex_lock (&c->mutex);
  for (int touched = 0; touched <= 1; touched++) {
    for (unsigned zone = 0; zone < NR_CANARIES && n < NR_CANARIES; zone++)
      if (canary_among (c, map, nr * zone / NR_CANARIES,
                        nr * (zone + 1) / NR_CANARIES, touched,
                        avoid_start, avoid_end, block_offset, n,
                        &block_offset[n]))
        n++;
    while (n < NR_CANARIES &&
           canary_among (c, map, 0, nr, touched, avoid_start, avoid_end,
                         block_offset, n, &block_offset[n]))
      n++;
  }
  pthread_mutex_unlock (&c->mutex);
  return n;
}
