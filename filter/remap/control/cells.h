/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map request: how many sectors of each part of the disk are in which
 * state.  Whoever draws a picture need not be sent a million runs for it.
 */

#ifndef REMAP_CONTROL_CELLS_H
#define REMAP_CONTROL_CELLS_H

#include <stdatomic.h>

#include "control/protocol.h"
#include "control/reply.h"
#include "control/target.h"

/* The reply: of WANTED cells, at most CONTROL_CELLS_MAX; NULL: out of memory.
 * Any thread.  Ends soon after STOP has become true.
 */
extern json_t *control_cells (const struct control_target *t, uint64_t wanted,
                              const atomic_bool *stop);

#endif /* REMAP_CONTROL_CELLS_H */
