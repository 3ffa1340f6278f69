/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine/errors.h"
#include "engine/samples.h"
#include "run.h"

/* Bytes that a write of kind p leaves alone at both ends. */
#define MARGIN 100

static const uint8_t zeroes[SECTOR_SIZE];

static bool
in_range (const struct op *op, unsigned s)
{
  return s - op->start < op->count;
}

/* Which version of the sector the next write makes. */
static unsigned
next_version (const struct model *m, const struct record *self, unsigned s)
{
  unsigned v = 1;

  for (const struct record *r = m->record; r < self; r++)
    v += (r->op.kind == 'w' || r->op.kind == 'p') && in_range (&r->op, s);
  return v;
}

/* What sector S holds if the operation succeeds; sets its effect. */
static void
prepare_sector (struct model *m, struct record *r, unsigned s)
{
  struct world *w = m->w;
  const enum sector_state state = STATE_OF (r->before[s]);
  uint8_t *data = r->data + SEC (s - r->op.start);
  uint8_t fresh[SECTOR_SIZE];
  const uint8_t *now;
  unsigned a, b;

  switch (r->op.kind) {
  case 'w':
    pattern (data, s, next_version (m, r, s));
    r->effect[s] = WRITES;
    break;
  case 'p':
    now = world_peek (w, s);
    memcpy (data, now ? now : zeroes, SECTOR_SIZE);
    a = s == r->op.start ? MARGIN : 0;
    b = s == r->op.start + r->op.count - 1 ? SECTOR_SIZE - MARGIN
      : SECTOR_SIZE;
    pattern (fresh, s, next_version (m, r, s));
    memcpy (data + a, fresh + a, b - a);
    r->effect[s] = WRITES;
    break;
  case 'z':
    memset (data, 0, SECTOR_SIZE);
    r->effect[s] = WRITES;
    break;
  case 't':
    memset (data, 0, SECTOR_SIZE);
    if (state == DIRECT)
      r->effect[s] = WRITES | SOFT;
    break;
  case 'l':
    memset (data, 0, SECTOR_SIZE);
    if (state == LOST)
      r->effect[s] = WRITES;
    break;
  case 'y':
    memcpy (data, w->main->data + SEC (s), sector_len (w, s));
    if (state == LOST)
      r->effect[s] = WRITES;
    break;
  }
  /* Blocks that are moved with what they held before, and then written. */
  if (block_mixed (w, s) || (r->op.kind == 'p' && block_weak (w, s)))
    r->effect[s] |= UNSURE;
}

/* Operations that are under way. */
static void
note_active (struct model *m)
{
  uint64_t first = NEVER;

  for (unsigned i = 0; i < m->n; i++)
    if (m->record[i].end_step == NEVER && m->record[i].begin_step < first)
      first = m->record[i].begin_step;
  if (first != NEVER)
    m->w->active_step = first;
}

/* Was another operation under way that may have changed this block's state
 * meanwhile?
 */
static bool
overlapped (const struct model *m, const struct record *self, unsigned s)
{
  const unsigned n = m->w->setup->block / SECTOR_SIZE;
  const struct record *r;

  for (r = m->record; r < m->record + m->n; r++)
    if (r != self && r->end_step > self->begin_step &&
        r->op.start < s / n * n + n &&
        r->op.start + r->op.count > s / n * n)
      return true;
  return false;
}

struct record *
op_begin (struct model *m, const struct op *op)
{
  const unsigned n = m->w->setup->block / SECTOR_SIZE;
  struct record *r = &m->record[m->n];
  uint8_t *data = r->data;
  struct op whole = *op;

  if (m->n == MAX_OPS)
    bug ("too many operations");
  /* Operators' commands move whole blocks. */
  if (strchr ("ly", op->kind)) {
    whole.start = op->start / n * n;
    whole.count = (op->start + op->count + n - 1) / n * n - whole.start;
    if (whole.start + whole.count > m->w->nsectors)
      whole.count = m->w->nsectors - whole.start;
  }
  memset (r->effect, 0, m->w->nsectors);
  memset (r->beats, 0, sizeof r->beats);
  r->op = whole;
  r->data = data;
  r->err = -1;
  r->end_step = r->end_clock = NEVER;
  r->begin_step = m->step++;
  r->begin_clock = m->w->clock;
  for (unsigned s = 0; s < m->w->nsectors; s++)
    r->before[s] = sector_state_of (m->w, s);
  for (unsigned s = whole.start; s < whole.start + whole.count; s++)
    r->allowed[s] = model_allowed (m, s, NEVER, false);
  for (unsigned s = whole.start; s < whole.start + whole.count; s++)
    prepare_sector (m, r, s);
  m->n++;
  note_active (m);
  return r;
}

static uint64_t
end_of (const struct world *w, const struct op *op)
{
  return min_u64 (SEC (op->start + op->count), w->config.main_size);
}

static int
restart (struct world *w, bool clean)
{
  world_close (w, clean);
  return world_open (w, false);
}

