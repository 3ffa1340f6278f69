/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Where main and its spare lie: not on one disk, and what the disk is called.
 */

#ifndef REMAP_PLACEMENT_H
#define REMAP_PLACEMENT_H

#include <stddef.h>
#include <sys/stat.h>

#include "base/message.h"
#include "parameters.h"

/* The spare isn't main, nor shares a disk with it, as far as can be seen
 * (promise 22 of remap-promises(7)).  SPARE_ST: what the spare's path leads
 * to.  Returns 0, or -1 after nbdkit_error.
 */
extern int placement_check (const struct remap_config *config,
                            const struct stat *spare_st);

/* The same for a copy of main at PATH, to which COPY_ST belongs.  Returns 0, or
 * EINVAL with MESSAGE set.
 */
extern int placement_check_copy (const struct remap_config *config,
                                 const char *path, const struct stat *copy_st,
                                 struct message *message);

/* Warns of a spare in memory, and of one that an image shares a filesystem
 * with.  FD: the spare's; SPARE_ST: what fstat says of it.
 */
extern void placement_warn (const struct remap_config *config, int fd,
                            const struct stat *spare_st);

/* Learns main's label (serial number, WWN) if its path leads to a block
 * device, into LABEL of SIZE bytes; leaves that as it is otherwise.  Warns of
 * a device that is read through the page cache.
 */
extern void placement_main_label (const struct remap_config *config,
                                  char *label, size_t size);

#endif /* REMAP_PLACEMENT_H */
