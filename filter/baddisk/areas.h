/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Which sectors are bad now: the list, the random areas, what reads and
 * writes have changed, and dead heads.
 */

#ifndef BADDISK_AREAS_H
#define BADDISK_AREAS_H

#include <pthread.h>

#include "list.h"
#include "operation.h"
#include "parameters.h"
#include "tries.h"

struct areas {
  const struct params *params;  /* not owned */
  pthread_mutex_t lock;         /* guards the rest; for lookups only */
  struct list_file list;
  struct random_set *random_sets;
  struct tries tries;
};

/* The disk as a connection sees it. */
struct disk {
  uint64_t size;                        /* bytes */
  const struct area_list *random;       /* not owned, never changed */
};

/* Reads the list.  PARAMS must stay as they are.  -1: error, reported. */
extern int areas_start (struct areas *areas, const struct params *params);

/* Does nothing to a struct of zeroes. */
extern void areas_free (struct areas *areas);

/* Sets DISK to a disk of SIZE bytes, valid until areas_free.  Any thread.
 * -1: error, reported.
 */
extern int areas_open_disk (struct areas *areas, uint64_t size,
                            struct disk *disk);

/* Judges an operation and, if it is a read that fails, counts it.  Follows
 * changes of the list file.  The range is not empty and lies within the
 * disk.  Any thread.  Returns 0, or ENOMEM: then nothing is to be freed.
 */
extern int areas_judge (struct areas *areas, const struct disk *disk,
                        enum op op, uint64_t offset, uint32_t count,
                        struct verdict *verdict);

/* Notes that a range was written: heals it, if writes do that.  Any thread. */
extern void areas_written (struct areas *areas, const struct disk *disk,
                           uint64_t offset, uint32_t count);

#endif /* BADDISK_AREAS_H */
