/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Who uses a spare, or did last, as its owner stamp says (remap-spare(5)).
 */

#ifndef REMAPCTL_SPARE_OWNER_H
#define REMAPCTL_SPARE_OWNER_H

#include "spare/offline.h"

/* The spare is held.  In *TEXT, new memory, for people. */
extern enum spare_stamp spare_owner (struct held_spare *h, char **text);

#endif /* REMAPCTL_SPARE_OWNER_H */
