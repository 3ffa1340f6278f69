/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/header.h"
#include "spare/leader.h"
#include "spare/notes.h"
#include "spare/slots.h"
#include "spare/snapshot.h"

#define PIECE_PAGES 64U         /* written at once */

/* What is written: the attributes, then all entries of the state. */
struct writer {
  const struct snapshot *snap;
  struct notes notes;
  bool has_notes;
  uint64_t now;
  struct state_walk walk;
  size_t attribute;             /* the next one */
  struct log_entry rest;        /* of an entry; count 0: nothing */
};

static void
from_the_beginning (struct writer *w)
{
  w->attribute = 0;
  w->rest.count = 0;
  state_walk (&w->walk, w->snap->s, STATE_PINNED, &w->snap->pin,
              w->has_notes ? &w->notes : NULL, w->now);
}

/* The next entry: one of the state, or a part of it where not all of its
 * slots could be read.
 */
static bool
next_entry (struct writer *w, struct log_entry *e)
{
  struct run run;

  if (w->rest.count == 0 && !state_next (&w->walk, &w->rest))
    return false;
  *e = w->rest;
  if (w->snap->nunreadable > 0 && e->kind == CHANGE_REMAP) {
    run = map_lookup (w->snap->unreadable, e->sector, e->count);
    e->count = run.count;
    w->rest.sector += run.count;
    w->rest.slot += run.count;
    if (run.state == LOST) {
      e->kind = CHANGE_LOST;
      e->slot = 0;
      e->reason = WHY_UNKNOWN;
      e->time = w->now;
    }
  }
  w->rest.count -= e->count;
  return true;
}

static uint64_t
count_pages (struct writer *w)
{
  const struct carried *attributes = &w->snap->attributes;
  struct log_place next = { 0 };
  struct log_entry e;

  from_the_beginning (w);
  for (size_t i = 0; i < attributes->n; i++)
    log_take_place (&next, log_entries_for_attribute (attributes->v[i]));
  while (next_entry (w, &e))
    log_take_place (&next, 1);
  return next.page + 1;
}

/* As count_pages has counted them. */
static void
fill_entries (struct writer *w, uint8_t *page)
{
  const struct carried *attributes = &w->snap->attributes;
  struct log_entry e;
  unsigned i = 0, n;

  for (; w->attribute < attributes->n; w->attribute++) {
    n = log_entries_for_attribute (attributes->v[w->attribute]);
    if (i + n > ENTRIES_PER_PAGE)
      return;
    log_page_put_attribute (page, i, attributes->v[w->attribute]);
    i += n;
  }
  while (i < ENTRIES_PER_PAGE && next_entry (w, &e))
    log_page_put (page, i++, &e);
}

static int
write_pages (struct writer *w, uint32_t total, const struct device *out)
{
  const struct snapshot *snap = w->snap;
  const struct log_area *area = &snap->hdr.area[snap->hdr.active];
  uint8_t *buf = malloc (PIECE_PAGES * SPARE_PAGE);
  struct log_page info = {
    .generation = snap->hdr.generation, .number = snap->number,
    .nonce = snap->nonce, .total = total,
  };
  uint32_t i = 0, n;
  int err = 0;

  if (buf == NULL)
    return ENOMEM;
  memcpy (info.uuid, snap->hdr.uuid, sizeof info.uuid);
  from_the_beginning (w);
  while (i < total && err == 0) {
    n = min_u64 (total - i, PIECE_PAGES);
    memset (buf, 0, n * SPARE_PAGE);
    for (uint32_t j = 0; j < n; j++) {
      uint8_t *page = buf + (size_t) j * SPARE_PAGE;

      fill_entries (w, page);
      info.position = info.index = i + j;
      if (i + j + 1 == total) {
        memcpy (info.counters, snap->counters, sizeof info.counters);
        info.counters[COUNT_LOST] += snap->nunreadable;
      }
      log_page_encode (&info, page);
    }
    err = device_pwrite (out, buf, n * SPARE_PAGE, log_page_offset (area, i));
    i += n;
  }
  free (buf);
  return err;
}

