/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Writes, zeroes and trims with a copy (promises 8, 9, 27 and 29 of
 * remap-promises(7)).  Nothing of them reaches main.
 *
 * Whole sectors are written to the copy, under a shared lock of their range, in
 * whatever state they are, but for those that have a slot, and stay there.
 * Then what wasn't WRITTEN before is so, pending.  For zeroes no content is
 * needed where the copy has none: they become ZERO.  A part of a sector is
 * merged with what the sector holds, which for a DIRECT one main is asked for.
 *
 * What the copy refuses with a media error goes to slots, as what main refuses
 * does where there is no copy: the blocks that really fail are found under an
 * exclusive lock (promise 29).
 */

#ifndef REMAP_ENGINE_RESCUE_WRITE_H
#define REMAP_ENGINE_RESCUE_WRITE_H

#include "engine/request.h"

/* Any bytes.  They return 0, an errno, or NOT_FAST. */
extern int rescue_write (struct request *r, const uint8_t *buf,
                         uint64_t start, uint64_t end);
extern int rescue_zero (struct request *r, uint64_t start, uint64_t end);
extern int rescue_trim (struct request *r, uint64_t start, uint64_t end);

/* All of it is recorded as WRITTEN, and the copy takes it at once: 0.  Else
 * LOOK_AGAIN, with nothing or a part of it done.
 */
extern int rescue_write_recorded (struct engine *e, const void *buf,
                                  uint64_t start, uint64_t end);

#endif /* REMAP_ENGINE_RESCUE_WRITE_H */
