/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "base/bytes.h"
#include "spare/carried.h"
#include "spare/state.h"

static bool
next_run (struct state_walk *w)
{
  const struct map *map = w->in_map ? w->s->map : w->s->retired;
  bool found = false;

  switch (w->source) {
  case STATE_NOW: found = map_next (map, w->next, &w->run); break;
  case STATE_UPDATE: found = map_update_next (map, w->next, &w->run); break;
  case STATE_PINNED:
    found = map_pinned_next (w->in_map ? &w->pin->sectors : &w->pin->slots,
                             w->next, &w->run);
    break;
  }
  if (found)
    w->next = run_end_sector (&w->run);
  return found;
}

/* The note on the first of COUNT sectors, or slots, and on how many of them
 * it is.
 */
static uint64_t
note_at (const struct state_walk *w, uint64_t start, uint64_t *count)
{
  struct run note;

  if (w->notes == NULL)
    return w->now;
  note = map_lookup (w->in_map ? w->notes->sectors : w->notes->slots, start,
                     *count);
  *count = note.count;
  return note.state == MAP_NOTE ? note.slot : w->now;
}

void
state_pin (struct spare *s, struct state_pin *pin)
{
  map_pin (s->map, &pin->sectors);
  map_pin (s->retired, &pin->slots);
}

void
state_unpin (struct spare *s, struct state_pin *pin)
{
  map_unpin (s->map, &pin->sectors);
  map_unpin (s->retired, &pin->slots);
}

void
state_walk (struct state_walk *w, const struct spare *s,
            enum state_source source, const struct state_pin *pin,
            const struct notes *notes, uint64_t now)
{
  *w = (struct state_walk) {
    .s = s, .source = source, .pin = pin, .notes = notes, .now = now,
  };
}

bool
state_next (struct state_walk *w, struct log_entry *e)
{
  uint64_t note, n;
  struct run part;

  while (w->run.count == 0 && !next_run (w)) {
    w->run.count = 0;
    if (w->in_map)
      return false;
    w->in_map = true;
    w->next = 0;
  }
  n = min_u64 (w->run.count, MAX_ENTRY_COUNT);
  note = note_at (w, w->run.start, &n);
  part = run_take (&w->run, n);
  *e = (struct log_entry) {
    .kind = w->in_map ? (uint8_t) part.state : CHANGE_RETIRE,
    .sector = w->in_map ? part.start : 0,
    .slot = !w->in_map ? part.start : part.state == REMAPPED ? part.slot : 0,
    .count = n, .reason = note >> NOTE_TIME_BITS, .time = note & NOTE_TIME_MAX,
  };
  return true;
}

uint64_t
state_entries (const struct spare *s, enum state_source source)
{
  struct state_walk w;
  struct log_entry e;
  uint64_t n = 0;

  state_walk (&w, s, source, NULL, NULL, 0);
  while (state_next (&w, &e))
    n++;
  return n;
}

uint64_t
state_entries_at_most (const struct spare *s)
{
  struct map_totals sectors, slots;

  map_get_totals (s->map, &sectors);
  map_get_totals (s->retired, &slots);
  /* A run of sectors without slots is one entry of the map, however long. */
  return sectors.runs + slots.runs +
    carried_entries_at_most (s->nattributes, s->attribute_bytes) +
    bytes_to_sectors (s->hdr.main_size) / MAX_ENTRY_COUNT +
    bytes_to_sectors (s->hdr.size) / MAX_ENTRY_COUNT;
}

uint64_t
state_pages_at_most (const struct spare *s)
{
  return state_pages (state_entries_at_most (s));
}
