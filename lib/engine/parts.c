/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "base/bytes.h"
#include "engine/parts.h"
#include "engine/settle.h"
#include "engine/states.h"
#include "engine/touched.h"
#include "map/pending.h"

/* Runs of the log that one change takes: itself, and what it cuts off. */
#define RUNS 2

/* Adds the sectors of a run.  False: there is no room for all of them; then
 * *END is where it ends.
 */
static bool
add (struct parts *p, const struct run *run, uint64_t *end)
{
  sector_t at = run->start, next;

  for (; at < run_end_sector (run); at = next) {
    next = min_u64 (pending_page_end (at), run_end_sector (run));
    if (p->n == MAX_PARTS) {
      *end = at << SECTOR_SHIFT;
      return false;
    }
    p->v[p->n].start = at;
    p->v[p->n].count = next - at;
    p->v[p->n++].kept = run->state == KEPT;
  }
  return true;
}

void
parts_cut (struct parts *p, sector_t end)
{
  while (p->n > 0 && p->v[p->n - 1].start >= end)
    p->n--;
  if (p->n > 0)
    p->v[p->n - 1].count = min_u64 (p->v[p->n - 1].count,
                                    end - p->v[p->n - 1].start);
}

int
parts_prepare (struct engine *e, const struct parts *p)
{
  struct pending *pending = rescue_of (e)->pending;
  unsigned i;
  int err = 0;

  /* It couldn't be recorded (promise 16). */
  if (p->n > 0 && spare_failed (e->spare))
    return EIO;
  for (i = 0; i < p->n && err == 0; i++)
    if (p->v[i].kept)
      err = touched_mark (e, p->v[i].start, p->v[i].count);
  if (err == 0)
    err = settle_reserve (e, RUNS * p->n);
  if (err)
    return err;
  for (i = 0; i < p->n && err == 0; i++)
    err = pending_pin (pending, p->v[i].start, p->v[i].count);
  if (err == 0)
    return 0;
  while (--i > 0)
    pending_unpin (pending, p->v[i - 1].start, p->v[i - 1].count);
  spare_unreserve (e->spare, RUNS * p->n);
  return err;
}

/* DIRECT: nothing has become of them. */
void
parts_finish (struct engine *e, const struct parts *p, enum sector_state state)
{
  struct pending *pending = rescue_of (e)->pending;

  for (unsigned i = 0; i < p->n; i++) {
    if (state == DIRECT ||
        !pending_set (pending, p->v[i].start, p->v[i].count, state, RUNS))
      spare_unreserve (e->spare, RUNS);
    pending_unpin (pending, p->v[i].start, p->v[i].count);
  }
}

/* The copy has refused to write.  What it holds now of what was KEPT may be the
 * old or the new: that isn't what main holds.
 */
void
parts_refused (struct engine *e, const struct parts *p)
{
  struct parts kept = { 0 }, others = { 0 };

  for (unsigned i = 0; i < p->n; i++)
    if (p->v[i].kept)
      kept.v[kept.n++] = p->v[i];
    else
      others.v[others.n++] = p->v[i];
  parts_finish (e, &kept, WRITTEN);
  parts_finish (e, &others, DIRECT);
}

uint64_t
parts_look (struct engine *e, uint64_t start, uint64_t end, struct parts *p)
{
  uint64_t pos, next;
  struct run run;

  p->n = 0;
  for (pos = start; pos < end; pos = next) {
    run = state_lookup (e, sector_of (pos), sectors_in (pos, end));
    next = min_u64 (run_end_byte (&run), end);
    if (run.state == REMAPPED)
      return pos;
    if (run.state != WRITTEN && !add (p, &run, &next))
      return next;
  }
  return pos;
}

void
parts_one (struct parts *p, const struct run *run)
{
  p->n = 1;
  p->v[0].start = run->start;
  p->v[0].count = run->count;
  p->v[0].kept = false;
}
