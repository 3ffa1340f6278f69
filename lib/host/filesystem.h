/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What kind of filesystem a file lies on.
 */

#ifndef REMAP_FILESYSTEM_H
#define REMAP_FILESYSTEM_H

#include <stdbool.h>

/* Can no other host have the same file open?  So it is where a disk has one
 * host at a time, and no program stands in between.  False where the kind isn't
 * known.
 */
extern bool filesystem_is_local (int fd);

/* Is what lies there gone after a power cut? */
extern bool filesystem_is_memory (int fd);

#endif /* REMAP_FILESYSTEM_H */
