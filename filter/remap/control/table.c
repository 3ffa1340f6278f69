/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A table of a million runs has a thousand pages: so it is written as text at
 * once.  Objects of jansson's for each of its numbers would cost three times as
 * much.  Nothing in it has to be quoted: names of states and reasons are words.
 */

#include <config.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/table.h"

#define MAX_RUNS 1000           /* in one reply */

/* A run takes less, with six numbers of 20 digits: bytes. */
#define RUN_MAX 256

static int
write_run (char *to, const struct history_run *h, bool first)
{
  char slot[24] = "null";

  if (h->run.state == REMAPPED)
    snprintf (slot, sizeof slot, "%" PRIu64, h->run.slot);
  return snprintf (to, RUN_MAX, "%s{\"start\":%" PRIu64 ",\"count\":%" PRIu64
                   ",\"state\":\"%s\",\"slot\":%s,\"since\":%" PRIu64
                   ",\"why\":\"%s\"}", first ? "" : ",", h->run.start,
                   h->run.count, sector_state_name (h->run.state), slot,
                   h->since, change_reason_name (h->why));
}

char *
control_table (struct control_target *t, const struct control_request *rq,
               const atomic_bool *stop, size_t *len)
{
  const sector_t end = rq->start + rq->count;
  char *line = malloc ((MAX_RUNS + 1) * RUN_MAX), *to = line;
  sector_t pos = rq->start;
  struct history_run h;
  bool found = true;

  if (line == NULL)
    return NULL;
  /* If there is no memory for the history, the reasons are unknown; the
   * runs come from the map.
   */
  spare_history_update (t->history);
  to += sprintf (to, "{\"ok\":true,\"runs\":[");
  for (unsigned n = 0; n < MAX_RUNS; n++) {
    found = !atomic_load (stop) &&
      spare_history_next (t->history, pos, end, &h);
    if (!found)
      break;
    to += write_run (to, &h, n == 0);
    pos = run_end_sector (&h.run);
  }
  /* Is there more? */
  if (found)
    found = pos < end && spare_history_next (t->history, pos, end, &h);
  if (found)
    to += sprintf (to, "],\"next\":%" PRIu64 "}\n", h.run.start);
  else
    to += sprintf (to, "],\"next\":null}\n");
  *len = to - line;
  return line;
}
