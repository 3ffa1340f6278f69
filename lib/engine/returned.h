/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Is the main that answers again the disk that went away (promise 12 of
 * remap-promises(7))?  Its size says little: another disk in the same place, or
 * another file under the same name, may have the same.  Where nothing names
 * main the samples say more (samples.h).
 *
 * Few are read, others each time, and none that could be what main vanished
 * with: one that can't be read must not keep the right disk away.
 */

#ifndef REMAP_ENGINE_RETURNED_H
#define REMAP_ENGINE_RETURNED_H

#include "engine/request.h"

/* Samples that are read at a return, and those of them that may fail. */
#define RETURNED_READS 3U
#define RETURNED_FAILURES 1U

/* R asks, main is lost, its size is right, and it has given a sign of life.
 * One request at a time.  SAME: as far as can be told.
 */
enum returned { RETURNED_SAME, RETURNED_OTHER, RETURNED_GONE };

/* *WHERE: the byte offset at which it is another one. */
extern enum returned returned_main (struct request *r, uint64_t *where);

#endif /* REMAP_ENGINE_RETURNED_H */
