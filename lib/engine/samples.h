/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Samples of main, taken and struck out while it is in use (promise 20 of
 * remap-promises(7)); how a start judges by them is in recognise.h, what they
 * are in spare/sample.h.
 *
 * A sample must never differ from a main that is the right one.  So:
 *
 * - It is taken of what a client reads, while the block is held exclusively: no
 *   write of it is under way.
 * - It becomes one only when a flush of main that began later has succeeded,
 *   and nothing wrote the block until then: what was read is durable.
 * - Before a write, zero or trim of it reaches main it is durably struck out of
 *   the spare, by the thread that holds the range for that write.
 *
 * What that costs others: nothing.  The regions of main in which a sample lies
 * are marked beside what the canaries know of them (canaries.h), which each
 * request looks at anyway; only in those is a list searched.
 */

#ifndef REMAP_ENGINE_SAMPLES_H
#define REMAP_ENGINE_SAMPLES_H

#include "engine/internal.h"

/* No more than one new one in this time.  Milliseconds. */
#define SAMPLE_INTERVAL_MS (UINT64_C (3600) * 1000)

/* Takes over those that the spare has.  Returns 0 or ENOMEM. */
extern int samples_init (struct engine *e);
extern void samples_destroy (struct engine *e);

/* A read of main from START on, COUNT bytes in whole blocks that were DIRECT
 * when they were looked at.  The thread holds no range.  True: one of them may
 * become a sample, and is held until samples_end, which follows.
 */
struct sampling {
  struct exclusive_hold hold;
  uint64_t start, end;          /* bytes that are held */
};
extern bool samples_begin (struct engine *e, struct sampling *s,
                           uint64_t start, uint32_t count);
/* DATA: what was read of the bytes that are held.  NULL: that failed. */
extern void samples_end (struct engine *e, struct sampling *s,
                         const uint8_t *data);

/* A write, zero or trim of these bytes of main is about to begin; the thread
 * holds their range.  When this returns no sample speaks of them any more, or
 * that could not be recorded, which is told.
 */
extern void samples_strike (struct engine *e, uint64_t start, uint64_t end);

/* A flush of main begins: what is returned goes to samples_flushed if it has
 * succeeded and covers all writes that had ended before.
 */
extern uint64_t samples_flush_begins (struct engine *e);
extern void samples_flushed (struct engine *e, uint64_t begun);

/* To be called once a second or so, by one thread at a time. */
extern void samples_tick (struct engine *e);

/* How many the spare has. */
extern unsigned samples_count (struct engine *e);

/* Those that the spare has, in V: how many.  And is this one still among them?
 */
extern unsigned samples_list (struct engine *e,
                              struct sample v[SAMPLES_MAX]);
extern bool samples_has (struct engine *e, const struct sample *sample);

#endif /* REMAP_ENGINE_SAMPLES_H */
