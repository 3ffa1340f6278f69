/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/complete.h"
#include "engine/log.h"
#include "engine/marks.h"
#include "engine/record.h"
#include "engine/settle.h"
#include "engine/states.h"
#include "engine/stats.h"
#include "engine/suspects.h"
#include "map/pending.h"

static_assert ((int) CHANGE_DIRECT == (int) DIRECT &&
               (int) CHANGE_REMAP == (int) REMAPPED &&
               (int) CHANGE_LOST == (int) LOST &&
               (int) CHANGE_ZERO == (int) ZERO &&
               (int) CHANGE_KEPT == (int) KEPT &&
               (int) CHANGE_WRITTEN == (int) WRITTEN,
               "a change is numbered as the state that it leads to");

void
record_init (struct record *rec, struct engine *e, struct request *r)
{
  memset (rec, 0, sizeof *rec);
  rec->e = e;
  rec->r = r;
}

/* Why what main refused from START on isn't DIRECT any more.  *DONE: how far
 * that is known to be so, at most END; a condemned block may lie beside others.
 */
static enum change_reason
reason_of (const struct engine *e, uint64_t start, uint64_t end,
           enum change_reason why, uint64_t *done)
{
  *done = end;
  return (why == WHY_AUTO_READ || why == WHY_AUTO_WRITE) &&
    suspects_any (e) && suspects_look (e, start, end, done) == CONDEMNED
    ? WHY_VANISH : why;
}

static int
add (struct record *rec, const struct change *c)
{
  if (rec->err == 0)
    rec->err = change_list_add (&rec->list, c);
  return rec->err;
}

static int
retire (struct record *rec, slot_t slot)
{
  const struct change c = { .kind = CHANGE_RETIRE, .slot = slot, .count = 1 };

  return add (rec, &c);
}

static int
store_new (struct record *rec, const uint8_t *buf, uint64_t start,
           uint32_t count, enum change_reason why)
{
  struct engine *e = rec->e;

  rec->err = spare_store (e->spare, &rec->list, sector_of (start), buf, count,
                          why);
  if (rec->err) {
    stat_add (e, STAT_SPARE_ERRORS, 1);
    if (rec->err == ENOSPC) {
      atomic_store (&e->spare_short, true);
      tell_full (e, "the spare is full: writes that need a new slot fail with "
                 "ENOSPC until it is enlarged, or its filesystem has room");
    }
  }
  return rec->err;
}

/* Stores sectors in new slots.  The short one at the end of main is padded
 * with zeroes.
 */
static int
store_in_new_slots (struct record *rec, const uint8_t *buf, uint64_t start,
                    uint64_t end, enum change_reason why)
{
  uint64_t whole = round_down (end - start, SECTOR_SIZE);
  uint8_t tail[SECTOR_SIZE] = { 0 };

  if (whole > 0)
    store_new (rec, buf, start, whole / SECTOR_SIZE, why);
  if (rec->err == 0 && start + whole < end) {
    memcpy (tail, buf + whole, end - start - whole);
    store_new (rec, tail, start + whole, 1, why);
  }
  return rec->err;
}

/* Stores sectors in the slots that they have.  A slot that can't be written,
 * or that couldn't be read, is retired, and its sector takes another.
 */
static int
store_in_own_slots (struct record *rec, const uint8_t *buf, uint64_t start,
                    uint64_t end, slot_t slot)
{
  struct engine *e = rec->e;
  uint32_t count = sectors_in (start, end);
  uint8_t tail[SECTOR_SIZE];
  uint64_t pos, n;
  int err;

  rec->r->wrote_slots = true;
  if (!marks_overlap (&e->unreadable, slot, count) &&
      end - start == (uint64_t) count * SECTOR_SIZE &&
      spare_write (e->spare, buf, slot, count) == 0)
    return 0;

  for (pos = start; pos < end; pos += n, buf += n, slot++) {
    const uint8_t *data = buf;

    n = min_u64 (SECTOR_SIZE, end - pos);
    if (n < SECTOR_SIZE) {
      memset (tail, 0, sizeof tail);
      memcpy (tail, buf, n);
      data = tail;
    }
    if (!marks_overlap (&e->unreadable, slot, 1)) {
      err = spare_write (e->spare, data, slot, 1);
      if (err == 0)
        continue;
      stat_add (e, STAT_SPARE_ERRORS, 1);
      if (err == ENOSPC || spare_failed (e->spare))
        return rec->err = err;
    }
    if (retire (rec, slot) != 0 ||
        store_in_new_slots (rec, buf, pos, pos + n, WHY_CLIENT) != 0)
      return rec->err;
  }
  return 0;
}

