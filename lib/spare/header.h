/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The two headers on the device: reading, choosing, writing.
 *
 * spare_relabel and spare_main_has_grown, in spare.h, are of this unit as well.
 */

#ifndef REMAP_SPARE_HEADER_H
#define REMAP_SPARE_HEADER_H

#include "spare/internal.h"

/* The high water is a multiple of this, or else the whole area: pages. */
#define HIGH_WATER_STEP 256U

/* Both copies, and the one that counts. */
struct header_pair {
  enum header_class class[2];
  struct header copy[2];
  int io_error[2];              /* errno of reading, or 0 */
  int chosen;                   /* -1: none is complete */
};

/* Reads both copies and chooses.  What can't be read or isn't a header is
 * not an error here, PAIR says so.  SIZE: of the device, bytes.  Returns 0,
 * ENOMEM, ENOTSUP (a version or feature that is unknown), or EINVAL (the two
 * contradict each other).
 */
extern int header_read_both (const struct device *dev, uint64_t size,
                             struct header_pair *pair,
                             struct message *message);

/* The rest is the leader's. */

/* Puts H into both copies, each flushed, and into s->hdr.  ENOSPC: s->hdr is
 * as it was.  When the second copy alone found no room this is a success,
 * and header_behind says that it must be repeated before the next commit.
 * EIO is sticky: the spare has failed.  ENOMEM: nothing was written.
 */
extern int header_write (struct spare *s, const struct header *h);

/* The same, but ENOSPC also if the second copy found no room. */
extern int header_write_both (struct spare *s, const struct header *h);

/* Makes the two equal if they aren't, before anything relies on both. */
extern int header_repair (struct spare *s);

#endif /* REMAP_SPARE_HEADER_H */
