/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Blocks that make main vanish (promise 12 of remap-promises(7)).
 *
 * Some drives drop off their bus when a certain sector is touched.  Whoever
 * asks for it again loses the drive again, and which of many calls it was
 * nobody has said.  So what was under way when main was lost is suspected.
 * When main is back a suspect is asked alone: nothing else is asked of main
 * meanwhile.  Mostly that succeeds, and the suspicion is gone.  If main is lost
 * again the call is guilty, and its blocks are asked alone, one by one; one
 * with which main was lost as often as the configuration says is condemned, and
 * never asked again: it fails as a bad block does, without main.
 *
 * All of this is in memory only, and byte ranges are of whole main blocks.
 * All functions may be called from any thread.
 */

#ifndef REMAP_ENGINE_SUSPECTS_H
#define REMAP_ENGINE_SUSPECTS_H

#include "engine/internal.h"

/* Returns 0 or ENOMEM; then suspects_destroy is to be called as well. */
extern int suspects_init (struct suspects *s);
extern void suspects_destroy (struct suspects *s);

/* Is anything suspected or condemned?  Then calls to main go the careful way.
 */
static inline bool
suspects_any (const struct engine *e)
{
  return atomic_load_explicit (&e->suspects.any, memory_order_relaxed);
}

/* A call of these bytes was under way when main was lost. */
extern void suspects_add (struct engine *e, uint64_t start, uint64_t end);

enum suspicion { NO_SUSPECT, SUSPECT, GUILTY, CONDEMNED };

/* What the bytes from START on are, and how far that goes: *DONE, at most END.
 */
extern enum suspicion suspects_look (const struct engine *e, uint64_t start,
                                     uint64_t end, uint64_t *done);

/* Waits, though not for ever, until nothing else is asked of main, and keeps it
 * so until alone_leave.  False: something that hangs is under way all the same,
 * and main's loss will say nothing of what is asked now.
 */
extern bool suspects_exclude (struct engine *e);

/* They were asked alone, and main was lost. */
extern void suspects_lost (struct engine *e, uint64_t start, uint64_t end);

/* They were asked alone, and main wasn't lost; or nothing is asked there any
 * more, since they aren't DIRECT.
 */
extern void suspects_clear (struct engine *e, uint64_t start, uint64_t end);

#endif /* REMAP_ENGINE_SUSPECTS_H */
