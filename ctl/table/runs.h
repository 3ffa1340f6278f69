/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A table: all runs of sectors that aren't DIRECT, in order, within a range.
 */

#ifndef REMAPCTL_TABLE_RUNS_H
#define REMAPCTL_TABLE_RUNS_H

#include <stddef.h>

#include "spare/history.h"

struct table {
  uint64_t main_size;                   /* bytes */
  sector_t start, end;                  /* the range that was asked for */
  struct history_run *v;                /* owned */
  size_t n, cap;
};

/* Adds a run, which comes after all that are there. */
extern void table_add (struct table *t, const struct history_run *run);

/* Frees the runs, not the struct. */
extern void table_free (struct table *t);

/* The state that has this name; false if none but DIRECT has it, or none. */
extern bool state_of (const char *name, enum sector_state *state);

#endif /* REMAPCTL_TABLE_RUNS_H */
