/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reads of sectors that live in the copy.
 */

#ifndef REMAP_ENGINE_READ_COPY_H
#define REMAP_ENGINE_READ_COPY_H

#include "engine/request.h"

/* Sectors that were in STATE, KEPT or WRITTEN, a moment ago, from byte START
 * on; *DONE, END at most, says how far they were read: not at all if they
 * aren't any more.  EIO if there is no copy, too.
 */
extern int copy_read_sectors (struct request *r, uint8_t *buf, uint64_t start,
                              uint64_t end, enum sector_state state,
                              uint64_t *done);

/* All of it is recorded as RESCUED, and the copy reads it at once: as a rule,
 * when much has been rescued (promise 24 of remap-promises(7)).
 */
extern bool copy_read_recorded (struct engine *e, void *buf, uint64_t start,
                                uint64_t end);

#endif /* REMAP_ENGINE_READ_COPY_H */
