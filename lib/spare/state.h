/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The whole state as entries of the log, one after the other, as a checkpoint
 * has them behind the attributes: retired slots, ascending, then sectors,
 * ascending.
 *
 * The leader's, who may stop anywhere and go on later: what STATE_PINNED
 * walks doesn't change as long as the maps are pinned, and any thread may walk
 * it.
 */

#ifndef REMAP_SPARE_STATE_H
#define REMAP_SPARE_STATE_H

#include "spare/internal.h"
#include "spare/notes.h"

/* The state of one moment, for STATE_PINNED. */
struct state_pin {
  struct map_pin sectors, slots;
};

/* The leader's, not while an update is open. */
extern void state_pin (struct spare *s, struct state_pin *pin);
extern void state_unpin (struct spare *s, struct state_pin *pin);

/* Begins at the first entry.  PIN is for STATE_PINNED, else NULL.  NOTES:
 * reasons and times; where it has none, and if it is NULL, the reason is
 * unknown and the time is NOW, which is at most NOTE_TIME_MAX.
 */
extern void state_walk (struct state_walk *w, const struct spare *s,
                        enum state_source source,
                        const struct state_pin *pin,
                        const struct notes *notes, uint64_t now);

/* The next entry; false if there is none. */
extern bool state_next (struct state_walk *w, struct log_entry *e);

/* How many pages a checkpoint of so many has. */
static inline uint64_t
state_pages (uint64_t entries)
{
  return max_u64 (div_up (entries, ENTRIES_PER_PAGE), 1);
}

/* How many there are, without notes; all at once. */
extern uint64_t state_entries (const struct spare *s,
                               enum state_source source);

/* The same in no time, with attributes, and possibly too many. */
extern uint64_t state_entries_at_most (const struct spare *s);

/* Pages of a checkpoint without notes: at most so many. */
extern uint64_t state_pages_at_most (const struct spare *s);

#endif /* REMAP_SPARE_STATE_H */
