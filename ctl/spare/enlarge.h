/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The grow command for a spare that no server holds.
 */

#ifndef REMAPCTL_SPARE_ENLARGE_H
#define REMAPCTL_SPARE_ENLARGE_H

#include <stdint.h>

/* Enlarges the spare that begins at byte OFFSET of PATH to SIZE bytes.
 * Returns the program's exit status.
 */
extern int spare_grow_offline (const char *path, uint64_t offset,
                               uint64_t size);

#endif /* REMAPCTL_SPARE_ENLARGE_H */
