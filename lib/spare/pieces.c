/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Pages of a checkpoint that was dropped, or interrupted by a crash, may have
 * the generation that the next one has.  Their numbers are lower than what
 * the log has reached since, but for one: a commit that was written behind
 * the checkpoint and never became durable.  If it lay just behind the next
 * checkpoint it would come back.  So a page of zeroes ends what is written.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/leader.h"
#include "spare/pieces.h"

/* What all log pages of this checkpoint's area have in common. */
static struct log_page
new_page (const struct checkpoint *c)
{
  struct log_page info = {
    .generation = c->s->hdr.generation + 1, .number = c->number,
    .nonce = c->nonce, .total = c->total,
  };

  memcpy (info.uuid, c->s->hdr.uuid, sizeof info.uuid);
  return info;
}

static bool
fits (const struct checkpoint *c, uint64_t total)
{
  return total + c->remain + (c->s->pos - c->pin_pos) <= c->area.pages;
}

/* From the first entry on. */
static void
walk_again (struct checkpoint *c)
{
  c->attribute = 0;
  c->next = (struct log_place) { 0 };
  state_walk (&c->walk, c->s, c->of_update ? STATE_UPDATE : STATE_PINNED,
              &c->pin, c->has_notes ? &c->notes : NULL, c->now);
}

/* What the open update adds that isn't in the maps. */
static int
add_update (struct checkpoint *c)
{
  const struct header *h = &c->s->hdr;
  struct log_page info;
  int err = 0;

  for (uint32_t i = 0; i < c->update_pages && err == 0; i++) {
    const uint8_t *page = c->update + (size_t) i * SPARE_PAGE;

    if (!log_page_decode (page, h, c->s->pos + i, &info))
      continue;
    err = notes_add_page (&c->notes, page, &info);
    if (err == 0)
      err = carried_add_page (&c->carried, page, &info);
  }
  return err;
}

/* The moment whose state is written. */
static int
begin_state (struct checkpoint *c)
{
  struct spare *s = c->s;
  int err;

  err = carried_copy (&c->carried, s);
  if (err == 0)
    err = add_update (c);
  if (err)
    return err;
  carried_drop_transient (&c->carried);
  c->pin_pos = s->pos;
  c->nonce = s->nonce;
  if (c->of_update)
    c->number = s->number + 1;
  else {
    c->number = s->number;
    memcpy (c->counters, s->counters, sizeof c->counters);
    state_pin (s, &c->pin);
    c->pinned = true;
  }
  return 0;
}

static int
read_notes (struct checkpoint *c)
{
  struct spare *s = c->s;
  const uint32_t to = min_u64 ((uint64_t) c->read + c->piece, s->pos);
  int err = 0;

  if (!c->has_notes) {
    err = notes_init (&c->notes, true);
    if (err)
      return err;
    c->has_notes = c->reading = true;
    c->now = min_u64 (spare_now (s), NOTE_TIME_MAX);
    notes_begin (&c->notes);
  }
  err = notes_add (s->dev, &c->notes, &s->hdr, c->read, to, &c->bad);
  if (err)
    return err;
  c->read = to;
  if (to < s->pos)
    return 0;

  err = begin_state (c);
  if (err)
    return err;
  notes_end (&c->notes);
  c->reading = false;
  if (c->bad > 0)
    spare_warn (s, "%" PRIu32 " pages of the spare's log can't be read any "
                "more: the state is known and is written anew, but the "
                "reasons and times that they held are lost", c->bad);
  walk_again (c);
  c->stage = PIECES_COUNT;
  return 0;
}

static void
drop_notes (struct checkpoint *c)
{
  if (c->reading)
    notes_abort (&c->notes);
  if (c->has_notes)
    notes_free (&c->notes);
  c->reading = c->has_notes = false;
}

static int
count (struct checkpoint *c)
{
  const uint64_t limit = c->next.page + c->piece;
  struct log_entry e;

  while (c->next.page < limit) {
    if (c->attribute < c->carried.n) {
      const struct attribute *a = c->carried.v[c->attribute++];

      log_take_place (&c->next, log_entries_for_attribute (a));
      continue;
    }
    if (state_next (&c->walk, &e)) {
      log_take_place (&c->next, 1);
      continue;
    }
    if (fits (c, c->next.page + 1)) {
      c->total = c->next.page + 1;
      c->copied = c->pin_pos;
      c->copy_end = c->s->pos;
      c->window = malloc ((size_t) (c->piece + 1) * SPARE_PAGE);
      c->stage = PIECES_WRITE;
    }
    else if (c->has_notes) {
      spare_warn (c->s, "there is no room in the spare's log for the reasons "
                  "and times of all changes: they are dropped");
      drop_notes (c);
    }
    else
      return ENOSPC;
    walk_again (c);
    return c->total > 0 && c->window == NULL ? ENOMEM : 0;
  }
  return 0;
}

