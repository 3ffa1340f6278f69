/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Room below the log: how many pages of each area have storage, so that
 * writing them can't fail for want of it (promise 17 of remap-promises(7)).
 *
 * An area is as large as a checkpoint of all slots needs it, which on a large
 * spare is far more than the log ever takes.  So storage is allocated from
 * an area's beginning on, in steps, before the high water rises; and in both
 * areas there is always a reserve beyond the high water, in which changes are
 * recorded after the filesystem has become full.  When the reserve is used up
 * too, a checkpoint into the other area, which has as much, makes room again.
 *
 * What is here knows nothing of earlier sessions: storage that is there
 * already is allocated again, which costs nothing.
 *
 * All of it is the leader's, and so is s->room.
 */

#ifndef REMAP_SPARE_ROOM_H
#define REMAP_SPARE_ROOM_H

#include "spare/internal.h"

/* The reserve: pages of each area beyond the high water.  With one entry for
 * each, 126,976 runs of LOST sectors.
 */
#define ROOM_RESERVE 1024U

/* Allocates pages of an area, as far as it reaches, up to PAGES.  *HAVE: how
 * many are known to have storage, before and after.  Returns 0, or what the
 * device says when it is fewer than that.
 */
extern int room_reach (struct spare *s, const struct log_area *area,
                       uint64_t *have, uint64_t pages);

/* Both areas of the spare, for a log whose high water is to be HIGH pages:
 * these, and the reserve.  The same errors; s->room_short remembers them.
 */
extern int room_for_high_water (struct spare *s, uint64_t high);

/* An area of the spare, as far as it can be written without an allocation. */
extern struct log_area room_area (const struct spare *s, unsigned area);

#endif /* REMAP_SPARE_ROOM_H */
