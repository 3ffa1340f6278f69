/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Compares the server's answers with the model: the promises of
 * remap-promises(7) about content (1), errors (4, 6, 7, 11), main lost (12)
 * and flushes (14).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model.h"

/* Failed flushes that each connection was told of since main was lost the
 * last time.
 */
static struct {
  uint64_t events;
  unsigned times;
} told[MAX_CONNS];

void
judge_new_server (void)
{
  memset (told, 0, sizeof told);
}

struct wanted {
  const uint8_t *data;                  /* NULL: zeroes */
  uint32_t from, to;
};

static bool
matches (const uint8_t *data, void *opaque)
{
  const struct wanted *w = opaque;

  if (w->data)
    return memcmp (data + w->from, w->data, w->to - w->from) == 0;
  for (uint32_t i = w->from; i < w->to; i++)
    if (data[i])
      return false;
  return true;
}

static bool
matches_byte (const uint8_t *data, void *opaque)
{
  const struct wanted *w = opaque;

  return data[w->from] == *w->data;
}

/* A read beside a write may meet it halfway in main's page cache. */
static bool
is_torn (const struct sector *s, const struct op *op, struct wanted w)
{
  if (s->mapped || (s->writers == 0 && s->changed < op->begin))
    return false;
  for (; w.from < w.to; w.from++, w.data++)
    if (!state_any (s, op->begin, matches_byte, &w))
      return false;
  totals.torn++;
  return true;
}

static void
describe_content (const uint8_t *data, uint32_t from, uint32_t to, char *text,
                  size_t size)
{
  struct wanted zeroes = { .from = from, .to = to };
  uint32_t at = (from + 7) & ~7U;
  uint64_t word;

  if (matches (data, &zeroes))
    snprintf (text, size, "zeroes");
  else if (at + 8 <= to) {
    memcpy (&word, data + at, 8);
    snprintf (text, size, "write %" PRIu64 " at sector %" PRIu64,
              word >> 32, (word & UINT32_MAX) * 8 / SECTOR);
  }
  else
    snprintf (text, size, "bytes that begin with 0x%02x", data[from]);
}

static void __attribute__ ((noreturn))
wrong_content (const struct op *op, uint64_t index, const uint8_t *got,
               uint32_t from, uint32_t to)
{
  const struct sector *s = &sectors[index];
  char what[128], content[64], candidates[512] = "";
  uint8_t whole[SECTOR] = { 0 };
  uint32_t equal = 0;
  size_t len = 0;

  op_describe (op, what, sizeof what);
  memcpy (whole + from, got, to - from);
  while (from + equal < to && s->v[0].blob->data[from + equal] == got[equal])
    equal++;
  describe_content (whole, from, to, content, sizeof content);
  for (unsigned i = 0; i < s->n && len < 400; i++) {
    char c[64];

    describe_content (s->v[i].blob->data, from, to, c, sizeof c);
    len += snprintf (candidates + len, sizeof candidates - len, "%s%s",
                     i ? ", " : "", c);
  }
  violation ("%s: sector %" PRIu64 " (bytes %" PRIu32 "-%" PRIu32 "): got "
             "%s; allowed: %s (%u candidates, %u past ones; %" PRIu32 " bytes "
             "are as in the first; bad since %" PRIu64 ", changed %" PRIu64
             ", begin %" PRIu64 ", now %" PRIu64 ", unsure %d, tried %d, "
             "mapped %d)", what, index, from, to, content, candidates, s->n,
             s->nr_past, equal, s->bad_since, s->changed, op->begin, now,
             s->unsure, s->tried, s->mapped);
}

static void
range_of (const struct op *op, uint64_t index, uint32_t *from, uint32_t *to)
{
  uint64_t start = index * SECTOR, end = start + sector_length (index);

  *from = op->offset > start ? op->offset - start : 0;
  *to = op->offset + op->count < end ? op->offset + op->count - start
    : end - start;
}

static bool
is_settled (const struct sector *s, const struct op *op)
{
  return s->writers == 0 && s->changed < op->begin;
}

