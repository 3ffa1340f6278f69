/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What can be seen of the disk behind a path: its identity, and whether
 * two things live on the same one (promises 20 and 22 of remap-promises(7)).
 * Read from sysfs; nothing is opened that is not a small text file there.
 */

#ifndef REMAP_BLOCKDEV_H
#define REMAP_BLOCKDEV_H

#include <sys/types.h>

#include "base/sector.h"

/* Where the kernel shows devices; tests put something else here. */
extern const char *disk_sysfs;

/* The identity of the block device DEV: WWN or serial number of the disk,
 * and the number of the partition if it is one ("...-part2").  False (and
 * an empty LABEL) where the kernel shows none.  LABEL has SIZE bytes.
 */
extern bool disk_label (dev_t dev, char *label, size_t size);

/* How many block devices have this label; the first one is in DEV.  None
 * has an empty one.
 */
extern unsigned disk_find (const char *label, dev_t *dev);

/* The name that the kernel gave the device, in /dev.  False if it shows
 * none, or PATH (SIZE bytes) is too short for it.
 */
extern bool disk_node (dev_t dev, char *path, size_t size);

/* Is a device that somebody still has open not there any more, or has the
 * kernel given it up?
 */
extern bool disk_is_gone (dev_t dev);

/* The file behind a loop device.  False if it is none, or PATH (SIZE bytes) is
 * too short.
 */
extern bool disk_backing_file (dev_t dev, char *path, size_t size);

/* A number that the kernel shows of the whole disk ("queue/rotational").
 * False if it doesn't.
 */
extern bool disk_number (dev_t dev, const char *name, uint64_t *value);

/* The partitions of the whole disk DISK, as the kernel shows them, up to MAX.
 * Returns how many there are in V.
 */
struct disk_partition {
  char name[32];           /* in /dev */
  uint64_t start, size;    /* bytes */
};
extern unsigned disk_partitions (dev_t disk, struct disk_partition *v,
                                 unsigned max);

/* Are these two block devices parts of one disk, as far as can be seen?
 * Partitions, device-mapper and md devices, and loop devices are followed
 * to what they lie on.
 */
extern bool disk_is_same (dev_t a, dev_t b);

#endif /* REMAP_BLOCKDEV_H */
