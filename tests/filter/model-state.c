/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What each sector may hold.
 *
 * A sector has a set of candidates.  When a write begins, every order in
 * which it and the other writes in flight can be done gives candidates;
 * each knows which of them it has in it.  When a write is acknowledged, the
 * candidates without it are dropped; when it is known not to have been done,
 * those with it; when nobody knows, none.  A crash is the last of these.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "model.h"

struct sector *sectors;
uint64_t nr_sectors;

#define MANY 512                        /* candidates */

static struct blob zero_blob = { .refs = 1 };

static struct blob *
blob_get (struct blob *b)
{
  b->refs++;
  return b;
}

static void
blob_put (struct blob *b)
{
  if (--b->refs == 0)
    free (b);
}

static struct blob *
blob_new (const uint8_t *data)
{
  struct blob *b = malloc (sizeof *b);

  if (b == NULL)
    trouble ("out of memory");
  b->refs = 1;
  memcpy (b->data, data, SECTOR);
  return b;
}

uint32_t
sector_length (uint64_t s)
{
  uint64_t left = mode->size - s * SECTOR;

  return left < SECTOR ? left : SECTOR;
}

void
state_init (const uint8_t *content)
{
  uint8_t data[SECTOR];

  nr_sectors = (mode->size + SECTOR - 1) / SECTOR;
  sectors = calloc (nr_sectors, sizeof *sectors);
  if (sectors == NULL)
    trouble ("out of memory");
  for (uint64_t i = 0; i < nr_sectors; i++) {
    struct sector *s = &sectors[i];

    s->max = 2;
    s->v = malloc (s->max * sizeof *s->v);
    if (s->v == NULL)
      trouble ("out of memory");
    s->n = 1;
    memset (data, 0, sizeof data);
    memcpy (data, content + i * SECTOR, sector_length (i));
    s->v[0].done = 0;
    s->v[0].blob = memcmp (data, zero_blob.data, SECTOR) == 0
      ? blob_get (&zero_blob) : blob_new (data);
  }
}

void
state_free (void)
{
  for (uint64_t i = 0; i < nr_sectors; i++) {
    struct sector *s = &sectors[i];

    for (unsigned j = 0; j < s->n; j++)
      blob_put (s->v[j].blob);
    for (unsigned j = 0; j < s->nr_past; j++)
      blob_put (s->past[j].blob);
    free (s->v);
    free (s->past);
  }
  free (sectors);
  sectors = NULL;
}

static bool
same (const struct blob *a, const struct blob *b)
{
  return a == b || memcmp (a->data, b->data, SECTOR) == 0;
}

/* Takes the reference to BLOB. */
static void
add (struct sector *s, struct blob *blob, uint32_t done)
{
  for (unsigned i = 0; i < s->n; i++)
    if (s->v[i].done == done && same (s->v[i].blob, blob)) {
      blob_put (blob);
      return;
    }
  if (s->n == s->max) {
    s->max *= 2;
    s->v = realloc (s->v, s->max * sizeof *s->v);
    if (s->v == NULL)
      trouble ("out of memory");
  }
  s->v[s->n].blob = blob;
  s->v[s->n++].done = done;
}

static uint64_t
oldest_in_flight (void)
{
  uint64_t oldest = now;

  for (unsigned i = 0; i < MAX_OPS; i++)
    if (ops[i].in_flight && ops[i].begin < oldest)
      oldest = ops[i].begin;
  return oldest;
}

/* A candidate that isn't one from now on; reads in flight may have seen
 * it.  Takes the reference.
 */
static void
retire (struct sector *s, struct blob *blob)
{
  unsigned n = 0;
  uint64_t oldest = oldest_in_flight ();

  for (unsigned i = 0; i < s->nr_past; i++)
    if (s->past[i].until < oldest)
      blob_put (s->past[i].blob);
    else
      s->past[n++] = s->past[i];
  s->nr_past = n;
  if (s->nr_past == s->max_past) {
    s->max_past = s->max_past ? s->max_past * 2 : 2;
    s->past = realloc (s->past, s->max_past * sizeof *s->past);
    if (s->past == NULL)
      trouble ("out of memory");
  }
  s->past[s->nr_past].blob = blob;
  s->past[s->nr_past++].until = now;
}

/* The bytes of sector S that OP covers. */
static void
overlap (const struct op *op, uint64_t s, uint32_t *from, uint32_t *to)
{
  uint64_t start = s * SECTOR, end = start + sector_length (s);

  *from = op->offset > start ? op->offset - start : 0;
  *to = op->offset + op->count < end ? op->offset + op->count - start
    : end - start;
}

static bool
covers (const struct op *op, uint64_t s)
{
  uint32_t from, to;

  overlap (op, s, &from, &to);
  return from == 0 && to == sector_length (s);
}

