/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * How often each sector was read successfully; written to a file at the end.
 */

#ifndef BADDISK_READS_H
#define BADDISK_READS_H

#include <pthread.h>
#include <stdio.h>

#include "tries.h"

/* Sectors that are counted at most, in chunks of the table: a number takes 4
 * bytes, so that clients can't make it take more than some 270 MB.
 */
#define READS_MAX_CHUNKS (1U << 20)

struct reads {
  const char *path;             /* not owned; NULL: nothing is counted */
  FILE *fp;
  size_t max_chunks;            /* READS_MAX_CHUNKS, less in tests */
  pthread_mutex_t lock;         /* guards what follows; for counting only */
  struct tries numbers;
  bool incomplete;              /* some reads were not counted */
};

/* Empties the file PATH, which may be NULL.  -1: error, reported. */
extern int reads_start (struct reads *reads, const char *path);

/* Counts a read of a range that isn't empty.  Any thread. */
extern void reads_count (struct reads *reads, uint64_t offset,
                         uint32_t count);

/* Writes the file.  Nothing is to be counted any more.  Does nothing to a
 * struct of zeroes.
 */
extern void reads_end (struct reads *reads);

#endif /* BADDISK_READS_H */
