/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Building a whole map: what map.h doesn't say of it.
 */

#ifndef REMAP_MAP_LOAD_H
#define REMAP_MAP_LOAD_H

#include "map/tree.h"

/* Frees what map_load has built for a map that will not be used.  LOADER may
 * be NULL.
 */
extern void map_loader_free (struct loader *loader);

#endif /* REMAP_MAP_LOAD_H */
