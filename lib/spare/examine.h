/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A closer look at a spare, for tools that open it while no server does.
 * A spare with one damaged header, or with half a commit at the end of its
 * log, can be used like any other; what is wrong with it can be seen here.
 * Nothing is written.
 */

#ifndef REMAP_SPARE_EXAMINE_H
#define REMAP_SPARE_EXAMINE_H

#include "spare/spare.h"

struct spare_header_report {
  uint64_t offset;     /* bytes, where it is */
  const char *what;    /* "complete", "wrong checksum", ..., or an error */
  bool complete;
  uint64_t sequence;   /* if it is complete */
};

struct spare_report {
  struct spare_header_report header[2];
  int used;            /* which one counts; -1: none */
  bool same;           /* both are complete and say the same */
};

/* SIZE bytes of the device are the spare's to use.  Returns 0 or an errno,
 * as spare_load does of headers; the report is filled in either case.
 */
extern int spare_examine_headers (const struct device *dev, uint64_t size,
                                  struct spare_report *report,
                                  struct message *message);

/* Does a commit that isn't complete follow the log's end?  That is what a
 * crash leaves behind.  The spare must be loaded, and not in use.  False as
 * well where the pages can't be read, or there is no memory.
 */
extern bool spare_has_incomplete_commit (struct spare *spare);

/* Number of the last commit, and of the pages that hold it and all before. */
extern void spare_log_end (struct spare *spare, uint64_t *number,
                           uint64_t *pages);

#endif /* REMAP_SPARE_EXAMINE_H */
