/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Slots: where they are, and which are free.  Their contents are store.c's.
 *
 * A slot is taken by slots_take, and belongs to the caller until it is
 * mapped by a commit, or freed.  Functions take alloc_lock themselves where
 * it doesn't say otherwise.
 */

#ifndef REMAP_SPARE_SLOTS_H
#define REMAP_SPARE_SLOTS_H

#include "spare/internal.h"

#define MAX_IO_SLOTS 65536U     /* slots read or written at once: 32 MiB */

/* Where the slots of a header are.  NULL: out of memory. */
extern struct geometry *spare_new_geometry (const struct header *h);

static inline const struct geometry *
spare_geometry (const struct spare *s)
{
  return atomic_load_explicit (&s->geometry, memory_order_acquire);
}

/* Where a slot is (OFFSET, bytes), and how many of COUNT slots from it on are
 * adjacent there.
 */
extern uint64_t slot_place (const struct geometry *g, slot_t slot,
                            uint64_t count, uint64_t *offset);

/* All slots of the geometry are free.  Returns 0 or ENOMEM. */
extern int slots_init (struct spare *s);

/* Marks slots as not to be given out; false if one of them was already.  For
 * a spare that is being opened: takes no lock.
 */
extern bool slots_mark (struct spare *s, slot_t slot, uint64_t count);

/* The same, but they may be marked already. */
extern void slots_hold (struct spare *s, slot_t slot, uint64_t count);

/* Takes a run of at most WANT adjacent free slots, 0 if there is none. */
extern uint64_t slots_take (struct spare *s, uint64_t want, slot_t *slot);

/* Makes sure that slots can be written without running out of room below
 * the spare (promise 17 of remap-promises(7)); a chunk at a time, once in a
 * session.  Returns 0, or what the device says.
 */
extern int slots_prepare (struct spare *s, slot_t slot, uint64_t count);

extern void slots_free (struct spare *s, slot_t slot, uint64_t count);

/* Frees the slots that a list would have mapped. */
extern void slots_give_back (struct spare *s, const struct change_list *list);

/* Frees slots that were in use, after the commit that gave them up: a spare
 * that was full has room again.
 */
extern void slots_release (struct spare *s, slot_t slot, uint64_t count);

/* For whoever copies slots that are mapped now: from this call on, those that
 * are given up wait until slots_keep_end before they are used again.  But if
 * somebody needs slots, and no others are free, they don't.  For one copy at a
 * time: EBUSY if there is another one, or ENOMEM.
 */
extern int slots_keep_begin (struct spare *s);

/* Have they all waited until now?  If not, what was just read of one may belong
 * to another sector.
 */
extern bool slots_are_kept (struct spare *s);
extern void slots_keep_end (struct spare *s);

/* For whoever needs so many slots: are they free? */
extern bool slots_want (struct spare *s, uint64_t count);

/* Makes room in the bitmap for NSLOTS slots; slots_grown then counts the new
 * ones.  The leader's.  Returns 0 or ENOMEM.
 */
extern int slots_reserve_bitmap (struct spare *s, uint64_t nslots);
extern void slots_grown (struct spare *s, uint64_t nslots);

#endif /* REMAP_SPARE_SLOTS_H */
