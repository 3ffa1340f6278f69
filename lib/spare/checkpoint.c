/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Checkpoints: the whole state, written anew into the other log area.  The log
 * that it replaces stays as it is until a header names the new one (promise 15
 * of remap-promises(7)).
 *
 * The state is what the map and the retired set say.  Reason and time of
 * each change are nowhere but in the log, so the old area is read back
 * into two maps of notes, which live for the time of the checkpoint.
 * Where it can't be read the state is written without them: notes are for
 * people, the state is what counts.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/checkpoint.h"
#include "spare/errors.h"
#include "spare/header.h"
#include "spare/leader.h"
#include "spare/notes.h"
#include "spare/pages.h"

/* Reads the reasons and times of the active area.  Returns 0 or ENOMEM. */
static int
read_notes (struct spare *s, struct notes *n)
{
  uint32_t bad;
  int err;

  err = notes_init (n, true);
  if (err)
    return err;
  err = notes_read (s->dev, n, &s->hdr, 0, s->pos, &bad);
  if (err) {
    notes_free (n);
    return err;
  }
  if (bad > 0)
    spare_warn (s, "%" PRIu32 " pages of the spare's log can't be read any "
                "more: the state is known and is written anew, but the "
                "reasons and times that they held are lost", bad);
  return 0;
}

/* Where the entries of a checkpoint go.  PAGE is NULL while they are only
 * counted.
 */
struct writer {
  struct spare *s;
  const struct log_area *area;
  uint64_t need;                /* pages that must remain */
  struct notes *notes;          /* NULL: unknown */
  uint64_t now;
  struct log_place next;        /* where the next entry goes */
  uint8_t *window;              /* NULL: only count */
  struct log_page info;
  uint32_t in_window;           /* complete pages in it */
};

static int
write_window (struct writer *w)
{
  const uint64_t first = w->info.position - w->in_window;
  int err;

  if (w->in_window == 0)
    return 0;
  err = device_pwrite (w->s->dev, w->window, w->in_window * SPARE_PAGE,
                       log_page_offset (w->area, first));
  w->in_window = 0;
  memset (w->window, 0, (size_t) WINDOW_PAGES * SPARE_PAGE);
  return err;
}

/* Completes the page that is being filled. */
static int
finish_page (struct writer *w)
{
  uint8_t *page = w->window + (size_t) w->in_window * SPARE_PAGE;

  if (w->info.index + 1 == w->info.total)
    memcpy (w->info.counters, w->s->counters, sizeof w->info.counters);
  log_page_encode (&w->info, page);
  w->info.index++;
  w->info.position++;
  w->in_window++;
  return w->in_window == WINDOW_PAGES ? write_window (w) : 0;
}

/* Takes a place for N entries: where they go, or NULL if they are only counted.
 * ENTRY is the number of the first one in its page.
 */
static int
take_place (struct writer *w, unsigned n, uint8_t **page, unsigned *entry)
{
  const struct log_place place = log_take_place (&w->next, n);
  int err;

  *page = NULL;
  *entry = place.entry;
  if (w->window == NULL)
    return 0;
  /* They were counted with the same notes; but nothing is written beyond the
   * area, whatever happened.
   */
  if (place.page >= w->info.total)
    return ERANGE;
  if (place.page > w->info.index) {
    err = finish_page (w);
    if (err)
      return err;
  }
  *page = w->window + (size_t) w->in_window * SPARE_PAGE;
  return 0;
}

static int
emit (struct writer *w, const struct log_entry *whole)
{
  struct log_entry e = *whole;
  uint64_t left = whole->count;
  uint8_t *page;
  unsigned entry;
  int err;

  for (; left > 0; left -= e.count) {
    e.count = min_u64 (left, MAX_ENTRY_COUNT);
    err = take_place (w, 1, &page, &entry);
    if (err)
      return err;
    if (page != NULL)
      log_page_put (page, entry, &e);
    if (change_has_sector (e.kind))
      e.sector += e.count;
    if (change_has_slot (e.kind))
      e.slot += e.count;
  }
  return 0;
}

static int
emit_attributes (struct writer *w)
{
  uint8_t *page;
  unsigned entry;
  int err;

  for (size_t i = 0; i < w->s->nattributes; i++) {
    const struct attribute *a = w->s->attributes[i];

    if (a->flags & ATTRIBUTE_TRANSIENT)
      continue;
    err = take_place (w, log_entries_for_attribute (a), &page, &entry);
    if (err)
      return err;
    if (page != NULL)
      log_page_put_attribute (page, entry, a);
  }
  return 0;
}

/* Emits a run, a piece for each note on it. */
static int
emit_run (struct writer *w, const struct map *notes, const struct run *run,
          bool retired)
{
  uint64_t i = 0, note, n;
  struct run piece;
  int err;

  for (; i < run->count; i += n) {
    n = run->count - i;
    note = w->now;
    if (notes != NULL) {
      piece = map_lookup (notes, run->start + i, n);
      n = piece.count;
      if (piece.state == MAP_NOTE)
        note = piece.slot;
    }

    struct log_entry e = {
      .count = n, .reason = note >> NOTE_TIME_BITS,
      .time = note & NOTE_TIME_MAX,
    };
    if (retired) {
      e.kind = CHANGE_RETIRE;
      e.slot = run->start + i;
    }
    else {
      e.kind = run->state;
      e.sector = run->start + i;
      if (run->state == REMAPPED)
        e.slot = run->slot + i;
    }
    err = emit (w, &e);
    if (err)
      return err;
  }
  return 0;
}

