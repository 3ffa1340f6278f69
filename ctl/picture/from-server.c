/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/cells.h"
#include "ask.h"
#include "client.h"
#include "exit-status.h"
#include "picture/from-server.h"
#include "reply.h"
#include "text.h"

/* Number I of a cell's list; false if it isn't there. */
static bool
number_at (const json_t *list, size_t i, uint64_t *n)
{
  const json_t *j = json_array_get (list, i);

  *n = json_integer_value (j);
  return json_is_integer (j) && json_integer_value (j) >= 0;
}

/* Adds a cell, which must be *NEXT or a later one. */
static bool
add_cell (struct picture *p, const json_t *list, uint64_t *next)
{
  static const enum sector_state states[] = {
    REMAPPED, LOST, ZERO, KEPT, WRITTEN
  };
  uint64_t cell, n[NR_SECTOR_STATES] = { 0 }, room;
  size_t nr;

  if (!number_at (list, 0, &cell) || cell < *next || cell >= p->ncells)
    return false;
  /* The last two may be left out. */
  nr = json_array_size (list) > 4 ? 5 : 3;
  for (size_t i = 0; i < nr; i++)
    if (!number_at (list, 1 + i, &n[states[i]]))
      return false;
  *next = cell + 1;
  room = cell_start (p->sectors, p->ncells, cell + 1) -
    cell_start (p->sectors, p->ncells, cell);
  for (unsigned state = REMAPPED; state < NR_SECTOR_STATES; state++) {
    if (n[state] > room)
      return false;
    room -= n[state];
    p->totals[state] += n[state];
    p->totals[DIRECT] -= n[state];
    if (n[state] > 0)
      picture_add (p, cell, state);
  }
  return true;
}

static bool
parse_reply (struct picture *p, const json_t *reply, uint64_t ncells)
{
  struct reader r = { .root = reply };
  const uint64_t size = get_uint (&r, "size"), n = get_uint (&r, "cells");
  const json_t *counts = get_array (&r, "counts");
  uint64_t next = 0;
  bool ok = true;

  if (r.bad)
    return false;
  if (size == 0 || n != min_u64 (ncells, bytes_to_sectors (size))) {
    error ("the server's reply can't be understood: %" PRIu64 " cells of %"
           PRIu64 " bytes", n, size);
    return false;
  }
  *p = picture_new (size, ncells);
  for (size_t i = 0; ok && i < json_array_size (counts); i++)
    ok = add_cell (p, json_array_get (counts, i), &next);
  if (!ok) {
    error ("the server's reply can't be understood: its cells are wrong");
    picture_free (p);
  }
  return ok;
}

bool
picture_from_server (struct picture *p, struct ctl *ctl, uint64_t ncells,
                     int *status)
{
  json_t *reply;
  char line[32];
  bool ok;

  client_guess (ctl);
  snprintf (line, sizeof line, "map %" PRIu64, ncells);
  reply = ask_server (ctl, line, status);
  if (reply == NULL)
    return false;
  ok = parse_reply (p, reply, ncells);
  if (!ok)
    *status = STATUS_NO_SERVER;
  json_decref (reply);
  return ok;
}
