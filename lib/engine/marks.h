/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Sets of sectors or slots that need another treatment until the server is
 * started anew.  They are in memory only.
 *
 * late        Sectors that main must not be used for any more: a write that
 *             timed out may still land there, or a record that was not
 *             known to be durable may take effect later (promises 3 and 13
 *             of remap-promises(7)).
 * unreadable  Slots that could not be read.  Their sectors' next full write
 *             takes a new slot (promise 17).
 *
 * bad canaries  Blocks that failed when they were asked for a sign of life.
 *
 * All functions may be called from any thread.
 */

#ifndef REMAP_ENGINE_MARKS_H
#define REMAP_ENGINE_MARKS_H

#include "engine/internal.h"

/* Returns 0 or ENOMEM; then marks_destroy is to be called as well. */
extern int marks_init (struct marks *m, enum marks_without_memory policy);
extern void marks_destroy (struct marks *m);

extern void marks_add (struct marks *m, uint64_t start, uint64_t count);
extern void marks_remove (struct marks *m, uint64_t start, uint64_t count);

/* Is one of them marked? */
extern bool marks_search (const struct marks *m, uint64_t start,
                          uint64_t count);

static inline bool
marks_overlap (const struct marks *m, uint64_t start, uint64_t count)
{
  return atomic_load (&m->any) && marks_search (m, start, count);
}

/* The sectors of bytes of main, from START to before END. */
extern void late_add (struct engine *e, uint64_t start, uint64_t end);

static inline bool
late_overlaps (const struct engine *e, uint64_t start, uint64_t end)
{
  return marks_overlap (&e->late, sector_of (start), sectors_in (start, end));
}

/* Are the bytes of main from START on marked?  *DONE, at most END: how far that
 * is so for all of them.
 */
extern bool marks_end (const struct marks *m, uint64_t start, uint64_t end,
                       uint64_t *done);

/* How far from START on, at most to END, the bytes are all late (then *LATE
 * is set), or none of them is.
 */
static inline uint64_t
late_end (const struct engine *e, uint64_t start, uint64_t end, bool *late)
{
  *late = marks_end (&e->late, start, end, &end);
  return end;
}

/* How many are marked; UINT64_MAX: all. */
extern uint64_t marks_count (const struct marks *m);

/* Main has begun or ceased to refuse writes, or something is suspected (see
 * suspects.h) or no longer: are simple ones (pwrite.c, read.c) allowed?
 */
extern void allow_simple_requests (struct engine *e);

#endif /* REMAP_ENGINE_MARKS_H */
