/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The formats of lists of bad areas, which bad-list.h reads.
 */

#ifndef REMAP_LIST_FORMAT_H
#define REMAP_LIST_FORMAT_H

enum list_format {
  LIST_ANY,          /* the text shows which it is, or it is refused */
  LIST_MAPFILE,      /* GNU ddrescue's, of all versions; bytes */
  LIST_BADBLOCKS,    /* badblocks(8): one block number a line */
  LIST_RANGES,       /* sysfs: start and count of sectors of 512 bytes */
  LIST_SUPERCLONE,   /* HDDSuperClone's and OpenSuperClone's own log */
  LIST_MDADM,        /* mdadm --examine-badblocks; sectors of 512 bytes */
  LIST_KERNEL,       /* Linux's messages; sectors of 512 bytes */
  LIST_SMARTCTL,     /* smartctl's logs; logical sectors of the disk */
  LIST_FORMATS
};

#endif /* REMAP_LIST_FORMAT_H */
