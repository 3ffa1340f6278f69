/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Writes with a copy (promises 8, 27 and 29 of remap-promises(7)).  Nothing of
 * them reaches main.
 *
 * Whole sectors are written to the copy, under a shared lock of their range, in
 * whatever state they are, but for those that have a slot, and stay there.
 * Then what wasn't WRITTEN before is so, pending.  A part of a sector is merged
 * with what the sector holds, which for a DIRECT one main is asked for.
 *
 * What the copy refuses with a media error goes to slots, as what main refuses
 * does where there is no copy: the blocks that really fail are found under an
 * exclusive lock.
 */

#ifndef REMAP_ENGINE_RESCUE_WRITE_H
#define REMAP_ENGINE_RESCUE_WRITE_H

#include "engine/request.h"

/* Any bytes.  Returns 0 or an errno. */
extern int rescue_write (struct request *r, const uint8_t *buf,
                         uint64_t start, uint64_t end);

/* The rest is for rescue-zero.c, too; BUF may be NULL, for zeroes.
 *
 * The edges of a request that are parts of sectors; *START and *END become
 * those of the whole ones.  A part of a LOST sector fails before anything is
 * written (promise 6).
 */
extern int rescue_write_parts (struct request *r, const uint8_t *buf,
                               uint64_t *start, uint64_t *end);

/* Whole sectors that are held exclusively, in whole blocks of the copy: to the
 * copy, and those blocks that it refuses by themselves to slots.  FAILED: how
 * many it has refused so far.
 */
extern int rescue_write_held (struct request *r, const uint8_t *buf,
                              uint64_t start, uint64_t end, unsigned *failed);

/* All of it is recorded as WRITTEN, and the copy takes it at once: 0.  Else
 * LOOK_AGAIN, with nothing or a part of it done.
 */
extern int rescue_write_recorded (struct engine *e, const void *buf,
                                  uint64_t start, uint64_t end);

#endif /* REMAP_ENGINE_RESCUE_WRITE_H */
