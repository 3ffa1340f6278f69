/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Areas that can be read and written, but take their time.
 */

#ifndef BADDISK_SLOW_H
#define BADDISK_SLOW_H

#include "list.h"
#include "operation.h"

struct slow_areas {
  uint64_t time;                /* nanoseconds */
  pthread_mutex_t lock;         /* guards list.areas; for lookups only */
  struct list_file list;
};

/* Reads the list PATH (absolute, not owned; NULL: there is none), whose
 * blocks, if it is a badblocks list, have BLOCK bytes.  -1: error, reported.
 */
extern int slow_start (struct slow_areas *slow, const char *path,
                       uint32_t block, uint64_t time);

/* How much longer an operation takes that is not a flush, in nanoseconds.
 * Follows changes of the list file.  Any thread, without locks.
 */
extern uint64_t slow_time (struct slow_areas *slow, enum op op,
                           uint64_t offset, uint32_t count);

/* Does nothing to a struct of zeroes. */
extern void slow_free (struct slow_areas *slow);

#endif /* BADDISK_SLOW_H */