static void
count_moved (struct record *rec, uint64_t count, enum change_reason why)
{
  rec->moved += count;
  rec->counters[why == WHY_MANUAL || why == WHY_IMPORT ? COUNT_MANUAL_REMAPS
                : COUNT_AUTO_REMAPS] += count;
  if (why == WHY_WEAK)
    rec->counters[COUNT_WEAK] += count;
}

int
store_sectors (struct record *rec, const uint8_t *buf, uint64_t start,
               uint64_t end, enum change_reason why)
{
  enum change_reason reason;
  struct run run;
  uint64_t next;

  for (; start < end && rec->err == 0; buf += next - start, start = next) {
    run = map_lookup (rec->e->map, sector_of (start), sectors_in (start, end));
    next = min_u64 (run_end_byte (&run), min_u64 (end, start + PIECE_SIZE));
    if (run.state == REMAPPED)
      store_in_own_slots (rec, buf, start, next, run.slot);
    else {
      /* What wasn't DIRECT is there because of this request alone. */
      reason = WHY_CLIENT;
      if (run.state == DIRECT || why == WHY_MANUAL)
        reason = reason_of (rec->e, start, next, why, &next);
      store_in_new_slots (rec, buf, start, next, reason);
      if (run.state == DIRECT)
        count_moved (rec, sectors_in (start, next), why);
      else if (why != WHY_MANUAL)
        rec->overwritten += sectors_in (start, next);
    }
  }
  return rec->err;
}

int
record_state (struct record *rec, const struct run *run,
              enum sector_state state, enum change_reason why)
{
  const uint64_t end = run_end_byte (run);
  struct change c = { .kind = (enum change_kind) state, .slot = NO_SLOT };
  uint64_t done;

  if (state == LOST)
    rec->counters[COUNT_LOST] += run->count;
  if (state == DIRECT)
    atomic_fetch_add (&rec->e->given_back, 1);
  for (uint64_t pos = run->start << SECTOR_SHIFT; pos < end && rec->err == 0;
       pos = done) {
    c.reason = reason_of (rec->e, pos, end, why, &done);
    c.sector = sector_of (pos);
    c.count = sectors_in (pos, done);
    add (rec, &c);
  }
  return rec->err;
}

/* Slots that lose their sectors are used again, but not bad ones. */
static int
retire_unreadable (struct record *rec, const struct run *run)
{
  const struct marks *unreadable = &rec->e->unreadable;

  if (run->state != REMAPPED ||
      !marks_overlap (unreadable, run->slot, run->count))
    return rec->err;
  for (uint64_t i = 0; i < run->count && rec->err == 0; i++)
    if (marks_overlap (unreadable, run->slot + i, 1))
      retire (rec, run->slot + i);
  return rec->err;
}

/* Does the spare say it, too, and nothing else is pending? */
static bool
is_recorded (const struct engine *e, const struct run *run)
{
  const struct rescue *rescue = rescue_of (e);

  return rescue == NULL ||
    state_is_recorded (e, rescue, run->start, run->count);
}

int
record_zero (struct record *rec, uint64_t start, uint64_t end,
             enum change_reason why)
{
  uint64_t pos, next;
  struct run run;

  for (pos = start; pos < end && rec->err == 0; pos = next) {
    run = state_lookup (rec->e, sector_of (pos), sectors_in (pos, end));
    next = min_u64 (run_end_byte (&run), end);
    if (run.state == ZERO && is_recorded (rec->e, &run))
      continue;
    record_state (rec, &run, ZERO, run.state == DIRECT ? why : WHY_CLIENT);
    retire_unreadable (rec, &run);
  }
  return rec->err;
}

/* Records that failed may take effect all the same when the spare is
 * opened again.  What main got for their sectors in the meantime would be
 * undone then: so it gets nothing.
 */
static void
keep_off_main (struct engine *e, const struct change_list *list)
{
  for (size_t i = 0; i < list->n; i++) {
    const struct change *c = &list->v[i];

    if (change_has_sector (c->kind))
      late_add (e, c->sector << SECTOR_SHIFT,
                (c->sector + c->count) << SECTOR_SHIFT);
  }
}

/* Is anything of it not in the copy (promise 30)? */
static bool
makes_incomplete (const struct change_list *list)
{
  for (size_t i = 0; i < list->n; i++)
    if (list->v[i].kind == CHANGE_REMAP || list->v[i].kind == CHANGE_ZERO)
      return true;
  return false;
}

