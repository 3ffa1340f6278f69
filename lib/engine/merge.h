/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Sectors into the copy, whose blocks may be larger than a sector.
 *
 * A block that isn't written as a whole is read, modified and written.  Only
 * its RESCUED sectors are read and written again; the places of the others, of
 * which the copy may hold anything from before it was one, become zeroes, and
 * their states stay.  If the copy refuses such a write the RESCUED ones that
 * were not to be written at all are moved to slots: they might be lost with it
 * (promise 29 of remap-promises(7)).
 *
 * Whole blocks of the copy are held exclusively by the caller, who changes the
 * states of the sectors that it has written.
 */

#ifndef REMAP_ENGINE_MERGE_H
#define REMAP_ENGINE_MERGE_H

#include "engine/request.h"

/* The block of the copy, or sector, that holds the byte; and where it ends. */
extern uint64_t merge_block_of (const struct engine *e, uint64_t offset);
extern uint64_t merge_block_end (const struct engine *e, uint64_t offset);

/* Writes the whole sectors from byte START to END; BUF is NULL for zeroes.
 * Returns 0, or what the copy returned for one of the blocks.
 */
extern int merge_write (struct request *r, const uint8_t *buf, uint64_t start,
                        uint64_t end);

#endif /* REMAP_ENGINE_MERGE_H */
