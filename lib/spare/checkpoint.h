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

#include "spare/internal.h"

/* Writes a checkpoint and makes it active.  NEED is how many pages must
 * remain for commits; ENOSPC if that can't be.  EIO is sticky: the spare has
 * failed.  ENOMEM: the log is as it was.
 */
extern int log_checkpoint (struct spare *s, uint64_t need);

/* The steps of it, for a spare that grows. */

/* Writes the state into an area that isn't active; returns its length.
 * FATAL: an error other than ENOSPC or ENOMEM is sticky.
 */
extern int checkpoint_write (struct spare *s, const struct log_area *area,
                             uint64_t need, bool fatal, uint32_t *pages);

/* Fills in H what changes when that checkpoint becomes active. */
extern void checkpoint_header (const struct spare *s, struct header *h,
                               unsigned area, uint32_t pages);

/* The headers have been written: commits go on behind the checkpoint. */
extern void checkpoint_adopt (struct spare *s);

#endif /* REMAP_SPARE_CHECKPOINT_H */