/* Puts what comes next into a page, as much as has room there: as count. */
static void
fill_entries (struct checkpoint *c, uint8_t *page)
{
  struct log_entry e;
  unsigned i = 0;

  for (; c->attribute < c->carried.n; c->attribute++) {
    const struct attribute *a = c->carried.v[c->attribute];
    const unsigned n = log_entries_for_attribute (a);

    if (i + n > ENTRIES_PER_PAGE)
      return;
    log_page_put_attribute (page, i, a);
    i += n;
  }
  while (i < ENTRIES_PER_PAGE && state_next (&c->walk, &e))
    log_page_put (page, i++, &e);
}

static void
fill_page (struct checkpoint *c, uint8_t *page)
{
  struct log_page info = new_page (c);
  struct log_entry e;

  info.position = info.index = c->written;
  fill_entries (c, page);
  c->written++;
  if (c->written == c->total) {
    memcpy (info.counters, c->counters, sizeof info.counters);
    assert (!state_next (&c->walk, &e));
  }
  log_page_encode (&info, page);
}

static int
write_piece (struct checkpoint *c)
{
  const uint64_t place = log_page_offset (&c->area, c->written);
  uint32_t n = min_u64 (c->total - c->written, c->piece);

  memset (c->window, 0, (size_t) (n + 1) * SPARE_PAGE);
  for (uint32_t i = 0; i < n; i++)
    fill_page (c, c->window + (size_t) i * SPARE_PAGE);
  if (c->written == c->total) {
    c->stage = c->copied < c->copy_end ? PIECES_COPY : PIECES_DONE;
    /* The page that ends it, unless a commit is there, or will be. */
    if (c->s->pos == c->pin_pos)
      n++;
  }
  return device_pwrite (c->s->dev, c->window, n * SPARE_PAGE, place);
}

/* Pages of a commit for their place behind the checkpoint; FROM: where the
 * first one is in the active area.  False if they aren't what was written
 * there.
 */
static bool
move_pages (struct checkpoint *c, uint8_t *pages, uint32_t from, uint32_t n)
{
  const struct log_page new = new_page (c);
  struct log_page info;

  for (uint32_t i = 0; i < n; i++) {
    uint8_t *page = pages + (size_t) i * SPARE_PAGE;

    if (!log_page_decode (page, &c->s->hdr, from + i, &info))
      return false;
    info.generation = new.generation;
    info.position = c->total + (from + i - c->pin_pos);
    log_page_encode (&info, page);
  }
  return true;
}

static int
copy_piece (struct checkpoint *c)
{
  const struct log_area *old = &c->s->hdr.area[c->s->hdr.active];
  const uint32_t n = min_u64 (c->copy_end - c->copied, c->piece);
  const uint64_t place =
    log_page_offset (&c->area, c->total + (c->copied - c->pin_pos));
  int err;

  err = device_pread (c->s->dev, c->window, n * SPARE_PAGE,
                      log_page_offset (old, c->copied));
  /* Damaged: only a start can say what that means.  The log stays as it is. */
  if (err || !move_pages (c, c->window, c->copied, n))
    return ENODATA;
  c->copied += n;
  if (c->copied == c->copy_end)
    c->stage = PIECES_DONE;
  return device_pwrite (c->s->dev, c->window, n * SPARE_PAGE, place);
}

int
pieces_step (struct checkpoint *c)
{
  switch (c->stage) {
  case PIECES_NOTES: return read_notes (c);
  case PIECES_COUNT: return count (c);
  case PIECES_WRITE: return write_piece (c);
  case PIECES_COPY: return copy_piece (c);
  case PIECES_DONE: break;
  }
  return 0;
}

uint64_t
pieces_end (const struct checkpoint *c)
{
  return (uint64_t) c->total + (c->s->pos - c->pin_pos);
}

int
pieces_mirror (struct checkpoint *c, void *pages, uint32_t n)
{
  const uint64_t place = log_page_offset (&c->area, pieces_end (c));

  if (c->total == 0)
    return 0;
  if (pieces_end (c) + n + 1 > c->area.pages)
    return ENOSPC;
  if (!move_pages (c, pages, c->s->pos, n))
    return ENODATA;
  return device_pwrite (c->s->dev, pages, n * SPARE_PAGE, place);
}

void
pieces_free (struct checkpoint *c)
{
  drop_notes (c);
  carried_free (&c->carried);
  if (c->pinned)
    state_unpin (c->s, &c->pin);
  free (c->window);
}
