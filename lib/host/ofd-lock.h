/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * An advisory lock on an open file (F_OFD_SETLK of fcntl(2); promise 22 of
 * remap-promises(7)), which another program of this project sees where
 * flock(2) isn't passed on, and the other way round.  It is on one byte, 1000,
 * which need not be there: QEMU locks bytes from 100 and from 200 on, and so
 * isn't disturbed, nor disturbs.
 *
 * The lock ends when FD and all its duplicates are closed.
 */

#ifndef REMAP_OFD_LOCK_H
#define REMAP_OFD_LOCK_H

#include <stdbool.h>

/* Takes the lock: alone, for which FD must be open for writing, or together
 * with others that share it.  Returns 0, also where the filesystem has no such
 * locks; EBUSY: somebody has it.
 */
extern int ofd_lock (int fd, bool alone);

#endif /* REMAP_OFD_LOCK_H */
