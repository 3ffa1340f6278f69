/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Canaries: blocks of main that prove by being read that it is alive.  They
 * tell a bad sector from a dead disk (promise 12 of remap-promises(7)).
 */

#ifndef REMAP_ENGINE_CANARIES_H
#define REMAP_ENGINE_CANARIES_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/sector.h"
#include "map/map.h"

#define CANARY_REGIONS 4096

/* Canaries whose failing is suspicious, and those that are asked after that
 * before main is taken for dead.
 */
#define NR_CANARIES 3
#define MORE_CANARIES 16
#define ALL_CANARIES (NR_CANARIES + MORE_CANARIES)

/* Is there a cache that could answer for main? */
enum main_cache { MAIN_CACHE_UNKNOWN, MAIN_UNCACHED, MAIN_CACHED };

struct canaries {
  uint64_t size;                        /* of main, bytes */
  uint32_t block;                       /* of main, bytes */
  enum main_cache cache;
  unsigned region_shift;
  uint32_t nr_regions;
  atomic_uchar region[CANARY_REGIONS];  /* bits of REGION_* */

  pthread_mutex_t mutex;                /* guards what follows */
  uint64_t random;
  uint64_t good;                        /* byte offset of the last one that
                                         * was read; UINT64_MAX: none */
};

extern void canaries_init (struct canaries *c, uint64_t size, uint32_t block,
                           enum main_cache cache);
extern void canaries_destroy (struct canaries *c);

/* What is known of a region, as bits.  QUIET: nothing new would be known by a
 * request within it.
 */
#define REGION_QUIET 1U
#define REGION_TOUCHED 2U
#define REGION_TRIMMED 4U
#define REGION_SAMPLED 8U               /* see samples.h */

/* Does the byte range lie in one region, which is quiet?  As a rule it does,
 * and then that is all that a request has to do here.
 */
static inline bool
canaries_quiet (const struct canaries *c, uint64_t offset, uint64_t count)
{
  const uint32_t r = offset >> c->region_shift;

  return r == (offset + count - 1) >> c->region_shift &&
    (atomic_load_explicit (&c->region[r], memory_order_relaxed) &
     REGION_QUIET);
}

/* Marks the regions of a byte range: touched, and trimmed too.  They are quiet
 * from then on, unless there is a sample.  Returns the bits that they had, all
 * together.  COUNT >= 1.  Any thread.
 */
extern unsigned canaries_touch (struct canaries *c, uint64_t offset,
                                uint64_t count);
extern unsigned canaries_trim (struct canaries *c, uint64_t offset,
                               uint64_t count);

/* A sample lies there, or none does any more.  Any thread. */
extern void canaries_sample (struct canaries *c, uint64_t offset,
                             uint64_t count, bool is_there);

/* Have COUNT bytes at A and as many at B a region in common? */
static inline bool
canaries_meet (const struct canaries *c, uint64_t a, uint64_t b,
               uint64_t count)
{
  return a >> c->region_shift <= (b + count - 1) >> c->region_shift &&
    b >> c->region_shift <= (a + count - 1) >> c->region_shift;
}

/* The bits that the regions have, all together. */
extern unsigned canaries_bits (const struct canaries *c, uint64_t offset,
                               uint64_t count);

/* No region is quiet until it is touched again.  Any thread. */
extern void canaries_listen (struct canaries *c);

/* What is known when the next canary of a round is chosen. */
struct canary_choice {
  const struct map *map;                /* only DIRECT blocks are fit */
  const struct map *failed;             /* blocks that failed before: LOST */
  uint64_t avoid_start, avoid_end;      /* bytes of the request itself */
  bool inside;                          /* nothing else is left: they are
                                         * among the bytes to be avoided */
  unsigned n;
  uint64_t picked[ALL_CANARIES];        /* byte offsets of the round so far */
};

/* Picks the next block of a round.  The first is the one that answered last,
 * if no cache can answer for it, else one near it; then each is in another
 * third of the disk than the one before it, at random, in a region that nobody
 * has touched; or, if there is none and it isn't known that a cache would
 * answer, in a touched one; and if that isn't to be had, blocks of the request
 * itself.  False: nothing is left that would prove anything.
 */
extern bool canaries_pick (struct canaries *c, struct canary_choice *choice);

/* The block at OFFSET has answered. */
extern void canaries_answered (struct canaries *c, uint64_t offset);

#endif /* REMAP_ENGINE_CANARIES_H */