/* Nobody can know its content, and that was so during all of OP. */
static bool
is_unreadable (const struct sector *s, const struct op *op)
{
  return s->unsure && !s->tried && s->unsure_since < op->begin &&
    s->changed < op->begin;
}

static void
judge_read_sector (const struct op *op, uint64_t index, const uint8_t *got)
{
  struct sector *s = &sectors[index];
  struct wanted w = { .data = got }, zeroes;
  char what[128];

  range_of (op, index, &w.from, &w.to);
  zeroes = w;
  zeroes.data = NULL;
  if (variant.lost_zero && s->unsure) {
    uint8_t whole[SECTOR] = { 0 };

    memcpy (whole + w.from, got, w.to - w.from);
    if (matches (whole, &zeroes)) {
      totals.lost_sectors++;
      return;
    }
  }
  if (is_unreadable (s, op)) {
    op_describe (op, what, sizeof what);
    violation ("%s: sector %" PRIu64 " was answered, but nobody can know it: "
               "bad since %" PRIu64 ", unsure since %" PRIu64 ", not written "
               "since (mapped %d)", what, index, s->bad_since,
               s->unsure_since, s->mapped);
  }
  if (!state_any (s, op->begin, matches, &w)) {
    if (is_torn (s, op, w))
      return;
    wrong_content (op, index, got, w.from, w.to);
  }
  s->met |= s->bad_since && s->bad_since < op->begin;
  if (is_settled (s, op)) {
    state_narrow (s, w.from, w.to, got);
    /* Where bad sectors may become readable, a read may have overtaken one
     * that made the sector LOST.
     */
    if (s->unsure && s->unsure_since < op->begin && !mode->lenient) {
      s->unsure = false;
      s->cleared = now;
      if (block_bad_since (index))
        s->mapped = true;
      else
        s->maybe_mapped = true;
    }
  }
}

static void
judge_read (const struct op *op)
{
  uint64_t last = (op->offset + op->count - 1) / SECTOR;
  const uint8_t *got = op->buf;
  uint32_t from, to;

  for (uint64_t s = op->offset / SECTOR; s <= last; s++) {
    range_of (op, s, &from, &to);
    judge_read_sector (op, s, got);
    got += to - from;
  }
}

bool
may_fail_read (uint64_t s)
{
  return sectors[s].unsure;
}

static bool
was_unsure (const struct sector *s, const struct op *op)
{
  return s->unsure || s->cleared > op->begin;
}

/* The sectors that OP's error can be about, from FIRST to LAST; how many. */
static uint64_t
count_unsure (const struct op *op, uint64_t first, uint64_t last,
              uint64_t *which)
{
  uint64_t n = 0;

  for (uint64_t s = first; s <= last; s++)
    if (was_unsure (&sectors[s], op)) {
      n++;
      *which = s;
    }
  return n;
}

/* A read failed that only S can have made fail: S is LOST now, or bad for
 * ever.
 */
static void
learn_lost (const struct op *op, uint64_t index)
{
  struct sector *s = &sectors[index];
  uint64_t first, end;

  if (mode->lenient || mode->recovers || !is_settled (s, op) || !s->unsure ||
      s->unsure_since >= op->begin || op->list_changes != list_changes)
    return;
  s->tried = false;
  if (variant.auto_off || mode->may_fill)
    return;
  /* Its block went with it, if the blocks were always as large. */
  block_of (index, &first, &end);
  if (mode->block == 0) {
    first = index;
    end = index + 1;
  }
  for (; first < end; first++)
    if (sectors[first].unsure && is_settled (&sectors[first], op) &&
        !sectors[first].mapped) {
      sectors[first].mapped = true;
      sectors[first].lost_since = now;
    }
}

/* Main is lost, or was during the operation, according to the server's
 * log; its lines may come a little later than the answers, or a minute on a
 * very busy machine.
 */
static bool
main_was_lost (const struct op *op)
{
  for (unsigned tries = 0; tries < 30000; tries++) {
    server_scan_log ();
    if (op->was_lost || main_lost_now ||
        main_lost_events != op->main_lost || op->begin <= gone_until)
      return true;
    nanosleep (&(struct timespec) { .tv_nsec = 2000000 }, NULL);
  }
  return false;
}