/* Beside a copy (promise 27).  What was pending for the sectors is over: the
 * change is newer.  If that leaves two runs of what was one, more has to be
 * reserved for them.
 */
static int
commit_beside_pending (struct record *rec)
{
  struct engine *e = rec->e;
  struct pending *pending = rescue_of (e)->pending;
  struct change_list *list = &rec->list;
  uint64_t used = 0;
  int err;

  err = settle_reserve (e, 2 * list->n);
  if (err)
    return err;
  settle_record_begins (e);
  err = makes_incomplete (list) ? complete_withdraw (e) : 0;
  if (err == 0)
    err = spare_commit (e->spare, list, rec->counters);
  for (size_t i = 0; err == 0 && i < list->n; i++) {
    const struct change *c = &list->v[i];

    if (change_has_sector (c->kind) &&
        pending_clear (pending, c->sector, c->count, DIRECT, 2))
      used += 2;
  }
  settle_record_ended (e);
  spare_unreserve (e->spare, 2 * list->n - used);
  return err;
}

static int
commit (struct record *rec)
{
  struct engine *e = rec->e;
  struct change_list *list = &rec->list;
  int err;

  if (rescue_of (e))
    err = commit_beside_pending (rec);
  else
    err = spare_commit (e->spare, list, rec->counters);
  if (err == ENOSPC || err == 0)
    atomic_store (&e->spare_short, err == ENOSPC);
  if (err) {
    stat_add (e, STAT_SPARE_ERRORS, 1);
    if (err == ENOSPC)
      tell_full (e, "spare: no room to record a change: enlarge the spare, or "
                 "free space where it is");
    if (list->in_doubt)
      keep_off_main (e, list);
    return err;
  }
  for (size_t i = 0; i < list->n; i++) {
    const struct change *c = &list->v[i];

    /* Nothing refers to what was retired now; and main isn't asked any more
     * for what isn't DIRECT.
     */
    if (c->kind == CHANGE_RETIRE)
      marks_remove (&e->unreadable, c->slot, c->count);
    else if (change_has_sector (c->kind) && c->kind != CHANGE_DIRECT)
      suspects_clear (e, c->sector << SECTOR_SHIFT,
                      (c->sector + c->count) << SECTOR_SHIFT);
  }
  stat_add (e, STAT_OVERWRITTEN, rec->overwritten);
  tell_changes (e, list, rec->r == NULL, rec->counters[COUNT_RECOVERED] > 0);
  return 0;
}

int
record_commit (struct record *rec)
{
  if (rec->err)
    spare_abandon (rec->e->spare, &rec->list);
  else if (rec->list.n > 0)
    rec->err = commit (rec);
  change_list_free (&rec->list);
  return rec->err;
}

int
move_sectors (struct request *r, const uint8_t *buf, uint64_t start,
              uint64_t end, enum change_reason why)
{
  struct record rec;
  int err;

  record_init (&rec, r->e, r);
  store_sectors (&rec, buf, start, end, why);
  err = record_commit (&rec);
  if (err == 0)
    log_moved (r->e, start, end, rec.moved);
  return err;
}

int
move_direct (struct request *r, uint64_t start, uint64_t end,
             const void *data, enum change_reason why)
{
  struct engine *e = r->e;
  const uint8_t *buf = data;
  struct record rec;
  struct run run;
  uint64_t pos, n;
  int err;

  record_init (&rec, e, r);
  for (pos = start; pos < end && rec.err == 0; pos += n) {
    run = state_lookup (e, sector_of (pos), sectors_in (pos, end));
    n = min_u64 (run.count << SECTOR_SHIFT, end - pos);
    if (run.state != DIRECT)
      continue;
    if (data)
      store_sectors (&rec, buf + (pos - start), pos, pos + n, why);
    else
      record_state (&rec, &run, LOST, why);
  }
  err = record_commit (&rec);
  if (err)
    return err;
  if (data)
    engine_log (e, "block at 0x%" PRIx64 ": %" PRIu64
                " sectors remapped (%s)", start, rec.moved,
                why == WHY_WEAK ? "weak" :
                why == WHY_AUTO_READ ? "read" : "by command");
  return 0;
}

int
zero_sectors (struct request *r, uint64_t start, uint64_t end,
              enum change_reason why)
{
  struct record rec;

  record_init (&rec, r->e, r);
  record_zero (&rec, start, end, why);
  return record_commit (&rec);
}