static int
grow (struct world *w, bool much)
{
  struct spare_status st;
  uint64_t size;

  spare_get_status (w->spare, &st);
  size = much ? 2 * SPARE_MIN_SIZE : st.size + 40960;
  if (size <= st.size || size > w->mem->size)
    return 0;
  return spare_grow (w->spare, size, &w->message);
}

/* Each sector as a range of its own, the last one first. */
static int
import_singly (struct engine_conn *conn, const struct op *op)
{
  struct sector_range range[MAX_SECTORS];
  struct engine_result res;

  for (unsigned i = 0; i < op->count; i++)
    range[i] = (struct sector_range) { op->start + op->count - 1 - i, 1 };
  return engine_remap_ranges (conn, range, op->count, WHY_IMPORT, NULL, &res);
}

/* A client reads the first blocks, which are good. */
static void
an_hour_passes (struct world *w, struct engine_conn *conn, uint8_t *buf)
{
  w->now_ms += SAMPLE_INTERVAL_MS;
  engine_tick_spare (w->e);
  for (unsigned i = 0; i < 2; i++)
    engine_pread (conn, buf, SAMPLE_SIZE, i * SAMPLE_SIZE);
  engine_tick_spare (w->e);
  spare_renew (w->spare);
}

int
op_do (struct world *w, struct engine_conn *conn, const struct record *r,
       uint8_t *buf)
{
  const struct op *op = &r->op;
  const uint64_t start = SEC (op->start), end = end_of (w, op);
  struct engine_result res;
  uint64_t margin;

  switch (op->kind) {
  case 'r':
    return engine_pread (conn, buf, end - start, start);
  case 'w':
    return engine_pwrite (conn, r->data, end - start, start, op->fua);
  case 'p':
    margin = end == w->config.main_size ? 0 : MARGIN;
    return engine_pwrite (conn, r->data + MARGIN,
                          end - start - MARGIN - margin, start + MARGIN,
                          op->fua);
  case 'z':
    return engine_zero (conn, end - start, start, 0, op->fua);
  case 't':
    return engine_trim (conn, end - start, start, op->fua);
  case 'f':
    return engine_flush (conn);
  case 'm':
  case 'i':
    return engine_remap (conn, op->start, op->count,
                         op->kind == 'm' ? WHY_MANUAL : WHY_IMPORT, NULL,
                         &res);
  case 'I':
    return import_singly (conn, op);
  case 'u':
    return engine_unmap (conn, op->start, op->count, NULL, &res);
  case 'y':
    return engine_retry (conn, op->start, op->count, NULL, &res);
  case 'l':
    return engine_forget_lost (w->e, op->start, op->count, NULL, &res);
  case 's':
    an_hour_passes (w, conn, buf);
    return 0;
  case 'c':
    return spare_checkpoint (w->spare);
  case 'g':
  case 'G':
    return grow (w, op->kind == 'G');
  case 'k':
  case 'x':
    return restart (w, op->kind == 'x');
  default:
    bug ("no such operation: %c", op->kind);
  }
}

/* If the sector now holds what R wrote, then R came after all those that
 * have ended by now, and not before.
 */
static void
note_order (struct model *m, struct record *r, unsigned s)
{
  const uint8_t *now = world_peek (m->w, s);

  if (now == NULL || !(r->effect[s] & WRITES) ||
      memcmp (now, r->data + SEC (s - r->op.start), sector_len (m->w, s)))
    return;
  for (unsigned i = 0; i < m->n; i++)
    if (&m->record[i] != r && m->record[i].end_step != NEVER &&
        (m->record[i].effect[s] & WRITES))
      r->beats[s] |= 1U << i;
}

/* A write of a sector came after the retry and the forget-lost that were under
 * way meanwhile: these change only what is LOST, and nobody writes a sector and
 * has it LOST after that.
 */
static void
note_lost_order (struct model *m, struct record *r, unsigned s)
{
  const struct record *old;

  if (strchr ("wpz", r->op.kind) == NULL)
    return;
  for (unsigned i = 0; i < m->n; i++) {
    old = &m->record[i];
    if (strchr ("yl", old->op.kind) && old->end_step > r->begin_step &&
        (old->effect[s] & WRITES))
      r->beats[s] |= 1U << i;
  }
}

void
op_end (struct model *m, struct record *r, int err)
{
  const struct op *op = &r->op;

  r->err = err;
  r->end_step = m->step++;
  r->end_clock = m->w->clock;
  note_active (m);
  if (err)
    return;
  for (unsigned s = op->start; s < op->start + op->count; s++)
    if ((r->effect[s] & WRITES) &&
        (op->fua || (r->effect[s] & FAILED) ||
         (!(r->effect[s] & UNSURE) && !overlapped (m, r, s) &&
          sector_state_of (m->w, s) != r->before[s])))
      r->effect[s] |= DURABLE;
  for (unsigned s = op->start; s < op->start + op->count; s++) {
    note_order (m, r, s);
    note_lost_order (m, r, s);
  }
}

