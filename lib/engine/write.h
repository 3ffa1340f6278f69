/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Writes of whole main blocks.  Offsets are bytes.
 */

#ifndef REMAP_ENGINE_WRITE_H
#define REMAP_ENGINE_WRITE_H

#include "engine/request.h"

/* Writes whole main blocks.  Here and below BUF is NULL for zeroes. */
extern int write_blocks (struct request *r, const uint8_t *buf,
                         uint64_t start, uint64_t end);

/* Main failed to write these whole blocks with ERR. */
extern int write_failed (struct request *r, const uint8_t *buf,
                         uint64_t start, uint64_t end, int err);

#endif /* REMAP_ENGINE_WRITE_H */