/* What BLOB becomes by OP. */
static struct blob *
apply (const struct op *op, uint64_t s, struct blob *blob)
{
  uint8_t data[SECTOR];
  uint32_t from, to;

  overlap (op, s, &from, &to);
  if (op->kind != WRITE && from == 0 && to == sector_length (s))
    return blob_get (&zero_blob);
  memcpy (data, blob->data, SECTOR);
  if (op->kind == WRITE)
    memcpy (data + from, op->buf + (s * SECTOR + from - op->offset),
            to - from);
  else
    memset (data + from, 0, to - from);
  return blob_new (data);
}

static void
set_only (struct sector *s, struct blob *blob)
{
  while (s->n > 0)
    retire (s, s->v[--s->n].blob);
  add (s, blob, 0);
}

/* All candidates that the writes in flight can make. */
static void
close_set (struct sector *s, uint64_t index)
{
  for (unsigned i = 0; i < s->n && s->n <= MANY && !s->wild; i++)
    for (unsigned slot = 0; slot < MAX_OPS; slot++) {
      uint32_t bit = UINT32_C (1) << slot;

      if ((s->writers & bit) && !(s->v[i].done & bit))
        add (s, apply (&ops[slot], index, s->v[i].blob), s->v[i].done | bit);
    }
  if (s->n > MANY) {
    s->wild = true;
    totals.wild++;
    set_only (s, blob_get (&zero_blob));
  }
}

static void
begin_sector (const struct op *op, uint64_t index)
{
  struct sector *s = &sectors[index];
  uint32_t bit = UINT32_C (1) << op->slot;

  if (op->kind == TRIM && !covers (op, index))
    return;
  s->writers |= bit;
  s->changed = now;
  if (s->unsure && op->kind != TRIM && covers (op, index))
    s->tried = true;
  close_set (s, index);
}

/* With more bad blocks than these in one request, others may be remapped
 * with them (promise 3): each costs up to 4 failing writes, or 12 zeroes.
 */
#define MANY_BAD_WRITE 15
#define MANY_BAD_ZERO 5

/* Which other sectors the request may remap. */
static void
note_remaps (const struct op *op)
{
  uint64_t first, last, unused, bad = 0;
  bool maybe = false;

  block_of (op->offset / SECTOR, &first, &unused);
  block_of ((op->offset + op->count - 1) / SECTOR, &unused, &last);
  for (uint64_t s = first; s < last; s++) {
    bad += sectors[s].bad_since != 0 && !sectors[s].mapped;
    maybe |= sectors[s].maybe_mapped;
  }
  if (bad > (op->kind == WRITE ? MANY_BAD_WRITE : MANY_BAD_ZERO) ||
      (mode->timed_out && (bad > 0 || maybe))) {
    /* With larger blocks, later, what is moved in part is moved as a whole. */
    if (mode->block == 0) {
      first -= first % (4096 / SECTOR);
      last += -last % (4096 / SECTOR);
      if (last > nr_sectors)
        last = nr_sectors;
    }
    for (uint64_t s = first; s < last; s++)
      sectors[s].maybe_mapped = true;
  }
}

static bool
changes (const struct op *op)
{
  return op->kind == WRITE || op->kind == ZERO || op->kind == TRIM;
}

void
state_begin (struct op *op)
{
  uint64_t last;

  op->begin = ++now;
  op->in_flight = true;
  if (!changes (op))
    return;
  last = (op->offset + op->count - 1) / SECTOR;
  for (uint64_t s = op->offset / SECTOR; s <= last; s++)
    begin_sector (op, s);
  if (op->kind != TRIM)
    note_remaps (op);
}

/* The write was done in S: what that says of its state. */
static void
was_written (const struct op *op, uint64_t index)
{
  struct sector *s = &sectors[index];
  uint64_t bad = block_bad_since (index);
  bool fails = mode->fails_write && (op->kind == WRITE || mode->fails_zero);

  if (bad && bad < op->begin && fails)
    s->mapped = true;
  else if (s->unsure && !s->mapped && bad) {
    /* A part of it could be written, so all of it could be read. */
    if (!covers (op, index) && bad < op->begin)
      s->mapped = true;
    else {
      s->tried = true;
      return;
    }
  }
  if (s->unsure) {
    s->unsure = false;
    s->cleared = now;
    s->maybe_mapped = true;
  }
}

