/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Pending states: what sectors have become that the spare doesn't know yet
 * (promise 27 of remap-promises(7)).
 *
 * They are kept apart from the map, since that is what checkpoints write, and
 * since a client's write must not cost an update of it.  Two bits say of a
 * sector that nothing is pending (DIRECT here), or that it is KEPT, WRITTEN or
 * ZERO from now on.  The bits lie in pages that are allocated when something
 * becomes pending near by, and given up when it no longer is.  What they mean
 * beside the map's own state is its users' business: they look here only where
 * the map says DIRECT, LOST, ZERO or KEPT.
 *
 * A change counts the runs of the log that were reserved for it (promise 27);
 * they stay with the page until the pending states of that page are taken to be
 * recorded.
 *
 * pending_get takes no lock, and any thread may call it at any time.  All other
 * functions may be called from any thread too, but what was taken belongs to
 * one thread, and only one batch is taken at a time.  Counts are sectors.
 */

#ifndef REMAP_MAP_PENDING_H
#define REMAP_MAP_PENDING_H

#include "base/sector.h"

struct pending;

/* For a disk of so many sectors.  NULL: out of memory. */
extern struct pending *pending_new (uint64_t nr_sectors);
extern void pending_free (struct pending *p);

/* What is pending for sector START: DIRECT if nothing is.  *COUNT, not 0, is
 * how many sectors are asked about at most, and on return for how many the
 * answer holds.
 */
extern enum sector_state pending_get (const struct pending *p, sector_t start,
                                      uint64_t *count);

/* Sectors whose bits are in the same page as START's end before this one. */
#define PENDING_PAGE_SECTORS UINT64_C (16384)

static inline sector_t
pending_page_end (sector_t start)
{
  return round_down (start, PENDING_PAGE_SECTORS) + PENDING_PAGE_SECTORS;
}

/* Makes sure that pending_set of these sectors will find memory, until
 * pending_unpin.  Returns 0 or ENOMEM; then there is nothing to be unpinned.
 */
extern int pending_pin (struct pending *p, sector_t start, uint64_t count);
extern void pending_unpin (struct pending *p, sector_t start, uint64_t count);

/* Pinned sectors, in one page, become pending in this state; DIRECT: nothing
 * is pending any more.  Returns whether that is news: then RUNS, which were
 * reserved in the log, stay with the page.
 */
extern bool pending_set (struct pending *p, sector_t start, uint64_t count,
                         enum sector_state state, uint64_t runs);

/* Of the sectors, in any number of pages, those that are pending in state FROM
 * are so no more; DIRECT: all.  Never fails.  Returns whether there were any:
 * then RUNS, which were reserved since what is left around them takes more of
 * the log, stay with a page.
 */
extern bool pending_clear (struct pending *p, sector_t start, uint64_t count,
                           enum sector_state from, uint64_t runs);

/* Everything that is pending in one state. */
extern void pending_clear_all (struct pending *p, enum sector_state from);

struct pending_totals {
  uint64_t kept, written, zero;         /* sectors */
  uint64_t pages;                       /* of 4 KiB */
};

extern void pending_get_totals (struct pending *p,
                                struct pending_totals *totals);

/* A batch: the pages in which something has become pending since they were
 * taken last, in order.  All zeroes to begin with.
 */
struct pending_batch {
  struct pending_page **page;
  size_t n;
  uint64_t runs;                        /* that were reserved for them */
  size_t at;                            /* pending_batch_next's */
  unsigned word;
};

/* Takes them.  Returns 0 or ENOMEM. */
extern int pending_take (struct pending *p, struct pending_batch *b);

/* The next run of sectors, ascending, that are pending now in one state; false
 * at the end.  A run goes on at most to the end of its page.
 */
extern bool pending_batch_next (const struct pending *p,
                                struct pending_batch *b, struct run *run);

/* The batch is over, and freed.  It was RECORDED: what that made of the pending
 * states has been cleared already, and the runs are no longer the pages'.  If
 * not, all of it will be taken again.  Waits for readers now and then, to free
 * memory.
 */
extern void pending_release (struct pending *p, struct pending_batch *b,
                             bool recorded);

#endif /* REMAP_MAP_PENDING_H */
