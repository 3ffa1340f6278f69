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
#define NR_CANARIES 3

struct canaries {
  uint64_t size;                        /* of main, bytes */
  uint32_t block;                       /* of main, bytes */
  unsigned region_shift;
  uint32_t nr_regions;
  atomic_bool touched[CANARY_REGIONS];

  pthread_mutex_t mutex;                /* guards what follows */
  uint64_t random;
};

extern void canaries_init (struct canaries *c, uint64_t size, uint32_t block);
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

/* Picks up to NR_CANARIES blocks, far apart, that are DIRECT in MAP and
 * don't overlap the bytes from AVOID_START to AVOID_END: untouched ones as
 * far as there are some, then touched ones.  Returns how many.
 */
extern unsigned canaries_pick (struct canaries *c, const struct map *map,
                               uint64_t avoid_start, uint64_t avoid_end,
                               uint64_t block_offset[NR_CANARIES]);

#endif /* REMAP_ENGINE_CANARIES_H */