/* While main is lost, what the map alone answers goes on. */
static bool
needs_main (const struct op *op)
{
  uint64_t first, end, unused;

  if (op->kind == FLUSH || op->fua)
    return true;
  first = op->offset / SECTOR;
  end = (op->offset + op->count - 1) / SECTOR + 1;
  if (op->kind != READ) {
    block_of (first, &first, &unused);
    block_of (end - 1, &unused, &end);
  }
  for (uint64_t s = first; s < end; s++)
    if (!sectors[s].mapped || sectors[s].unsure)
      return true;
  return false;
}

/* A failed flush is reported to every connection once; a main that was
 * lost counts as one, or as two if a write ended meanwhile.
 */
static bool
flush_may_fail (const struct op *op)
{
  if (op->kind != FLUSH && !op->fua)
    return false;
  server_scan_log ();
  if (op->was_lost || main_lost_now || op->begin <= gone_until)
    return true;
  if (told[op->conn].events != main_lost_events) {
    told[op->conn].events = main_lost_events;
    told[op->conn].times = 0;
  }
  return main_lost_events > 0 && ++told[op->conn].times <= 2;
}

/* With automatic remapping off, errors of main are passed on; and blocks
 * where a timed-out write may still land aren't written.
 */
static bool
bad_may_fail (const struct op *op)
{
  uint64_t first, end, unused;

  block_of (op->offset / SECTOR, &first, &unused);
  block_of ((op->offset + op->count - 1) / SECTOR, &unused, &end);
  for (; first < end; first++)
    if (sectors[first].bad_since ||
        (mode->timed_out && sectors[first].maybe_mapped))
      return true;
  return false;
}

static void
judge_read_error (const struct op *op)
{
  uint64_t first = op->offset / SECTOR;
  uint64_t last = (op->offset + op->count - 1) / SECTOR;
  uint64_t n, which = 0, unused;

  if (op->kind == CACHE) {
    /* Whole main blocks are prefetched. */
    block_of (first, &first, &unused);
    block_of (last, &unused, &last);
    last--;
  }
  n = count_unsure (op, first, last, &which);
  if (n == 1 && op->kind == READ && !main_lost_now &&
      op->begin > gone_until && op->main_lost == main_lost_events)
    learn_lost (op, which);
  if (n > 0 && !variant.lost_zero)
    return;
  /* Weak ones. */
  if (variant.auto_off && mode->fails_read && bad_may_fail (op))
    return;
  if (needs_main (op) && main_was_lost (op))
    return;
  violation ("a read or cache of %" PRIu32 " bytes at %" PRIu64 " (operation "
             "%" PRIu64 ") failed, but no sector of it can be LOST",
             op->count, op->offset, op->id);
}

/* A part of a sector that may be LOST is written: so nothing is. */
static bool
edge_may_fail (const struct op *op)
{
  uint64_t first = op->offset / SECTOR;
  uint64_t last = (op->offset + op->count - 1) / SECTOR;
  uint32_t from, to;

  range_of (op, first, &from, &to);
  if (to - from < sector_length (first) && was_unsure (&sectors[first], op))
    return true;
  range_of (op, last, &from, &to);
  return to - from < sector_length (last) && was_unsure (&sectors[last], op);
}

static enum outcome
judge_write_error (const struct op *op)
{
  if (edge_may_fail (op)) {
    /* Lenient: the edge may have been read well just when somebody else's
     * read made it LOST.
     */
    if (variant.auto_off || mode->lenient ||
        op->list_changes != list_changes ||
        op->was_lost || op->begin <= gone_until ||
        (op->fua && main_lost_events))
      return MAYBE_DONE;
    server_scan_log ();
    return main_lost_events == op->main_lost ? NOT_DONE : MAYBE_DONE;
  }
  if (variant.auto_off && bad_may_fail (op))
    return MAYBE_DONE;
  if (flush_may_fail (op))
    return MAYBE_DONE;
  if (needs_main (op) && main_was_lost (op))
    return MAYBE_DONE;
  violation ("a %s of %" PRIu32 " bytes at %" PRIu64 " (operation %" PRIu64
             "%s) failed, and no sector that it covers in part can be LOST",
             kind_names[op->kind], op->count, op->offset, op->id,
             op->fua ? ", FUA" : "");
}

