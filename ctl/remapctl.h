/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * remapctl: what its parts share.
 */

#ifndef REMAPCTL_H
#define REMAPCTL_H

#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "base/sector.h"
#include "client.h"
#include "exit-status.h"
#include "numbers.h"
#include "options.h"
#include "process.h"
#include "reply.h"
#include "rundir.h"
#include "servers.h"
#include "terminal.h"
#include "text.h"
#include "units.h"

/* ---- runs.c ---- */

/* A run of a table.  SINCE is 0 and WHY NULL where they aren't known. */
struct table_run {
  struct run run;
  uint64_t since;                       /* unix */
  const char *why;
};

/* A table: all runs that aren't DIRECT, in order, within START to END. */
struct table {
  uint64_t main_size;                   /* bytes */
  sector_t start, end;                  /* what was asked for */
  struct table_run *v;
  size_t n, cap;
};

extern const char *state_name (enum sector_state state);
extern bool state_of (const char *name, enum sector_state *state);

/* "lost,remapped": a set of bits (1 << state).  False after a message. */
extern bool parse_states (const char *s, unsigned *states);

extern void table_add (struct table *t, const struct table_run *run);
extern void table_free (struct table *t);

/* Asks the server for all pages.  COUNT 0: to the end. */
extern bool table_from_server (struct table *t, const struct ctl *ctl,
                               uint64_t start, uint64_t count, int *status);

/* The same from a spare (spare-open.c). */
extern bool table_from_spare (struct table *t, const char *path,
                              uint64_t offset, uint64_t start,
                              uint64_t count, int *status);

/* ---- table.c, table-formats.c ---- */

extern int command_table (struct ctl *, int, char **);
extern void table_print_text (const struct table *t, unsigned states);
extern void table_print_json (const struct table *t, unsigned states);
extern void table_print_csv (const struct table *t, unsigned states);
extern void table_print_mapfile (const struct table *t, unsigned states);
extern void table_print_badblocks (const struct table *t, unsigned states,
                                   uint32_t block);

/* ---- picture.c, picture-draw.c ---- */

/* The disk in equal parts; of each the worst state of its sectors. */
struct picture {
  uint64_t main_size;                   /* bytes */
  uint64_t sectors;
  uint64_t ncells;
  uint64_t totals[4];                   /* sectors, by state */
  uint8_t *cell;                        /* enum sector_state */
};

extern struct picture picture_of (const struct table *t, uint64_t ncells);
extern sector_t picture_cell_start (const struct picture *p, uint64_t cell);
extern void picture_free (struct picture *p);
extern bool picture_write (const struct picture *p, const char *title,
                           const char *path, bool svg);
extern int command_map (struct ctl *, int, char **);

/* ---- import.c ---- */

extern int command_import (struct ctl *, int, char **);

/* ---- spares that no server holds ---- */

extern int command_info (struct ctl *, int, char **);
extern int command_check (struct ctl *, int, char **);
extern int command_format (struct ctl *, int, char **);
extern int command_relabel (struct ctl *, int, char **);

/* Of grow: PATH at byte OFFSET to SIZE bytes. */
extern int spare_grow_offline (const char *path, uint64_t offset,
                               uint64_t size);

/* ---- create ---- */

extern int command_create (struct ctl *, int, char **);

#endif /* REMAPCTL_H */
