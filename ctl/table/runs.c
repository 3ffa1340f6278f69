/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "exit-status.h"
#include "table/runs.h"
#include "text.h"

void
table_add (struct table *t, const struct history_run *run)
{
  struct history_run *v;

  v = array_room (t->v, t->n, &t->cap, sizeof *v, 256);
  if (v == NULL) {
    error ("out of memory");
    exit (STATUS_REFUSED);
  }
  t->v = v;
  t->v[t->n++] = *run;
}

void
table_free (struct table *t)
{
  free (t->v);
  t->v = NULL;
  t->n = t->cap = 0;
}

bool
state_of (const char *name, enum sector_state *state)
{
  for (unsigned i = REMAPPED; i < NR_SECTOR_STATES; i++)
    if (i != MAP_NOTE && strcmp (sector_state_name (i), name) == 0) {
      *state = (enum sector_state) i;
      return true;
    }
  return false;
}
