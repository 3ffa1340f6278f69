/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Main's blocks: arithmetic, how the states of a block's sectors are mixed,
 * and the lock of one block.  Offsets are bytes; the last block may be short.
 */

#ifndef REMAP_ENGINE_BLOCKS_H
#define REMAP_ENGINE_BLOCKS_H

#include "base/bytes.h"
#include "base/rangelock.h"
#include "engine/internal.h"

/* Is START aligned, and END too, or the end of main? */
static inline bool
is_aligned (const struct engine *e, uint64_t start, uint64_t end)
{
  return ((start | end) & (e->config.main_block - 1)) == 0 ||
    ((start & (e->config.main_block - 1)) == 0 &&
     end == e->config.main_size);
}

static inline uint64_t
block_of (const struct engine *e, uint64_t offset)
{
  return round_down (offset, e->config.main_block);
}

static inline uint64_t
block_end (const struct engine *e, uint64_t offset)
{
  uint64_t end = block_of (e, offset) + e->config.main_block;

  return end < e->config.main_size ? end : e->config.main_size;
}

/* One main block, alone. */
static inline void
lock_block (struct engine *e, struct exclusive_hold *hold, uint64_t block)
{
  range_lock_exclusive (e->ranges, hold, block,
                        block + e->config.main_block);
}

static inline void
unlock_block (struct engine *e, struct exclusive_hold *hold)
{
  range_unlock_exclusive (e->ranges, hold);
}

/* How the sectors of main blocks are mixed. */
enum block_class { ALL_DIRECT, ALL_MAPPED, MIXED };

/* Classifies the block at START (aligned), and says in *END how far the
 * same class reaches, in whole blocks and at most to LIMIT.  MIXED is
 * always one block.  Requests are split there (promise 2 of
 * remap-promises(7)).
 */
extern enum block_class classify (struct engine *e, uint64_t start,
                                  uint64_t limit, uint64_t *end);

#endif /* REMAP_ENGINE_BLOCKS_H */
