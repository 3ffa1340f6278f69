/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map is walked run by run, each of them once, while it may change: so a
 * run counts from where the last one ended, and no sector counts twice.
 */

#include <config.h>

#include <stdlib.h>

#include "base/cells.h"
#include "control/cells.h"

/* Sectors by state; those that are DIRECT are the rest. */
struct counts {
  uint64_t n[NR_SECTOR_STATES];
};

struct cells {
  uint64_t sectors, n;
  struct counts *v;                     /* N of them */
  struct counts totals;
};

/* Counts a run from FROM on. */
static void
count_run (struct cells *c, const struct run *run, sector_t from)
{
  const sector_t end = min_u64 (run_end_sector (run), c->sectors);
  uint64_t cell;
  sector_t next;

  for (sector_t at = max_u64 (run->start, from); at < end; at = next) {
    cell = cell_of (c->sectors, c->n, at);
    next = min_u64 (end, cell_start (c->sectors, c->n, cell + 1));
    c->v[cell].n[run->state] += next - at;
    c->totals.n[run->state] += next - at;
  }
}

/* False: it was stopped. */
static bool
count_all (struct cells *c, const struct map *map, const atomic_bool *stop)
{
  struct run run;
  sector_t at = 0;

  while (at < c->sectors && map_next (map, at, &run)) {
    if (atomic_load (stop))
      return false;
    count_run (c, &run, at);
    at = max_u64 (at, run_end_sector (&run));
  }
  return true;
}

static void
put (json_t *o, const char *key, uint64_t n)
{
  json_object_set_new (o, key, json_integer (n));
}

/* In the order in which the reply has them; the last two only where there are
 * any.
 */
static const enum sector_state states[] = {
  REMAPPED, LOST, ZERO, KEPT, WRITTEN
};
#define NR_STATES (sizeof states / sizeof states[0])
#define NR_ALWAYS 3

static uint64_t
rescued (const struct counts *counts)
{
  return counts->n[KEPT] + counts->n[WRITTEN];
}

static bool
is_empty (const struct counts *counts)
{
  return rescued (counts) + counts->n[REMAPPED] + counts->n[LOST] +
    counts->n[ZERO] == 0;
}

static size_t
nr_listed (const struct counts *counts)
{
  return rescued (counts) > 0 ? NR_STATES : NR_ALWAYS;
}

static json_t *
cell_json (uint64_t cell, const struct counts *counts)
{
  json_t *o = json_array ();

  json_array_append_new (o, json_integer (cell));
  for (size_t i = 0; i < nr_listed (counts); i++)
    json_array_append_new (o, json_integer (counts->n[states[i]]));
  return o;
}

static json_t *
make_reply (const struct cells *c, uint64_t size)
{
  json_t *o = control_ok (), *list = json_array ();

  put (o, "size", size);
  put (o, "cells", c->n);
  for (size_t i = 0; i < nr_listed (&c->totals); i++)
    put (o, sector_state_name (states[i]), c->totals.n[states[i]]);
  for (uint64_t i = 0; i < c->n; i++)
    if (!is_empty (&c->v[i]))
      json_array_append_new (list, cell_json (i, &c->v[i]));
  json_object_set_new (o, "counts", list);
  return o;
}

json_t *
control_cells (const struct control_target *t, uint64_t wanted,
               const atomic_bool *stop)
{
  const uint64_t size = engine_main_size (t->engine);
  struct cells c = { .sectors = bytes_to_sectors (size) };
  json_t *reply;

  c.n = min_u64 (wanted, c.sectors);
  c.v = calloc (c.n, sizeof *c.v);
  if (c.v == NULL)
    return NULL;
  reply = count_all (&c, t->map, stop) ? make_reply (&c, size)
    : control_error ("stopped: the server is ending, or whoever asked has "
                     "gone");
  free (c.v);
  return reply;
}