static int
write_headers (const struct snapshot *snap, uint32_t total,
               const struct device *out)
{
  struct header h = snap->hdr;
  uint8_t *page = malloc (SPARE_PAGE);
  int err = 0;

  if (page == NULL)
    return ENOMEM;
  h.claimed = h.size;
  h.checkpoint_commit = h.commit_floor = snap->number;
  h.checkpoint_pages = total;
  h.high_water = min_u64 (round_up (total, HIGH_WATER_STEP),
                          h.area[h.active].pages);
  if (snap->attributes.n > 0) {
    h.incompat |= FEATURE_ATTRIBUTES;
    features_name (&h.names, FEATURE_ATTRIBUTES);
  }
  header_encode (&h, page);
  for (unsigned copy = 0; copy < 2 && err == 0; copy++)
    err = device_pwrite (out, page, SPARE_PAGE, header_offset (copy));
  free (page);
  return err;
}

/* Reasons and times, which are nowhere but in the log.  They are for people:
 * what can't be read any more, since the log was written anew meanwhile, is
 * left out.
 */
static void
read_notes (struct writer *w)
{
  const struct snapshot *snap = w->snap;
  uint32_t bad;

  if (notes_init (&w->notes, true) != 0)
    return;
  w->has_notes = notes_read (snap->s->dev, &w->notes, &snap->hdr, 0,
                             snap->pos, &bad) == 0;
  if (!w->has_notes)
    notes_free (&w->notes);
}

static void
drop_notes (struct writer *w)
{
  if (w->has_notes)
    notes_free (&w->notes);
  w->has_notes = false;
}

/* With SNAP's lead. */
static int
look (struct snapshot *snap)
{
  struct spare *s = snap->s;
  int err = carried_copy (&snap->attributes, s);

  if (err == 0)
    err = slots_keep_begin (s);
  if (err) {
    carried_free (&snap->attributes);
    return err;
  }
  carried_drop_transient (&snap->attributes);
  snap->hdr = s->hdr;
  snap->pos = s->pos;
  snap->number = s->number;
  snap->nonce = s->nonce;
  memcpy (snap->counters, s->counters, sizeof snap->counters);
  state_pin (s, &snap->pin);
  return 0;
}

int
snapshot_take (struct snapshot *snap, struct spare *s)
{
  int err;

  memset (snap, 0, sizeof *snap);
  snap->s = s;
  snap->unreadable = map_new ();
  if (snap->unreadable == NULL)
    return ENOMEM;
  spare_lead (s);
  err = look (snap);
  spare_unlead (s);
  if (err)
    map_free (snap->unreadable);
  else
    map_begin (snap->unreadable);
  return err;
}

int
snapshot_lose (struct snapshot *snap, sector_t start, uint64_t count)
{
  const struct run run = {
    .start = start, .count = count, .state = LOST, .slot = NO_SLOT,
  };

  snap->nunreadable += count;
  return map_set (snap->unreadable, &run);
}

int
snapshot_write (struct snapshot *snap, const struct device *out)
{
  const uint64_t room = snap->hdr.area[snap->hdr.active].pages;
  struct writer w = { .snap = snap };
  uint64_t total;
  int err;

  map_publish (snap->unreadable);
  map_begin (snap->unreadable);
  w.now = min_u64 (spare_now (snap->s), NOTE_TIME_MAX);
  read_notes (&w);
  total = count_pages (&w);
  /* As for a checkpoint: there must be room for what comes next. */
  if (w.has_notes && total + max_u64 (room / 64, 1) > room) {
    drop_notes (&w);
    total = count_pages (&w);
  }
  err = total + 1 > room ? ENOSPC : write_pages (&w, total, out);
  if (err == 0)
    err = write_headers (snap, total, out);
  drop_notes (&w);
  return err;
}

void
snapshot_drop (struct snapshot *snap)
{
  struct spare *s = snap->s;

  spare_lead (s);
  state_unpin (s, &snap->pin);
  slots_keep_end (s);
  spare_unlead (s);
  map_abort (snap->unreadable);
  map_free (snap->unreadable);
  carried_free (&snap->attributes);
}
