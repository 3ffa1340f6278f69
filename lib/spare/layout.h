/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Where the parts of a spare lie: log areas and segments of slots.
 *
 * Pure arithmetic on headers: no state, no I/O.
 */

#ifndef REMAP_SPARE_LAYOUT_H
#define REMAP_SPARE_LAYOUT_H

#include "spare/format.h"

/* Checks everything that a complete header says.  DEV_SIZE is what the
 * device has, in bytes.  Returns 0, EINVAL or ENOTSUP.
 */
extern int header_check (const struct header *h, uint64_t dev_size,
                         bool read_only, struct message *message);

/* Lays out a new spare of SIZE bytes: areas and one segment of slots. */
extern int header_layout (struct header *h, uint64_t size,
                          struct message *message);

/* Pages that a log area should have for that many slots, and for that
 * many other entries (LOST, ZERO).
 */
extern uint64_t area_pages_for (uint64_t nslots, uint64_t others);

/* The least that works: a checkpoint of all of them, scattered, and COMMITS
 * pages for what comes after it.
 */
extern uint64_t area_pages_least (uint64_t nslots, uint64_t others,
                                  uint64_t commits);

#endif /* REMAP_SPARE_LAYOUT_H */
