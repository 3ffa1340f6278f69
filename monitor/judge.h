/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Decides when something is told about a server: what happens within a few
 * seconds is one message; more of the same waits until the last message is old
 * enough, what is worse doesn't; a reminder comes while it lasts, and a notice
 * when it is over.
 * (Promise 39 of remap-promises(7).)
 */

#ifndef REMAP_MONITOR_JUDGE_H
#define REMAP_MONITOR_JUDGE_H

#include "settings.h"
#include "watched.h"

/* Looks at W, and stores the message that is due at NOW (clock_now_ms).
 * Returns when it wants to be called again, if nothing changes before that.
 */
extern uint64_t judge (struct watched *w, struct store *store,
                       const struct settings *set, uint64_t now);

/* W isn't watched any more: if there was something wrong with it, that is
 * said.
 */
extern void judge_leaves (struct watched *w, struct store *store,
                          const struct settings *set);

/* Of those that aren't in LIST, since they went while no monitor was there. */
extern void judge_missing (const struct watch_list *list, struct store *store,
                           const struct settings *set);

#endif /* REMAP_MONITOR_JUDGE_H */
