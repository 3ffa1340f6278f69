/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Places: the devices in which sectors live.
 *
 * Two are built in: main, where DIRECT sectors live, and the spare, in whose
 * slots REMAPPED ones do.  Others are registered, each for one state: sectors
 * in that state live there, at their own offset.  The engine asks two
 * questions about places: where does this sector live, and what has to be
 * flushed.
 *
 * As yet the engine reads from registered places and flushes them; whoever has
 * registered one writes it (place_write), and changes no state of its sectors
 * through the engine.
 *
 * The engine owns no device.  Places are registered before the first request;
 * everything else may be called from any thread.
 */

#ifndef REMAP_ENGINE_PLACES_H
#define REMAP_ENGINE_PLACES_H

#include "engine/internal.h"

/* Returns 0, ENOSPC if there are MAX_PLACES, or EEXIST if the state has a
 * place already.
 */
extern int places_add (struct engine *e, enum sector_state state,
                       const struct device *dev);

/* Where do sectors in this state live?  NULL: in none of the registered
 * places.
 */
extern struct place *place_of (struct engine *e, enum sector_state state);

/* COUNT bytes at OFFSET.  These return 0 or the errno of the device. */
extern int place_read (struct place *place, void *buf, uint32_t count,
                       uint64_t offset);
extern int place_write (struct place *place, const void *buf,
                        uint32_t count, uint64_t offset);

/* Flushes the registered places that were written since their last flush.
 * Returns 0, or EIO: a place whose flush has failed may have lost what was
 * written to it, and a later flush that succeeds says nothing about that; so
 * the error stays.
 */
extern int places_flush (struct engine *e);

#endif /* REMAP_ENGINE_PLACES_H */
