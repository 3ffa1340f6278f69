/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Block status.
 */

#ifndef REMAP_EXTENTS_H
#define REMAP_EXTENTS_H

#include "remap.h"

/* The callback, for the server REMAP. */
extern int extents_get (const struct remap *remap, nbdkit_next *next,
                        uint32_t count, uint64_t offset, uint32_t flags,
                        struct nbdkit_extents *extents, int *err);

#endif /* REMAP_EXTENTS_H */
