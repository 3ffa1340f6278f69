/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What is committed at once: the changes of one or more waiting threads, as
 * pages of the log, and what they do to the map, the slots and the attributes.
 * A slot that loses its sector is free only after that is durable and visible
 * (promises 1 and 8 of remap-promises(7)).
 *
 * All of it is the leader's.
 */

#ifndef REMAP_SPARE_BATCH_H
#define REMAP_SPARE_BATCH_H

#include "spare/attributes.h"
#include "spare/internal.h"

struct slot_range {
  slot_t slot;
  uint64_t count;
};

/* One group commit, and the waiters for whom it is made. */
struct batch {
  struct spare *s;
  struct waiter *first;         /* NULL: none was taken from the queue */
  uint64_t need;                /* pages for the first one alone */
  uint32_t pages;
  uint32_t features;            /* that the header must have */
  uint8_t *buf;                 /* the pages */
  struct log_place next;        /* where the next entry goes */
  uint64_t now;
  uint64_t counters[NR_SPARE_COUNTERS];
  uint64_t changes, retired;
  size_t nattributes;
  struct attribute_sum attributes;

  /* Slots that lose their sector. */
  struct slot_range *released;
  size_t nreleased, cap;
};

/* Takes the first waiters from the queue, up to LAST; `lock' is held. */
extern struct waiter *take_waiters (struct spare *s, struct waiter *last);

/* Takes as many waiters from the queue as fit into ROOM pages, and
 * reasonably into one commit; none if not even the first one fits.  Something
 * is in the queue.
 */
extern void batch_choose (struct batch *b, uint64_t room);

/* Builds everything in memory: the pages, and the updates of the maps, which
 * are left open if this succeeds.  Returns 0, ENOMEM, or ENOSPC (more
 * attributes than a spare may have).
 */
extern int batch_build (struct batch *b);

/* The attributes count from now on; `lock' is held. */
extern void batch_publish_attributes (struct batch *b);

/* Frees what was released, except where it was retired at the same time.
 * Nobody uses these slots any more, although a reader may still be in the
 * former tree of the map: whoever reads a slot has looked its sector up under a
 * hold of its range, and the caller holds that exclusively until this has been
 * done.
 */
extern void batch_free_released (struct batch *b);

extern void batch_free (struct batch *b);

#endif /* REMAP_SPARE_BATCH_H */