static bool
error_ok (struct model *m, const struct record *r, bool lost)
{
  struct world *w = m->w;
  const bool can_be_full = w->setup->free_slots > 0;

  if (r->err == 0)
    return true;
  if (m->faults)
    return r->err == error_for_nbd (r->err);
  if (r->err == EIO && (r->op.kind == 'r' || r->op.kind == 'p'))
    return lost;
  /* Parts of a block that can't be read. */
  if (r->err == EIO && (r->op.kind == 'z' || r->op.kind == 'w'))
    return false;
  return r->err == ENOSPC && can_be_full &&
    strchr ("wpzmiIyc", r->op.kind) != NULL;
}

const char *
check_result (struct model *m, const struct record *r, const uint8_t *buf)
{
  static char text[128];
  struct world *w = m->w;
  const struct op *op = &r->op;
  bool lost = false;
  enum sector_state state;
  uint32_t allowed;

  for (unsigned s = op->start; s < op->start + op->count; s++) {
    state = STATE_OF (sector_state_of (w, s));
    lost |= state == LOST || STATE_OF (r->before[s]) == LOST;
    /* What was right when it began, or came since. */
    allowed = r->allowed[s];
    for (unsigned i = 0; i < m->n; i++)
      if ((m->record[i].effect[s] & WRITES) &&
          m->record[i].begin_step > r->begin_step)
        allowed |= UINT32_C (2) << i;
    if (op->kind == 'r' && r->err == 0 &&
        !model_matches (m, s, allowed, buf + SEC (s - op->start))) {
      snprintf (text, sizeof text, "sector %u: a read returned something "
                "else than was written", s);
      return text;
    }
    if (strchr ("wpz", op->kind) && r->err == 0 &&
        (state == LOST || (state == DIRECT && !sector_writable (w, s)))) {
      snprintf (text, sizeof text, "sector %u: written, but %s", s,
                state == LOST ? "LOST" : "left on a bad main");
      return text;
    }
  }
  if (!error_ok (m, r, lost)) {
    snprintf (text, sizeof text, "%s: %s", op_text (op), strerror (r->err));
    return text;
  }
  return NULL;
}

/* What each sector holds, as seen past the engine, and how it got there. */
const char *
check_all (struct model *m)
{
  static char text[128];
  struct world *w = m->w;
  const uint8_t *data;

  for (unsigned s = 0; s < w->nsectors; s++) {
    data = world_peek (w, s);
    if (data ? !model_matches (m, s, model_allowed (m, s, NEVER, false), data)
        : w->nsnapshots > 0 && STATE_OF (w->snapshot[0].state[s]) != LOST &&
        !block_unreadable (w, s) && !(m->faults && block_weak (w, s)) &&
        !m->lost_ok[s]) {
      snprintf (text, sizeof text, "sector %u: %s", s, data
                ? "holds something else than was written" : "LOST for nothing");
      return text;
    }
  }
  return NULL;
}

/* Nothing is locked, and no slot is used but by the map. */
const char *
check_idle (struct world *w)
{
  struct exclusive_hold hold;
  struct spare_status st;
  struct map_totals t;

  if (range_lock_exclusive (w->e->ranges, &hold, 0, NEVER) != NEVER)
    return "a range is still locked";
  range_unlock_exclusive (w->e->ranges, &hold);
  spare_get_status (w->spare, &st);
  map_get_totals (w->map, &t);
  if (!st.failed && st.slots_used != t.remapped)
    return "a slot is in use that no sector has";
  return NULL;
}

const char *
run_op (struct model *m, const struct op *op)
{
  uint8_t buf[MAX_SECTORS * SECTOR_SIZE];
  struct world *w = m->w;
  struct record *r = op_begin (m, op);
  const char *wrong;
  int err;

  if (w->failing)
    w->failing (true);
  err = op_do (w, &w->conn, r, buf);
  if (w->failing)
    w->failing (false);
  if (w->map == NULL)
    return w->message.text[0] ? w->message.text : "it doesn't start again";
  world_look (w);
  op_end (m, r, err);
  wrong = check_result (m, r, buf);
  return wrong ? wrong : check_all (m);
}

const char *
op_text (const struct op *op)
{
  static char text[32];
  int n;

  n = snprintf (text, sizeof text, "%c", op->kind);
  if (op->count > 0)
    n += snprintf (text + n, sizeof text - n, "%u", op->start);
  if (op->count > 1)
    n += snprintf (text + n, sizeof text - n, "+%u", op->count);
  if (op->fua)
    snprintf (text + n, sizeof text - n, "f");
  return text;
}

const char *
op_parse (const char *text, struct op *op)
{
  char *end;

  *op = (struct op) { .kind = text[0] };
  if (text[0] == '\0' || strchr ("wprztfmiIuylscgGkx", text[0]) == NULL)
    return NULL;
  text++;
  if (strchr ("fscgGkx", op->kind))
    return text;
  op->start = strtoul (text, &end, 10);
  if (end == text)
    return NULL;
  op->count = 1;
  text = end;
  if (*text == '+') {
    op->count = strtoul (text + 1, &end, 10);
    text = end;
  }
  if (*text == 'f') {
    op->fua = true;
    text++;
  }
  return text;
}
