/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Groups of this machine, by name.
 */

#ifndef REMAP_GROUP_H
#define REMAP_GROUP_H

#include <stdbool.h>
#include <sys/types.h>

/* The number of the group NAME; false if there is none. */
extern bool group_by_name (const char *name, gid_t *gid);

#endif /* REMAP_GROUP_H */
