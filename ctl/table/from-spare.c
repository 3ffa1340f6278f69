/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <string.h>

#include "spare/offline.h"
#include "exit-status.h"
#include "options.h"
#include "table/from-spare.h"
#include "text.h"

static void
add_runs (struct table *t, struct held_spare *h)
{
  struct spare_history *history = spare_history_new (h->spare, h->map);
  struct history_run run;
  sector_t at = t->start;

  if (history == NULL || spare_history_update (history) != 0)
    warning ("out of memory: reasons and times are not shown");
  while (history && at < t->end &&
         spare_history_next (history, at, t->end, &run)) {
    table_add (t, &run);
    at = run_end_sector (&run.run);
  }
  spare_history_free (history);
}

bool
table_from_spare (struct table *t, const char *path, uint64_t offset,
                  sector_t start, uint64_t count, int *status)
{
  struct held_spare h;
  bool ok;

  memset (t, 0, sizeof *t);
  *status = STATUS_REFUSED;
  if (!hold_spare (&h, path, offset, HOLD_TO_LIST))
    return false;
  t->main_size = h.id.main_size;
  t->start = start;
  ok = find_range_end (start, count, t->main_size, &t->end);
  if (ok) {
    add_runs (t, &h);
    *status = STATUS_DONE;
  }
  hold_close (&h);
  return ok;
}
