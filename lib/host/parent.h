/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The directory that a file is in.
 */

#ifndef REMAP_PARENT_H
#define REMAP_PARENT_H

#include <stdbool.h>

/* Is it missing, or no directory?  (Not if it only can't be looked into.)  For
 * messages: a file that can't be made there needs more than a file that isn't
 * there.
 */
extern bool parent_is_missing (const char *path);

#endif /* REMAP_PARENT_H */