static void
end_sector (struct op *op, uint64_t index, enum outcome outcome)
{
  struct sector *s = &sectors[index];
  uint32_t bit = UINT32_C (1) << op->slot;
  bool alone = s->writers == bit && s->changed == op->begin;
  unsigned n = s->n;

  if (!(s->writers & bit))
    return;
  s->n = 0;
  for (unsigned i = 0; i < n; i++) {
    struct candidate c = s->v[i];
    bool drop = !s->wild && op->kind != TRIM &&
      ((outcome == DONE && !(c.done & bit)) ||
       (outcome == NOT_DONE && (c.done & bit)));

    if (drop)
      retire (s, c.blob);
    else
      add (s, c.blob, c.done & ~bit);
  }
  s->writers &= ~bit;
  s->changed = now;
  if (s->wild && alone && outcome == DONE && op->kind != TRIM &&
      covers (op, index)) {
    set_only (s, apply (op, index, &zero_blob));
    s->wild = false;
    s->wild_until = now;
  }
  if (outcome == DONE && op->kind != TRIM)
    was_written (op, index);
}

void
state_end (struct op *op, enum outcome outcome)
{
  uint64_t last;

  if (changes (op)) {
    last = (op->offset + op->count - 1) / SECTOR;
    for (uint64_t s = op->offset / SECTOR; s <= last; s++)
      end_sector (op, s, outcome);
  }
  op->in_flight = false;
}

void
block_of (uint64_t s, uint64_t *first, uint64_t *end)
{
  unsigned n = variant.block / SECTOR;

  *first = s / n * n;
  *end = *first + n < nr_sectors ? *first + n : nr_sectors;
}

uint64_t
block_bad_since (uint64_t s)
{
  uint64_t first, end, since = 0;

  block_of (s, &first, &end);
  for (; first < end; first++)
    if (sectors[first].bad_since &&
        (since == 0 || sectors[first].bad_since < since))
      since = sectors[first].bad_since;
  return since;
}

/* A write in flight may have read the rest of its blocks before they went
 * bad, and move it to the spare.
 */
static void
may_have_moved (const struct op *op)
{
  uint64_t first, end, unused;

  block_of (op->offset / SECTOR, &first, &unused);
  block_of ((op->offset + op->count - 1) / SECTOR, &unused, &end);
  for (; first < end; first++)
    if (sectors[first].unsure)
      sectors[first].tried = true;
}

/* A sector that fails once is saved by the second read of its block, unless
 * another one of the block goes bad between the two: then both fail, and the
 * block is LOST.  (One that was read before may fail once more, since a new
 * server's baddisk begins anew.)
 */
static bool
block_may_fail_twice (uint64_t s)
{
  bool first_fails = false, second_fails = false;
  uint64_t first, end;

  block_of (s, &first, &end);
  for (; first < end; first++) {
    const uint64_t since = sectors[first].bad_since;

    second_fails |= since == now - 1;   /* it goes bad just now */
    first_fails |= since && since < now - 1;
  }
  for (unsigned i = 0; first_fails && second_fails && i < MAX_OPS; i++)
    if (ops[i].in_flight)
      return true;
  return false;
}

void
state_refresh (void)
{
  now++;
  for (uint64_t i = 0; i < nr_sectors; i++) {
    struct sector *s = &sectors[i];
    bool bad = block_bad_since (i) != 0;

    if (mode->fails_read && bad && !s->mapped && !s->unsure &&
        (!mode->recovers || block_may_fail_twice (i))) {
      s->unsure = true;
      s->unsure_since = now;
      s->tried = s->maybe_mapped || s->writers || mode->lenient ||
        mode->recovers;
    }
    else if (s->unsure && !bad)
      s->tried = true;
  }
  for (unsigned i = 0; i < MAX_OPS; i++)
    if (ops[i].in_flight && (ops[i].kind == WRITE || ops[i].kind == ZERO)) {
      note_remaps (&ops[i]);
      may_have_moved (&ops[i]);
    }
}

bool
state_any (const struct sector *s, uint64_t begin,
           bool (*f) (const uint8_t *data, void *opaque), void *opaque)
{
  if (s->wild || s->wild_until >= begin)
    return true;
  for (unsigned i = 0; i < s->n; i++)
    if (f (s->v[i].blob->data, opaque))
      return true;
  for (unsigned i = 0; i < s->nr_past; i++)
    if (s->past[i].until >= begin && f (s->past[i].blob->data, opaque))
      return true;
  return false;
}

void
state_narrow (struct sector *s, uint32_t from, uint32_t to,
              const uint8_t *data)
{
  unsigned n = 0;

  if (s->wild) {
    if (from == 0 && to == sector_length (s - sectors)) {
      uint8_t whole[SECTOR] = { 0 };

      memcpy (whole, data, to);
      set_only (s, blob_new (whole));
      s->wild = false;
      s->wild_until = now;
    }
    return;
  }
  for (unsigned i = 0; i < s->n; i++)
    if (memcmp (s->v[i].blob->data + from, data, to - from) == 0)
      s->v[n++] = s->v[i];
    else
      retire (s, s->v[i].blob);
  s->n = n;
}
