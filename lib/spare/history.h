/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Why and since when sectors are as they are.
 *
 * The map says what state a sector is in; why and since when is kept
 * nowhere but in the spare's log.  A history reads the log once, and after
 * that only what was added to it, and keeps what it has read until
 * spare_history_drop: some 10 to 20 bytes for each run of sectors.  It
 * works on a spare that is in use, and commits don't wait for it; it works
 * as well on one that was loaded read-only.
 *
 * A change that is made at the same time may be shown with the state that
 * it led to and the reason of the one before.
 *
 * It owns neither spare nor map.  All functions may be called from any
 * thread; those that take a history follow one another.
 */

#ifndef REMAP_SPARE_HISTORY_H
#define REMAP_SPARE_HISTORY_H

#include "spare/spare.h"

struct spare_history;

/* Sectors that are alike: one state, adjacent slots, one reason, one time. */
struct history_run {
  struct run run;               /* never DIRECT */
  enum change_reason why;       /* WHY_UNKNOWN: the log doesn't say */
  uint64_t since;               /* seconds since 1970, UTC; 0: unknown */
};

/* MAP is the spare's.  Reads nothing yet: with spare_env.keep_history, what
 * was read already is taken over, if no change was made since.  NULL: out of
 * memory.
 */
extern struct spare_history *spare_history_new (struct spare *spare,
                                                const struct map *map);
extern void spare_history_free (struct spare_history *history);

/* Reads what was added to the log; to be called before runs are asked for.
 * What can't be read leaves reasons and times unknown.  Returns 0, or
 * ENOMEM: then spare_history_next still works with what is there.
 */
extern int spare_history_update (struct spare_history *history);

/* The first run that isn't DIRECT among the sectors START .. END - 1,
 * clipped to these.  False if there is none.
 */
extern bool spare_history_next (struct spare_history *history,
                                sector_t start, sector_t end,
                                struct history_run *run);

/* Frees what was read.  The next update reads the log again. */
extern void spare_history_drop (struct spare_history *history);

/* The reason as one word: unknown, auto-write, auto-read, weak, manual,
 * import, client.
 */
extern const char *change_reason_name (enum change_reason why);

/* The state as one word: direct, remapped, lost, zero, kept, written. */
extern const char *sector_state_name (enum sector_state state);

#endif /* REMAP_SPARE_HISTORY_H */
