/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The log file and the totals.
 */

#ifndef BADDISK_LOG_H
#define BADDISK_LOG_H

#include <stdatomic.h>

#include "clock.h"
#include "operation.h"

struct op_log {
  const char *path;             /* not owned; NULL: no file */
  struct drive_clock *clock;    /* whose time lines have; NULL: none */
  bool slow;                    /* there are slow areas */
  int fd;                       /* -1: no file, or not started yet */
  atomic_bool broken;           /* that has been reported */
  atomic_uint_least64_t totals[NR_OPS], failed[NR_OPS];
};

/* PATH and CLOCK may be NULL; SLOW says whether the totals have the clock's
 * slow areas.  -1: error, reported.
 */
extern int log_start (struct op_log *log, const char *path,
                      struct drive_clock *clock, bool slow);

/* Counts an operation that ended with ERROR (0: well), and writes a line
 * for it if it failed or the verdict says that it touched a bad sector.
 * Any thread.
 */
extern void log_operation (struct op_log *log, enum op op, uint64_t offset,
                           uint32_t count, int error,
                           const struct verdict *verdict);

/* Writes the totals and closes the file, if there is one.  Nothing is to be
 * logged any more.
 */
extern void log_end (struct op_log *log);

#endif /* BADDISK_LOG_H */