/* A part of a LOST sector was written. */
static void
judge_edges (const struct op *op)
{
  uint64_t at[2] = {
    op->offset / SECTOR, (op->offset + op->count - 1) / SECTOR
  };
  uint32_t from, to;

  for (int i = 0; i < 2; i++) {
    range_of (op, at[i], &from, &to);
    /* This operation's own begin is what changed it last. */
    if (to - from < sector_length (at[i]) && sectors[at[i]].unsure &&
        !sectors[at[i]].tried && sectors[at[i]].unsure_since < op->begin &&
        sectors[at[i]].changed <= op->begin)
      violation ("a %s of %" PRIu32 " bytes at %" PRIu64 " (operation %"
                 PRIu64 ") was acknowledged, but sector %" PRIu64 ", of which "
                 "it covers a part, can't be known (bad since %" PRIu64
                 ", unsure since %" PRIu64 ", begin %" PRIu64 ", changed %"
                 PRIu64 ", now %" PRIu64 ", mapped %d)",
                 kind_names[op->kind], op->count, op->offset, op->id, at[i],
                 block_bad_since (at[i]), sectors[at[i]].unsure_since,
                 op->begin, sectors[at[i]].changed, now,
                 sectors[at[i]].mapped);
  }
}

static void
judge_extents (const struct op *op)
{
  for (size_t i = 0; i < op->nr_extents; i++) {
    const struct extent *e = &op->extents[i];
    struct op part = *op;

    if (!e->reads_zero)
      continue;
    part.offset = e->offset;
    part.count = e->count;
    for (uint64_t s = e->offset / SECTOR;
         s <= (e->offset + e->count - 1) / SECTOR; s++) {
      struct wanted w = { 0 };

      range_of (&part, s, &w.from, &w.to);
      if (is_unreadable (&sectors[s], op) && sectors[s].mapped &&
          sectors[s].lost_since < op->begin)
        violation ("block status (operation %" PRIu64 ") says that sector %"
                   PRIu64 " reads as zeroes, but it is LOST", op->id, s);
      if (!state_any (&sectors[s], op->begin, matches, &w))
        violation ("block status (operation %" PRIu64 ") says that sector %"
                   PRIu64 " reads as zeroes, but it doesn't", op->id, s);
    }
  }
}

static void
check_errno (const struct op *op, int err)
{
  char what[128];

  if (err == EIO || (err == ENOSPC && mode->may_fill &&
                     (op->kind == WRITE || op->kind == ZERO)))
    return;
  /* While main was gone, and until that it is back was noticed. */
  if (err == ESHUTDOWN && mode->gone &&
      (op->begin <= gone_until || op->was_lost || main_lost_now))
    return;
  op_describe (op, what, sizeof what);
  violation ("%s: failed with %s", what, strerror (err));
}

static enum outcome
judge_error (const struct op *op, int err)
{
  char what[128];

  check_errno (op, err);
  totals.errors++;
  if (err == ENOSPC) {
    totals.no_space++;
    return MAYBE_DONE;
  }
  switch (op->kind) {
  case READ:
  case CACHE:
    judge_read_error (op);
    return DONE;
  case WRITE:
  case ZERO:
    return judge_write_error (op);
  case TRIM:
  case FLUSH:
  case EXTENTS:
    if (flush_may_fail (op) || main_was_lost (op))
      return MAYBE_DONE;
  }
  op_describe (op, what, sizeof what);
  violation ("%s: failed with %s", what, strerror (err));
}

void
judge (struct op *op, int err)
{
  enum outcome outcome = DONE;

  now++;
  if (op->is_check)
    totals.checks++;
  else
    totals.ops++;
  if (err)
    outcome = judge_error (op, err);
  else if (op->kind == READ)
    judge_read (op);
  else if (op->kind == WRITE || op->kind == ZERO)
    judge_edges (op);
  else if (op->kind == EXTENTS)
    judge_extents (op);
  state_end (op, outcome);
}
