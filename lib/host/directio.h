/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reading and writing all of a range of an open file or block device.
 *
 * FD is the caller's.  SECTOR is the size of its sectors in bytes, a power
 * of 2 up to 64 KiB, if FD was opened with O_DIRECT: then the kernel takes
 * nothing but whole sectors and aligned memory, and what isn't like that
 * goes through a buffer.  SECTOR is 0 for what goes through the page cache.
 * OFFSET and COUNT are bytes of the file, of any alignment.
 *
 * Everything returns 0 or an errno: EIO where the file ends too early,
 * ENOMEM, or what pread(2) and pwrite(2) returned.  Nothing here takes a
 * lock.  A write for which directio_is_aligned is false reads, modifies and
 * writes sectors: the caller keeps all other writes away meanwhile.
 */

#ifndef REMAP_DIRECTIO_H
#define REMAP_DIRECTIO_H

#include <stdbool.h>
#include <stdint.h>

/* Does the range consist of whole sectors? */
extern bool directio_is_aligned (uint32_t sector, uint64_t offset,
                                 uint32_t count);

extern int directio_read (int fd, uint32_t sector, uint8_t *buf,
                          uint32_t count, uint64_t offset);
extern int directio_write (int fd, uint32_t sector, const uint8_t *buf,
                           uint32_t count, uint64_t offset);

#endif /* REMAP_DIRECTIO_H */
