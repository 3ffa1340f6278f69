/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The copy: the device to which main is being moved, each sector at its own
 * offset.  Here it is a device like any other, but one whose failed flush is
 * for ever (promise 28 of remap-promises(7)), and what is known of it alone:
 * the states of sectors are other units' (states.h).
 *
 * Offsets are bytes within main.  Functions that return int return 0 or the
 * errno of the device.  Any thread may call them.
 */

#ifndef REMAP_ENGINE_COPY_H
#define REMAP_ENGINE_COPY_H

#include "engine/engine.h"
#include "engine/internal.h"

/* Returns 0 or ENOMEM; copy_destroy is to be called in either case. */
extern int copy_init (struct copy *copy, const struct rescue_config *config);
extern void copy_destroy (struct copy *copy);

/* What is written at once: whole blocks, but for the end of main. */
static inline uint64_t
copy_block_of (const struct copy *copy, uint64_t offset)
{
  return round_down (offset, copy->block);
}

static inline uint64_t
copy_block_end (const struct engine *e, const struct copy *copy,
                uint64_t offset)
{
  return min_u64 (copy_block_of (copy, offset) + copy->block,
                  e->config.main_size);
}

/* Any bytes. */
extern int copy_read (struct copy *copy, void *buf, uint64_t start,
                      uint64_t end);

/* Whole blocks; at the end of main a short one is filled up with zeroes, as far
 * as the copy goes.  EIO once the copy has failed.  BUF is NULL: zeroes.
 */
extern int copy_write (struct copy *copy, const void *buf, uint64_t start,
                       uint64_t end);

/* Makes what was written durable; costs nothing if nothing was.  EIO: it has
 * failed, now or before.  One thread at a time: a second one would take the
 * first one's work for done.
 */
extern int copy_flush (struct copy *copy);

static inline bool
copy_has_failed (const struct copy *copy)
{
  return atomic_load (&copy->failed);
}

/* A write of these bytes timed out, and may still land: until a restart nothing
 * else is written to the blocks in which they are (promise 29).
 */
extern void copy_write_is_late (const struct engine *e, struct copy *copy,
                                uint64_t start, uint64_t end);

/* A write found room. */
static inline void
copy_has_room (struct copy *copy)
{
  if (atomic_load (&copy->full))
    atomic_store (&copy->full, false);
}

/* It is gone, or has failed in another way: as after a failed flush. */
static inline void
copy_fail (struct copy *copy)
{
  atomic_store (&copy->failed, true);
}

#endif /* REMAP_ENGINE_COPY_H */
