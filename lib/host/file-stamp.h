/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A stamp that a file carries in an extended attribute, user.nbdkit-remap: a
 * copy of the file by most programs doesn't have it, and a backup has an older
 * one (promise 32 of remap-promises(7)).
 */

#ifndef REMAP_HOST_FILE_STAMP_H
#define REMAP_HOST_FILE_STAMP_H

#include <stdint.h>

#define FILE_STAMP 16           /* bytes */

/* 0; ENODATA: it has none, or one that isn't ours; or another errno, ENOTSUP
 * where the filesystem has no such thing.
 */
extern int file_stamp_get (int fd, uint8_t stamp[FILE_STAMP]);

/* Durable when it returns 0. */
extern int file_stamp_set (int fd, const uint8_t stamp[FILE_STAMP]);

/* Removes it, if it is there: the file is nobody's copy any more. */
extern int file_stamp_remove (int fd);

#endif /* REMAP_HOST_FILE_STAMP_H */
