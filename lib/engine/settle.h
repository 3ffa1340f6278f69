/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * From pending to durable: batches (promises 14 and 27 of remap-promises(7)).
 *
 * The life of a pending change.  A client writes sectors that aren't WRITTEN
 * yet.  Room in the log is reserved, the content goes to the copy, and then the
 * bits say WRITTEN (or ZERO, where a zero needs no content; or KEPT, where the
 * keeper has stored what main holds): from now on all readers find it there,
 * and the write is acknowledged.  A crash would undo it.
 *
 * A FLUSH, a FUA, and the keeper every five seconds or 64 MiB, ask for a batch.
 * There is one at a time; all that ask while it is under way share the next
 * one.  So a FLUSH never ends before a batch that has taken what it is about.
 * A batch
 *
 *   - takes the pages in which something has become pending, and notes their
 *     runs: whatever was acknowledged before it was asked for is among them;
 *   - flushes the copy: what the notes say has its content there, durably;
 *   - looks at keepings again: what a client has written since isn't what main
 *     holds, and is left out.  (What is written after this last look is covered
 *     by the mark of its GiB, see touched.h.)  What clients have changed stays:
 *     written again it is old or new after a crash, as on any disk;
 *   - commits the notes as the list for which room was reserved;
 *   - and clears those bits that say what has been recorded.  What has become
 *     something else meanwhile goes on to be pending, in a page that has been
 *     listed anew.
 *
 * Other changes of state (a slot for what the copy refuses, LOST, zeroing of
 * what has a slot) are durable at once, and newer than what a batch may have
 * noted of the same sectors.  So none is made between the notes and the
 * commit, nor notes while one is made: settle_record_begins waits for the batch
 * that is under way.  It is called with the range held; batches hold no ranges,
 * and wait for nothing but the copy and the spare.
 *
 * A copy whose flush fails has failed for good (promise 28): nothing that is
 * pending will be recorded.
 */

#ifndef REMAP_ENGINE_SETTLE_H
#define REMAP_ENGINE_SETTLE_H

#include "engine/internal.h"

extern void settle_init (struct settling *s);
extern void settle_destroy (struct settling *s);

/* All that was acknowledged before is durable when this returns 0.  Errors: EIO
 * (the copy or the spare has failed), ENOMEM.
 */
extern int settle_all (struct engine *e);

/* As spare_reserve; but before it fails for want of room a batch is made, since
 * what is pending takes more of it than what is recorded.  The range may be
 * held, and no record is being made.
 */
extern int settle_reserve (struct engine *e, uint64_t runs);

/* Another change of state is being committed. */
extern void settle_record_begins (struct engine *e);
extern void settle_record_ended (struct engine *e);

/* Milliseconds of the engine's clock since the last batch began. */
extern uint64_t settle_age (struct engine *e);

#endif /* REMAP_ENGINE_SETTLE_H */
