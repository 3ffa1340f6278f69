/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a command that changes sectors would do, before it does it.
 */

#ifndef REMAPCTL_FORECAST_H
#define REMAPCTL_FORECAST_H

#include "options.h"

struct forecast {
  const char *word;        /* "forget-lost", "remap" or "unmap" */
  uint64_t start, count;   /* sectors; count is at least 1 */
  bool dry_run;            /* say it, and do nothing */
  bool yes;                /* don't ask */
};

/* Is the command to be done?  It is asked only on a terminal, and only about
 * what can't be undone, or is more than one usually wants: content that is
 * given up, more sectors than the spare has room for or than 1 % of the disk,
 * the whole disk given back.  Where nobody could answer, it is done as it was
 * said.  If not, *STATUS is the exit status, and all has been said.
 */
extern bool forecast_agreed (struct ctl *ctl, const struct forecast *f,
                             int *status);

#endif /* REMAPCTL_FORECAST_H */
