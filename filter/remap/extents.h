/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Block status.
 *
 * What main says of its holes counts for DIRECT sectors alone.  All others are
 * data: main may have a hole where a sector was that is REMAPPED now, and a
 * copy that trusts it would have zeroes there (promise 1 of remap-promises(7)).
 *
 * A request is one question to main at most, as the client put it (one extent,
 * or all of them): so it costs what it costs without the filter, plus a lookup
 * for each run of sectors in a hole.  What main doesn't tell is data as well.
 */

#ifndef REMAP_EXTENTS_H
#define REMAP_EXTENTS_H

#include "remap.h"

/* The callback, for the server REMAP.  ERR may be NULL. */
extern int extents_get (const struct remap *remap, nbdkit_next *next,
                        uint32_t count, uint64_t offset, uint32_t flags,
                        struct nbdkit_extents *extents, int *err);

#endif /* REMAP_EXTENTS_H */
