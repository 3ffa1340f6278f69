/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a write to the copy makes pending: the parts of it, before and after
 * (promise 27 of remap-promises(7)).  Whatever can fail, fails before the
 * content is in the copy: room in the log, memory for the bits, the marks of
 * what is KEPT.
 *
 * The caller holds the range from parts_look until parts_finish.
 */

#ifndef REMAP_ENGINE_PARTS_H
#define REMAP_ENGINE_PARTS_H

#include "engine/internal.h"

/* Sectors that are about to become something else: each part in one page of
 * pending states.
 */
#define MAX_PARTS 24

struct parts {
  unsigned n;
  struct { sector_t start; uint64_t count; bool kept; } v[MAX_PARTS];
};

/* How far from byte START on nothing has a slot, at most to END; and what of
 * that isn't WRITTEN.
 */
extern uint64_t parts_look (struct engine *e, uint64_t start, uint64_t end,
                            struct parts *p);

/* One part, which isn't KEPT. */
extern void parts_one (struct parts *p, const struct run *run);

/* Leaves out what isn't before sector END. */
extern void parts_cut (struct parts *p, sector_t end);

/* Makes sure that nothing can fail any more.  Returns 0, or an errno: then
 * there is nothing to be finished.
 */
extern int parts_prepare (struct engine *e, const struct parts *p);

/* They are WRITTEN, or ZERO, from now on; or the copy has refused to write. */
extern void parts_finish (struct engine *e, const struct parts *p,
                          enum sector_state state);
extern void parts_refused (struct engine *e, const struct parts *p);

#endif /* REMAP_ENGINE_PARTS_H */
