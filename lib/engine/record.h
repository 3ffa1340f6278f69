/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Changes of state: the one place where sectors become something else.
 *
 * A change has three steps.  Content is stored in slots; what becomes of the
 * sectors is recorded; and the record is committed, which makes all of it
 * durable and then visible, in one step (promise 13 of remap-promises(7)).
 * To move sectors means all three.
 *
 * Whoever changes sectors holds their range exclusively from before it looks
 * at their state until after the commit (promise 8).
 */

#ifndef REMAP_ENGINE_RECORD_H
#define REMAP_ENGINE_RECORD_H

#include "engine/request.h"

/* Owned by its maker until record_commit, which must follow.  Once
 * something went wrong with it, ERR says what, nothing more is added, and
 * committing it gives everything up: so the functions return ERR, and whether
 * a caller looks at it before the end is a matter of speed.
 */
struct record {
  struct engine *e;
  struct request *r;            /* NULL: nothing is going to be stored */
  struct change_list list;
  uint64_t counters[NR_SPARE_COUNTERS];
  uint64_t moved;               /* DIRECT sectors that are REMAPPED now, */
  uint64_t overwritten;         /* and LOST and ZERO ones */
  int err;                      /* errno */
};

extern void record_init (struct record *rec, struct engine *e,
                         struct request *r);

/* Stores the sectors of the bytes from START to END (a sector's edge, or the
 * end of main): REMAPPED ones in their slots, all others in new slots, which
 * are recorded.  WHY they are no longer DIRECT; the reason of those that
 * weren't is the client that writes them, unless WHY is an operator's.
 */
extern int store_sectors (struct record *rec, const uint8_t *buf,
                          uint64_t start, uint64_t end,
                          enum change_reason why);

/* The sectors of RUN become LOST, ZERO, or DIRECT: then main has their content
 * already.
 */
extern int record_state (struct record *rec, const struct run *run,
                         enum sector_state state, enum change_reason why);

/* The whole sectors from byte START to END become ZERO, whatever they were.
 * WHY: as of store_sectors.
 */
extern int record_zero (struct record *rec, uint64_t start, uint64_t end,
                        enum change_reason why);

/* Commits the record, or gives it up, and frees it.  An empty one costs
 * nothing.  Returns 0, ENOSPC, EIO or ENOMEM: then no state has changed.
 */
extern int record_commit (struct record *rec);

/* The rest makes a record of its own and commits it. */

/* Moves the whole sectors from byte START to END, whatever they were. */
extern int move_sectors (struct request *r, const uint8_t *buf,
                         uint64_t start, uint64_t end,
                         enum change_reason why);

/* Moves the DIRECT sectors of whole blocks.  DATA is the content of all of
 * them; NULL: they become LOST.
 */
extern int move_direct (struct request *r, uint64_t start, uint64_t end,
                        const void *data, enum change_reason why);

/* Whole sectors become ZERO. */
extern int zero_sectors (struct request *r, uint64_t start, uint64_t end,
                         enum change_reason why);

#endif /* REMAP_ENGINE_RECORD_H */
