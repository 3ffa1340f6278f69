/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * One server writes to an image (promise 22 of remap-promises(7)).  A block
 * device is opened exclusively by the direct plugin; an image file is locked
 * here, since what the plugin has opened can't be seen from a filter.
 */

#ifndef REMAP_MAIN_LOCK_H
#define REMAP_MAIN_LOCK_H

#include "parameters.h"

/* In get_ready: takes the lock, alone or, where main can't be written,
 * together with others that can't.  FD is to be closed in the end; -1: there is
 * no image file, or nothing to lock.  Returns 0, or -1 after nbdkit_error.
 */
extern int main_lock (const struct remap_config *config, int *fd);

#endif /* REMAP_MAIN_LOCK_H */
