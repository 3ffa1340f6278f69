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
  atomic_bool touched[CANARY_REGIONS];

  pthread_mutex_t mutex;                /* guards what follows */
  uint64_t random;
  uint64_t good;                        /* byte offset of the last one that
                                         * was read; UINT64_MAX: none */
};

extern void canaries_init (struct canaries *c, uint64_t size, uint32_t block,
                           enum main_cache cache);
extern void canaries_destroy (struct canaries *c);

/* Marks the byte range as touched.  COUNT >= 1.  Any thread. */
static inline void
canaries_touch (struct canaries *c, uint64_t offset, uint64_t count)
{
  uint32_t last = (offset + count - 1) >> c->region_shift;
  uint32_t r = offset >> c->region_shift;

  /* As a rule there is one, and it is marked. */
  if (r == last && atomic_load_explicit (&c->touched[r],
                                         memory_order_relaxed))
    return;
  do {
    if (!atomic_load_explicit (&c->touched[r], memory_order_relaxed))
      atomic_store_explicit (&c->touched[r], true, memory_order_relaxed);
  } while (r++ < last);
}

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
