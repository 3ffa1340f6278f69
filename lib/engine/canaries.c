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
 * a block of a region that has no mark is the canary; then that region has
 * one, too.  The marks are relaxed atomics that are written once each, since
 * every request of a client passes here.  They also say where there is a sample
 * of main (samples.c), which costs other requests nothing that way.
 *
 * If main is known to be read past any cache it is the disk that answers, and
 * the block that answered last may be asked again, which costs a dying disk
 * least.  If it is known to be behind one, nothing is proved any more when all
 * regions have been touched, and the engine says so (lost.c).  If neither is
 * known a touched region will do then.
 *
 * The block is chosen at random, since what is wrong with a disk is often
 * regular: a dead head of four makes every fourth stripe unreadable, and the
 * middle of each region may lie in it.  Canaries come from the thirds of the
 * disk in turn, and a block that has failed as a canary isn't asked again.
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
canaries_init (struct canaries *c, uint64_t size, uint32_t block,
               enum main_cache cache)
{
  uint64_t min = MIN_REGION;

  memset (c, 0, sizeof *c);
  c->size = size;
  c->block = block;
  c->cache = cache;
  c->good = UINT64_MAX;
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

/* Sets and clears bits of the regions of a byte range; what is sampled isn't
 * quiet, whoever comes first.  Returns the bits that they had.
 */
static unsigned
change_regions (struct canaries *c, uint64_t offset, uint64_t count,
                unsigned set, unsigned clear)
{
  const uint32_t last = (offset + count - 1) >> c->region_shift;
  unsigned char bits, wanted;
  unsigned had = 0;

  for (uint32_t r = offset >> c->region_shift; r <= last; r++) {
    bits = atomic_load_explicit (&c->region[r], memory_order_relaxed);
    do {
      wanted = (bits & ~clear) | set;
      if (wanted & REGION_SAMPLED)
        wanted &= ~REGION_QUIET;
    } while (wanted != bits &&
             !atomic_compare_exchange_weak (&c->region[r], &bits, wanted));
    had |= bits;
  }
  return had;
}

unsigned
canaries_touch (struct canaries *c, uint64_t offset, uint64_t count)
{
  return change_regions (c, offset, count, REGION_TOUCHED | REGION_QUIET, 0);
}

unsigned
canaries_trim (struct canaries *c, uint64_t offset, uint64_t count)
{
  return change_regions (c, offset, count,
                         REGION_TOUCHED | REGION_TRIMMED | REGION_QUIET, 0);
}

void
canaries_sample (struct canaries *c, uint64_t offset, uint64_t count,
                 bool is_there)
{
  change_regions (c, offset, count, is_there ? REGION_SAMPLED : 0,
                  is_there ? 0 : REGION_SAMPLED);
}

unsigned
canaries_bits (const struct canaries *c, uint64_t offset, uint64_t count)
{
  const uint32_t last = (offset + count - 1) >> c->region_shift;
  unsigned bits = 0;

  for (uint32_t r = offset >> c->region_shift; r <= last; r++)
    bits |= atomic_load_explicit (&c->region[r], memory_order_relaxed);
  return bits;
}

void
canaries_listen (struct canaries *c)
{
  for (uint32_t r = 0; r < c->nr_regions; r++)
    atomic_fetch_and_explicit (&c->region[r],
                               (unsigned char) ~REGION_QUIET,
                               memory_order_relaxed);
}

/* Knuth's MMIX generator: another place each time will do. */
static uint64_t
next_random (struct canaries *c)
{
  c->random = c->random * UINT64_C (6364136223846793005) +
    UINT64_C (1442695040888963407);
  return c->random >> 33;
}

static bool
is_fit (const struct canaries *c, const struct canary_choice *choice,
        uint64_t block)
{
  const sector_t sector = block >> SECTOR_SHIFT;
  const uint64_t count = c->block >> SECTOR_SHIFT;

  return block + c->block <= c->size &&
    !ranges_overlap (block, block + c->block, choice->avoid_start,
                     choice->avoid_end) &&
    map_all_direct (choice->map, sector, count) &&
    (choice->failed == NULL ||
     map_all_direct (choice->failed, sector, count));
}

/* Tries of random blocks of a region before the next region's turn. */
#define TRIES 4

static bool
block_of_region (struct canaries *c, const struct canary_choice *choice,
                 uint32_t region, uint64_t *offset)
{
  uint64_t start = (uint64_t) region << c->region_shift;
  uint64_t len = min_u64 (UINT64_C (1) << c->region_shift, c->size - start);
  uint64_t blocks = max_u64 (len / c->block, 1);

  for (unsigned i = 0; i < TRIES; i++) {
    *offset = start + next_random (c) % blocks * c->block;
    if (is_fit (c, choice, *offset))
      return true;
  }
  return false;
}

/* Is the region as it should be, and none that was picked in this round? */
static bool
region_is (const struct canaries *c, const struct canary_choice *choice,
           uint32_t region, bool touched)
{
  const unsigned bits = atomic_load_explicit (&c->region[region],
                                              memory_order_relaxed);

  if (touched != ((bits & REGION_TOUCHED) != 0))
    return false;
  for (unsigned i = 0; i < choice->n; i++)
    if (choice->picked[i] >> c->region_shift == region)
      return false;
  return true;
}

/* A canary among the regions FIRST .. END - 1. */
static bool
pick_among (struct canaries *c, const struct canary_choice *choice,
            uint32_t first, uint32_t end, bool touched, uint64_t *offset)
{
  const uint32_t nr = end - first;
  uint32_t at, region;

  if (nr == 0)
    return false;
  at = next_random (c) % nr;
  for (uint32_t i = 0; i < nr; i++) {
    region = first + (at + i) % nr;
    if (region_is (c, choice, region, touched) &&
        block_of_region (c, choice, region, offset))
      return true;
  }
  return false;
}

/* Where one canary has answered others probably will: what is wrong with a disk
 * comes in stripes and zones.
 */
#define NEAR 8                  /* regions */

static bool
pick_near_good (struct canaries *c, const struct canary_choice *choice,
                uint64_t *offset)
{
  uint32_t first = (c->good >> c->region_shift) + 1;

  if (choice->n > 0 || c->good == UINT64_MAX)
    return false;
  if (c->cache == MAIN_UNCACHED && is_fit (c, choice, c->good)) {
    *offset = c->good;
    return true;
  }
  return first < c->nr_regions &&
    pick_among (c, choice, first, min_u64 (first + NEAR, c->nr_regions),
                false, offset);
}

static bool
pick (struct canaries *c, const struct canary_choice *choice, bool touched,
      uint64_t *offset)
{
  const uint64_t nr = c->nr_regions, zone = choice->n % NR_CANARIES;

  return pick_among (c, choice, nr * zone / NR_CANARIES,
                     nr * (zone + 1) / NR_CANARIES, touched, offset) ||
    pick_among (c, choice, 0, nr, touched, offset);
}

/* Where little is DIRECT random blocks miss it: the first one that is fit, and
 * lies in a region as it should be.
 */
static bool
pick_first (struct canaries *c, const struct canary_choice *choice,
            uint64_t *offset)
{
  uint64_t pos, next;
  struct run run;

  for (pos = 0; pos < c->size; pos = next) {
    run = map_lookup (choice->map, sector_of (pos),
                      sectors_in (pos, c->size));
    next = min_u64 (run_end_byte (&run), c->size);
    if (run.state != DIRECT)
      continue;
    for (*offset = round_up (pos, c->block); *offset < next;
         *offset += c->block)
      if (is_fit (c, choice, *offset) &&
          region_is (c, choice, *offset >> c->region_shift, true))
        return true;
      else if (*offset - pos > UINT64_C (1) << c->region_shift)
        break;
  }
  return false;
}

static bool
pick_anywhere (struct canaries *c, const struct canary_choice *choice,
               uint64_t *offset)
{
  return pick (c, choice, false, offset) ||
    (c->cache != MAIN_CACHED && (pick (c, choice, true, offset) ||
                                 pick_first (c, choice, offset)));
}

bool
canaries_pick (struct canaries *c, struct canary_choice *choice)
{
  uint64_t offset;
  bool found;

  if (choice->n == ALL_CANARIES)
    return false;
  pthread_mutex_lock (&c->mutex);
  found = pick_near_good (c, choice, &offset) ||
    pick_anywhere (c, choice, &offset);
  if (!found && choice->n == 0 && choice->avoid_start < choice->avoid_end) {
    choice->inside = true;
    choice->avoid_start = choice->avoid_end = 0;
    found = pick_anywhere (c, choice, &offset);
  }
  pthread_mutex_unlock (&c->mutex);
  if (found)
    choice->picked[choice->n++] = offset;
  return found;
}

void
canaries_answered (struct canaries *c, uint64_t offset)
{
  /* A cache has it from now on. */
  canaries_touch (c, offset, c->block);
  pthread_mutex_lock (&c->mutex);
  c->good = offset;
  pthread_mutex_unlock (&c->mutex);
}
