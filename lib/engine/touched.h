/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Where the copy may hold something else than main although the spare says KEPT
 * (promise 27 of remap-promises(7)).
 *
 * A client's write to a KEPT sector makes it WRITTEN, which is recorded with
 * the next batch.  A crash before that leaves it KEPT in the spare, with main's
 * content in the copy, or the client's, or both in part.  Any of it may be
 * read: but main must not be asked for it any more, and it says nothing of
 * main.  So before the first such write in a GiB a mark of that GiB is made
 * durable; it costs one small commit for each GiB and run of the server.  A
 * clean end, with everything recorded, removes the marks; after any other end
 * they are STALE for as long as there is a copy.
 *
 * The marks are attributes of the spare with the tag "copy", see
 * remap-spare(5).
 */

#ifndef REMAP_ENGINE_TOUCHED_H
#define REMAP_ENGINE_TOUCHED_H

#include "engine/internal.h"

/* Reads what earlier runs have left behind.  Returns 0, ENOMEM, or EINVAL for
 * marks that make no sense; touched_destroy is to be called in either case.
 */
extern int touched_init (struct engine *e, struct touched *t);
extern void touched_destroy (struct touched *t);

/* Sectors that are KEPT are about to be written: marks their GiBs.  Returns 0,
 * or what the commit returned.
 */
extern int touched_mark (struct engine *e, sector_t start, uint64_t count);

/* May what is KEPT there differ from main? */
extern bool touched_stale (struct engine *e, sector_t start, uint64_t count);

/* The end: everything is recorded.  Removes the marks of this run. */
extern int touched_end (struct engine *e);

#endif /* REMAP_ENGINE_TOUCHED_H */
