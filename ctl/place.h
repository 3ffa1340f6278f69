/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Is a list of bad areas one of the disk, or of a partition of it?
 */

#ifndef REMAPCTL_PLACE_H
#define REMAPCTL_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bad-list.h"

/* The disk has this label and so many bytes.  False, after a message that says
 * which offset to add, if the list at PATH describes as many bytes as one of
 * its partitions has, or names one.  True if the disk isn't one of this
 * machine.
 */
extern bool place_is_disk (const char *path, const struct list_about *about,
                           const char *label, uint64_t main_size);

#endif /* REMAPCTL_PLACE_H */
