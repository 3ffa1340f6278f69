/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Writing the whole state anew, into the other log area.  All of it is the
 * leader's.
 *
 * spare_checkpoint, in spare.h, is of this unit as well.
 */

#ifndef REMAP_SPARE_CHECKPOINT_H
#define REMAP_SPARE_CHECKPOINT_H

#include "spare/attributes.h"
#include "spare/internal.h"

/* Pages of a checkpoint that a commit waits for at most. */
#define CHECKPOINT_PIECE 64U

/* A log is this long, in pages, and three times its state, when a checkpoint
 * is due.
 */
#define CHECKPOINT_AFTER 512U

/* Before a commit: writes a piece of the checkpoint that is under way, or
 * begins one that is due; when all of it is there, it becomes active.  What
 * goes wrong is of no consequence: it is begun again later.  (Unless the
 * spare has failed.)
 */
extern void checkpoint_step (struct spare *s);

/* A commit has been written at s->pos, and isn't flushed yet: N pages, which
 * are changed.  Returns 0, or EIO: the device is broken.
 */
extern int checkpoint_mirror (struct spare *s, void *pages, uint32_t n);

/* Gives up the one that is under way, if there is one. */
extern void checkpoint_drop (struct spare *s);

/* Writes one and makes it active, all at once.  NEED is how many pages must
 * remain for commits; ENOSPC if that can't be.  EIO is sticky: the spare has
 * failed.  ENOMEM: the log is as it was.
 */
extern int log_checkpoint (struct spare *s, uint64_t need);

/* The same, once after a start, if the log is much too long. */
extern void checkpoint_at_start (struct spare *s);

/* A commit as a checkpoint of the state that it leads to, for a log that has
 * no room for its record: PAGES (N of them, for the log's end) are that
 * record, COUNTERS what the counters will be; the updates of both maps are
 * open.  On return the header says so, s->pos is right, and it only has to be
 * published; after that, checkpoint_adopt.  Errors as above; after EIO,
 * IN_DOUBT is set if it may have happened.
 */
extern int checkpoint_of_update (struct spare *s, const void *pages,
                                 uint32_t n, const uint64_t *counters,
                                 bool *in_doubt);

/* Entries of the largest state that the log can hold: one more, and there
 * would be no room for a change that makes it smaller (promise 18 of
 * remap-promises(7)).
 */
extern uint64_t log_capacity (const struct spare *s);

/* May the open update be made, which adds SUM to the attributes, while RESERVED
 * entries are kept for others?  Not if it makes a state larger that is too
 * large, or, if the log IS_FULL, larger at all.  Counts the state.
 */
extern bool log_can_hold_update (const struct spare *s,
                                 const struct attribute_sum *sum,
                                 uint64_t reserved, bool is_full);

/* For a spare that grows: one into an area that no header has yet, number INDEX
 * of the header to be; AREA: as far as it has storage.  It is begun; then
 * written in steps, between which others may lead, whose commits write steps of
 * it as well, until it is DONE; and finished, which fills in H what changes
 * when it becomes active there.  Errors aren't sticky; after one, and after
 * EAGAIN (a commit needed a checkpoint of its own), there is none any more.
 */
extern int checkpoint_begin_elsewhere (struct spare *s,
                                       const struct log_area *area,
                                       unsigned index);
extern int checkpoint_step_elsewhere (struct spare *s, bool *done);
extern int checkpoint_finish_elsewhere (struct spare *s, struct header *h);

/* The headers have been written: commits go on behind the checkpoint. */
extern void checkpoint_adopt (struct spare *s);

#endif /* REMAP_SPARE_CHECKPOINT_H */
