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
  bool tight;                   /* the state may become too large */
  uint64_t reserved;            /* entries that were kept for it: then it isn't
                                 * tight, and comes alone */
  bool whole;                   /* there is no room for the record: it is
                                 * written as a checkpoint */
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

/* By how many entries a commit of so many pages may make the state larger:
 * each adds two at most, itself and what it cuts off.
 */
static inline uint64_t
batch_growth (uint64_t pages)
{
  return pages * ENTRIES_PER_PAGE * 2;
}

/* Something is in the queue whenever one of these is called.
 *
 * Takes the first waiters from the queue, up to LAST; `lock' is held.
 */
extern struct waiter *take_waiters (struct spare *s, struct waiter *last);

/* Looks how many pages the first one in the queue NEEDs. */
extern void batch_look (struct batch *b);

/* Takes as many waiters from the queue as fit into ROOM pages, and
 * reasonably into one commit; none if not even the first one fits.  ENTRIES:
 * by how many the state may grow in any case; one that may make it too large
 * comes alone, and so is judged alone.
 */
extern void batch_choose (struct batch *b, uint64_t room, uint64_t entries);

/* Takes the first one, which is to be written as a checkpoint. */
extern void batch_choose_whole (struct batch *b);

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
