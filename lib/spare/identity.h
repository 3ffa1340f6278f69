/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a spare belongs to (promise 20 of remap-promises(7)): its header's
 * identity.  The functions for UUIDs are in spare.h.
 */

#ifndef REMAP_SPARE_IDENTITY_H
#define REMAP_SPARE_IDENTITY_H

#include "spare/format.h"

/* Fills ID with what H says. */
extern void header_identity (const struct header *h,
                             struct spare_identity *id);

#endif /* REMAP_SPARE_IDENTITY_H */
