/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include "host/blockdev.h"
#include "place.h"
#include "text.h"

/* Linux has no more on a disk of SCSI, and 128 is what a GPT has. */
#define MAX_PARTITIONS 256

static bool
is_listed (const struct list_about *about, const struct disk_partition *p)
{
  return strcmp (about->device, p->name) == 0 ||
    (about->extent > 0 && about->extent == p->size);
}

bool
place_is_disk (const char *path, const struct list_about *about,
               const char *label, uint64_t main_size)
{
  struct disk_partition v[MAX_PARTITIONS];
  const struct disk_partition *found = NULL;
  unsigned n, others = 0;
  uint64_t sectors;
  dev_t disk;

  /* The label is that of the whole disk: what is served may be a part. */
  if (about->extent == main_size || disk_find (label, &disk) != 1 ||
      !disk_number (disk, "size", &sectors) ||
      sectors != bytes_to_sectors (main_size))
    return true;
  n = disk_partitions (disk, v, MAX_PARTITIONS);
  for (unsigned i = 0; i < n; i++)
    if (is_listed (about, &v[i])) {
      others += found != NULL;
      if (found == NULL || v[i].start < found->start)
        found = &v[i];
    }
  if (found == NULL)
    return true;
  error ("%s: is it a list of the partition %s, which has %" PRIu64 " bytes "
         "and begins at byte %" PRIu64 " of the disk?  Then say --offset=%"
         PRIu64 "; say --offset=0 if it is one of the disk.%s  Nothing was "
         "changed.",
         path, found->name, found->size, found->start, found->start,
         others ? "  (The disk has several partitions of that size.)" : "");
  return false;
}
