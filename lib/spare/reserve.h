/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Room in the log that is reserved for changes to come (promise 27 of
 * remap-promises(7)): spare_reserve and spare_unreserve, which are in spare.h.
 *
 * What is reserved counts as if the state were larger by so many entries: no
 * other commit may make the state so large that it would have no room.  A
 * reservation is an addition to one counter, as long as the other one says that
 * there is room; near the limit, and for the first one, the leader looks.
 */

#ifndef REMAP_SPARE_RESERVE_H
#define REMAP_SPARE_RESERVE_H

#include "spare/internal.h"

/* The leader's, before and after a commit: as the state is now, and if it may
 * become larger by GROWTH entries meanwhile, so much may be reserved.  Returns
 * how much is reserved.
 */
extern uint64_t reserve_limit (struct spare *s, uint64_t growth);

#endif /* REMAP_SPARE_RESERVE_H */
