/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The numbers are those of statfs(2); not all of them are in a header.
 */

#include <config.h>

#include <stdint.h>
#include <sys/vfs.h>
#include <linux/magic.h>

#include "host/filesystem.h"

static uint32_t
kind_of (int fd)
{
  struct statfs fs;

  return fstatfs (fd, &fs) == 0 ? (uint32_t) fs.f_type : 0;
}

bool
filesystem_is_local (int fd)
{
  switch (kind_of (fd)) {
  case EXT4_SUPER_MAGIC:                /* ext2 and ext3 have the same */
  case BTRFS_SUPER_MAGIC:
  case F2FS_SUPER_MAGIC:
  case MSDOS_SUPER_MAGIC:
  case REISERFS_SUPER_MAGIC:
  case 0x58465342:                      /* XFS */
  case 0x3153464a:                      /* JFS */
  case 0x2fc12fc1:                      /* ZFS */
  case 0xca451a4e:                      /* bcachefs */
  case 0x2011bab0:                      /* exFAT */
  case 0x7366746e:                      /* NTFS, the kernel's */
    return true;
  default:
    return filesystem_is_memory (fd);
  }
}

bool
filesystem_is_memory (int fd)
{
  const uint32_t kind = kind_of (fd);

  return kind == TMPFS_MAGIC || kind == RAMFS_MAGIC;
}