static int
emit_all (struct writer *w)
{
  const struct notes *n = w->notes;
  struct run run;
  uint64_t i;
  int err;

  w->next = (struct log_place) { 0 };
  err = emit_attributes (w);
  if (err)
    return err;
  for (i = 0; map_next (w->s->retired, i, &run); i = run_end_sector (&run)) {
    err = emit_run (w, n ? n->slots : NULL, &run, true);
    if (err)
      return err;
  }
  for (i = 0; map_next (w->s->map, i, &run); i = run_end_sector (&run)) {
    err = emit_run (w, n ? n->sectors : NULL, &run, false);
    if (err)
      return err;
  }
  return 0;
}

/* Pages that a checkpoint takes; 0 if they don't fit.  A part of the area
 * must remain for commits, or else nearly each of them would need another
 * checkpoint.
 */
static uint32_t
count_pages (struct writer *w)
{
  const uint64_t remain = max_u64 (w->area->pages / 64, w->need);
  uint64_t pages;

  emit_all (w);
  pages = w->next.page + 1;
  return remain < w->area->pages && pages <= w->area->pages - remain
    ? pages : 0;
}

static int
write_pages (struct writer *w, uint32_t total)
{
  struct spare *s = w->s;
  int err;

  w->window = calloc (WINDOW_PAGES, SPARE_PAGE);
  if (w->window == NULL)
    return ENOMEM;
  memset (&w->info, 0, sizeof w->info);
  memcpy (w->info.uuid, s->hdr.uuid, sizeof w->info.uuid);
  w->info.generation = s->hdr.generation + 1;
  w->info.number = s->number + 1;
  w->info.nonce = s->nonce;
  w->info.total = total;
  w->in_window = 0;
  err = emit_all (w);
  while (err == 0 && w->info.index < total)
    err = finish_page (w);
  if (err == 0)
    err = write_window (w);
  free (w->window);
  w->window = NULL;
  return err;
}

static int
write_with (struct spare *s, const struct log_area *area, uint64_t need,
            struct notes *notes, uint32_t *pages)
{
  struct writer w = {
    .s = s, .area = area, .need = need, .notes = notes,
    .now = min_u64 (spare_now (s), NOTE_TIME_MAX),
  };

  *pages = count_pages (&w);
  if (*pages == 0)
    return ERANGE;
  return write_pages (&w, *pages);
}

int
checkpoint_write (struct spare *s, const struct log_area *area,
                  uint64_t need, bool fatal, uint32_t *pages)
{
  struct writer plain = { .s = s, .area = area, .need = need };
  struct notes notes;
  int err;

  /* Not even the plain runs fit: say so before anything is read. */
  if (count_pages (&plain) == 0)
    return ENOSPC;

  err = read_notes (s, &notes);
  if (err)
    return err;
  err = write_with (s, area, need, &notes, pages);
  notes_free (&notes);
  if (err == ERANGE) {
    spare_new_nonce (s);
    spare_warn (s, "there is no room in the spare's log for the reasons and "
                "times of all changes: they are dropped");
    err = write_with (s, area, need, NULL, pages);
  }
  if (err == 0) {
    err = spare_flush_device (s);
    if (err == 0)
      return 0;
  }
  spare_new_nonce (s);
  err = spare_error (err);
  if (fatal && err == EIO)
    spare_set_failed (s);
  return err;
}

void
checkpoint_header (const struct spare *s, struct header *h, unsigned area,
                   uint32_t pages)
{
  h->active = area;
  h->generation = s->hdr.generation + 1;
  h->checkpoint_commit = s->number + 1;
  h->checkpoint_pages = pages;
  h->high_water = min_u64 ((uint64_t) pages + HIGH_WATER_STEP,
                           h->area[area].pages);
  h->commit_floor = h->checkpoint_commit;
}

void
checkpoint_adopt (struct spare *s)
{
  pthread_mutex_lock (&s->lock);
  s->pos = s->hdr.checkpoint_pages;
  s->number = s->hdr.checkpoint_commit;
  pthread_mutex_unlock (&s->lock);
  atomic_fetch_add (&s->checkpoints, 1);
}

int
log_checkpoint (struct spare *s, uint64_t need)
{
  const unsigned area = s->hdr.active ^ 1;
  struct header h;
  uint32_t pages;
  int err;

  err = header_repair (s);
  if (err)
    return err;
  err = checkpoint_write (s, &s->hdr.area[area], need, true, &pages);
  if (err)
    return err;
  h = s->hdr;
  checkpoint_header (s, &h, area, pages);
  err = header_write (s, &h);
  if (err)
    return err;
  checkpoint_adopt (s);
  return 0;
}

int
spare_checkpoint (struct spare *s)
{
  int err;

  if (s->read_only)
    return EROFS;
  spare_lead (s);
  err = atomic_load (&s->failed) ? EIO : log_checkpoint (s, 1);
  spare_unlead (s);
  return err;
}
