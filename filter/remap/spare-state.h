/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The state folder (host/state.h) as a server uses it: the spare that it is
 * given must be the disk's, and no older than the disk's spare was when it was
 * last seen (promise 20 of remap-promises(7)).
 *
 * The server keeps it itself, and not remapctl for it: so it is the same
 * whoever starts the server and however it ends, and nobody has to ask it.
 */

#ifndef REMAP_SPARE_STATE_H
#define REMAP_SPARE_STATE_H

#include "map/map.h"
#include "spare/spare.h"
#include "parameters.h"

struct spare_state;

/* DISK_LABEL: main's own, or "".  *STATE is NULL without a folder.  Returns 0,
 * or -1 after nbdkit_error.  CONFIG must live as long.
 */
extern int spare_state_open (const struct remap_config *config,
                             const char *disk_label,
                             struct spare_state **state);

/* All that follows takes NULL for a STATE that isn't kept. */

/* There is no spare yet: may a new one be made?  Returns 0, or -1 after
 * nbdkit_error.
 */
extern int spare_state_check_new (const struct spare_state *state);

/* May this one be used? */
extern int spare_state_check (const struct spare_state *state,
                              struct spare *spare);

/* It is used from now on, for a disk of MAIN_SIZE bytes; what it reaches is
 * noted now, once a minute, and at the end.  SPARE and MAP are to be closed
 * after that.  Returns 0, or -1 after nbdkit_error; a folder that can't be
 * written is a warning.
 */
extern int spare_state_begin (struct spare_state *state, struct spare *spare,
                              const struct map *map, uint64_t main_size);
extern void spare_state_free (struct spare_state *state);

#endif /* REMAP_SPARE_STATE_H */
