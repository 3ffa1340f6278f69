/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The copy has refused to write: is that about a place, or about the copy
 * (promise 29 of remap-promises(7))?
 */

#ifndef REMAP_ENGINE_REFUSED_H
#define REMAP_ENGINE_REFUSED_H

#include "engine/request.h"

/* It failed with *ERR to write the bytes from START to END.  True: they are to
 * go to slots.  False: *ERR is what the client gets; a copy that is gone has
 * failed from now on.
 */
extern bool refused_a_place (struct request *r, int *err, uint64_t start,
                             uint64_t end);

#endif /* REMAP_ENGINE_REFUSED_H */
