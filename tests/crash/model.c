/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The model: which contents a sector may have.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "run.h"

struct model *
model_new (struct world *w)
{
  const size_t bytes = (size_t) w->nsectors * SECTOR_SIZE;
  struct model *m = calloc (1, sizeof *m);

  if (m == NULL || (m->memory = calloc (MAX_OPS + 1, bytes)) == NULL)
    bug ("out of memory");
  m->w = w;
  m->initial = m->memory;
  for (unsigned i = 0; i < MAX_OPS; i++)
    m->record[i].data = m->memory + (i + 1) * bytes;
  model_reset (m, NULL);
  return m;
}

void
model_free (struct model *m)
{
  free (m->memory);
  free (m);
}

void
model_reset (struct model *m, const uint8_t *content)
{
  struct world *w = m->w;

  m->n = 0;
  m->step = 1;
  memset (m->lost_ok, 0, sizeof m->lost_ok);
  w->active_step = 0;
  if (content) {
    memcpy (m->initial, content, (size_t) w->nsectors * SECTOR_SIZE);
    return;
  }
  for (unsigned s = 0; s < w->nsectors; s++) {
    pattern (m->initial + SEC (s), s, 0);
    if (sector_letter (w, s) == 'Z')
      memset (m->initial + SEC (s), 0, SECTOR_SIZE);
  }
}

static bool
acked (const struct record *r, uint64_t clock)
{
  return r->end_step != NEVER && r->err == 0 && r->end_clock <= clock;
}

/* Has the sector changed its state after step STEP, and was that seen
 * before the crash?  Then what it held before was durable then.
 */
static bool
moved_after (const struct world *w, unsigned s, uint64_t step,
             uint64_t clock)
{
  for (unsigned i = 1; i < w->nsnapshots; i++)
    if (w->snapshot[i].clock <= clock && w->snapshot[i].step > step &&
        w->snapshot[i].state[s] != w->snapshot[i-1].state[s])
      return true;
  return false;
}

/* Has a flush that begins after STEP told of a failure, before the step
 * BEFORE?  Then what was written before is in nobody's hands.
 */
static bool
told_after (const struct model *m, uint64_t step, uint64_t before)
{
  const struct record *r;

  for (r = m->record; r < m->record + m->n; r++)
    if ((r->op.kind == 'f' || r->op.fua) && r->err != 0 &&
        r->end_step > step && r->end_step < before)
      return true;
  return false;
}

/* Did main lose what wasn't flushed (see flush_loses of struct memdev) while
 * or after R wrote, and has the server ended before the step BEFORE without
 * a flush in between?  The next one can't know of that.
 */
static bool
lost_under_another (const struct model *m, const struct record *r,
                    uint64_t before)
{
  const struct memdev *main = m->w->main;
  const struct record *end;

  for (end = r + 1; end < m->record + m->n; end++)
    if (strchr ("kx", end->op.kind) && end->end_step < before)
      for (size_t i = 0; i < main->nevents; i++)
        if (main->event[i].count == 0 && !main->event[i].flush &&
            main->event[i].time >= r->begin_clock &&
            main->event[i].time < end->begin_clock)
          return true;
  return false;
}

/* Has a flush covered what R wrote? */
static bool
flushed_after (const struct model *m, const struct record *r, uint64_t clock)
{
  const struct record *f;

  for (f = m->record; f < m->record + m->n; f++)
    if (f->op.kind == 'f' && f->begin_step > r->end_step &&
        acked (f, clock) && !told_after (m, r->end_step, f->begin_step) &&
        !lost_under_another (m, r, f->begin_step))
      return true;
  return false;
}

static bool
durable (const struct model *m, const struct record *r, unsigned s,
         uint64_t clock)
{
  if (!acked (r, clock))
    return false;
  return (r->effect[s] & DURABLE) || flushed_after (m, r, clock) ||
    moved_after (m->w, s, r->end_step, clock);
}

/* Has what was there at step STEP been replaced for good, or, of those that
 * were under way later, what the record OLD wrote (-1: none)?
 */
static bool
superseded (const struct model *m, unsigned s, uint64_t step, int old,
            uint64_t clock, bool crash)
{
  const struct record *r;

  for (unsigned i = 0; i < m->n; i++) {
    r = &m->record[i];
    if ((r->effect[s] & WRITES) && !(r->effect[s] & SOFT) &&
        (r->begin_step > step || (old >= 0 && (r->beats[s] >> old & 1))) &&
        (crash ? durable (m, r, s, clock) : acked (r, clock)))
      return true;
  }
  return false;
}

uint32_t
model_allowed (const struct model *m, unsigned s, uint64_t clock, bool crash)
{
  uint32_t allowed = !superseded (m, s, 0, -1, clock, crash);
  const struct record *r;

  for (unsigned i = 0; i < m->n; i++) {
    r = &m->record[i];
    if ((r->effect[s] & WRITES) && r->begin_clock <= clock &&
        !superseded (m, s, r->end_step, i, clock, crash))
      allowed |= UINT32_C (2) << i;
  }
  return allowed;
}

const uint8_t *
model_content (const struct model *m, unsigned v, unsigned s)
{
  const struct record *r;

  if (v == 0)
    return m->initial + SEC (s);
  r = &m->record[v-1];
  return r->data + SEC (s - r->op.start);
}

bool
model_matches (const struct model *m, unsigned s, uint32_t allowed,
               const uint8_t *data)
{
  const uint32_t len = sector_len (m->w, s);

  for (unsigned v = 0; allowed; v++, allowed >>= 1)
    if ((allowed & 1) && memcmp (data, model_content (m, v, s), len) == 0)
      return true;
  return false;
}
