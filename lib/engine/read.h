/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reads, and the isolation of what fails.  Offsets are bytes.
 */

#ifndef REMAP_ENGINE_READ_H
#define REMAP_ENGINE_READ_H

#include "engine/request.h"

/* Reads the bytes, whatever they are. */
extern int read_range (struct request *r, void *buf, uint64_t start,
                       uint64_t end);

/* Main failed to read these whole blocks: reads what can be read.
 * ALONE_FAILED: it is one block, and was asked for alone.
 */
extern int isolate (struct request *r, uint8_t *buf, uint64_t start,
                    uint64_t end, bool alone_failed);

/* Reads one main block that is held exclusively, up to TRIES times, into
 * BUF (a block).  WEAK is set if a try failed before one succeeded.
 * Returns main's error of the last try.
 */
extern int read_block_locked (struct request *r, void *buf, uint64_t block,
                              unsigned tries, bool *weak);

/* A canary that failed although main is alive is a bad block that was found:
 * it is tried again and recorded like others, or else each start of the
 * server might read it anew.  For the end of a request, without locks.
 */
extern void settle_bad_canaries (struct request *r);

static inline void
settle_canaries (struct request *r)
{
  if (r->nr_bad_canaries > 0)
    settle_bad_canaries (r);
}

/* Makes a mixed block whole, held exclusively: its DIRECT sectors become
 * REMAPPED or LOST.
 */
extern int complete_block_locked (struct request *r, uint64_t block);

/* Reads COUNT slots; notes those that can't be read. */
extern int slots_read (struct engine *e, void *buf, slot_t slot,
                       uint32_t count);

#endif /* REMAP_ENGINE_READ_H */
