/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the tests of the copy share: the rig of the engine with a copy, which
 * holds something else everywhere (tag JUNK) before it is attached.
 */

#ifndef RESCUE_RIG_H
#define RESCUE_RIG_H

#include "engine-rig.h"

#define JUNK 99

struct rescue_rig {
  struct engine_rig r;
  struct memdev *copy;
  struct rescue_config config;
  struct memdev *mem_then, *copy_then;          /* when the power failed */
};

/* O as of rig_init; O->copy_block is the copy's, too. */
extern void rescue_init (struct rescue_rig *rr, const struct rig_options *o);
extern void rescue_end (struct rescue_rig *rr);

/* The server ends, cleanly or by a kill, and starts again. */
extern void rescue_restart (struct rescue_rig *rr, bool clean);

/* The power fails now: of what was not flushed any part is on spare and copy,
 * of each for itself.  It is found so by rescue_crash, later.
 */
extern void rescue_cut_power (struct rescue_rig *rr, uint64_t *seed);
extern void rescue_crash (struct rescue_rig *rr);

/* Stores all that is to be kept; returns how many pieces. */
extern unsigned rescue_keep (struct rescue_rig *rr);

/* COUNT states as letters, with what is pending in small ones. */
extern const char *rescue_states (struct rescue_rig *rr, sector_t start,
                                  unsigned count);

/* Does the copy itself hold this? */
extern bool copy_holds (struct rescue_rig *rr, uint64_t offset,
                        uint64_t count, unsigned tag);

#endif /* RESCUE_RIG_H */
