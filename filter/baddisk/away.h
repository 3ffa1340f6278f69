/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Whether the disk is there: it is gone while a file exists, and it vanishes
 * for a while each time that certain sectors are read.
 */

#ifndef BADDISK_AWAY_H
#define BADDISK_AWAY_H

#include "list.h"
#include "operation.h"

struct away {
  const char *gone;             /* the file, not owned; NULL: none */
  uint64_t time;                /* that it is away at least, nanoseconds */
  uint32_t requests;            /* that fail at least while it is away */

  pthread_mutex_t lock;         /* guards what follows; for lookups only */
  struct list_file list;        /* sectors that make it vanish */
  uint64_t vanished;            /* how often it has */
  uint64_t until;               /* it is away, CLOCK_MONOTONIC nanoseconds */
  uint32_t left;                /* requests that have to fail before */
};

enum presence {
  HERE,
  GONE,
  VANISHES,                     /* because of this operation */
};

/* GONE and LIST are paths (absolute, not owned) or NULL; BLOCK is that of a
 * badblocks list.  -1: error, reported.
 */
extern int away_start (struct away *away, const char *gone, const char *list,
                       uint32_t block, uint64_t time, uint32_t requests);

/* Where the disk is when an operation begins; COUNT is 0 for a flush.  Sets
 * *VANISHED to how often it has vanished, with this time.  Follows changes
 * of the list file.  Any thread, without locks.
 */
extern enum presence away_look (struct away *away, enum op op,
                                uint64_t offset, uint32_t count,
                                uint64_t *vanished);

/* Whether it has vanished since away_look set VANISHED.  Any thread. */
extern bool away_since (struct away *away, uint64_t vanished);

/* Does nothing to a struct of zeroes. */
extern void away_free (struct away *away);

#endif /* BADDISK_AWAY_H */
