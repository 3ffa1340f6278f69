/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Writes that don't cover whole main blocks.  Offsets are bytes.
 */

#ifndef REMAP_ENGINE_EDGE_H
#define REMAP_ENGINE_EDGE_H

#include "engine/request.h"

/* Would a write that ends at END, in the middle of a sector, fail for that
 * sector?  Reads it as a client would.
 */
extern int look_at_edge (struct request *r, uint64_t end);

/* Writes bytes within one main block (BUF is NULL: zeroes). */
extern int write_edge (struct request *r, const uint8_t *buf,
                       uint64_t start, uint64_t end);

/* Writes bytes that don't cover whole main blocks. */
extern int write_range (struct request *r, const uint8_t *buf,
                        uint64_t start, uint64_t end);

#endif /* REMAP_ENGINE_EDGE_H */
