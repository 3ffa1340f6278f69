/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What happened lately as a table for people: a row for each kind of event, a
 * column for each window of time.
 */

#ifndef REMAPCTL_STATUS_RATES_H
#define REMAPCTL_STATUS_RATES_H

#include "status/parse.h"

#define NR_RATE_ROWS 7

struct rate_text {
  char s[64];
};

extern const char *rate_row_name (int row);
extern struct rate_text rate_cell (const struct status_rate *r, int row);

#endif /* REMAPCTL_STATUS_RATES_H */
