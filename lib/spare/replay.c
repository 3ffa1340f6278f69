/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reading the log: what is valid, where it ends, and what it says.
 *
 * The log ends before the first commit that isn't complete.  That is what
 * a crash leaves behind, and the commit was not acknowledged.  Damage
 * looks the same unless something later is valid: a page of a later
 * commit, or a header that knows of one.  Then the spare is refused, since
 * a log that is cut off takes acknowledged changes with it (promise 15 of
 * remap-promises(7)).
 *
 * An entry that is intact may still be wrong: it is checked before the map
 * or the bitmap of slots sees it (promise 23).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "spare/attributes.h"
#include "spare/notes.h"
#include "spare/pages.h"
#include "spare/replay.h"
#include "spare/slots.h"
#include "spare/state.h"

struct replay {
  struct spare *s;
  struct message *message;
  struct page_reader reader;
  struct log_limits limits;
  struct notes notes;           /* if a history is to be kept */
  uint32_t pos;                 /* the page that is looked at */
  const uint8_t *page;
  bool good;                    /* it is intact, INFO says what it is */
  struct log_page info;

  /* The checkpoint's entries: attributes; then, ascending, retired slots, and
   * sectors.
   */
  bool in_retired;
  bool in_map;
  uint64_t end;
};

static uint64_t
page_offset (const struct replay *r, uint32_t pos)
{
  return log_page_offset (r->reader.area, pos);
}

static int
damaged (struct replay *r, uint32_t pos, const char *what)
{
  message_set (r->message, "the spare's log is damaged: page %" PRIu32
               " of area %" PRIu32 " (byte offset %" PRIu64 "): %s: restore "
               "the spare from a copy", pos, r->s->hdr.active,
               page_offset (r, pos), what);
  return EINVAL;
}

static int
out_of_memory (struct replay *r)
{
  message_set (r->message, "out of memory while reading the spare's log");
  return ENOMEM;
}

static int
look (struct replay *r, uint32_t pos)
{
  int err = page_reader_get (&r->reader, pos, &r->page);

  r->pos = pos;
  r->good = false;
  if (err) {
    message_set (r->message, "page %" PRIu32 " of the spare's log (byte "
                 "offset %" PRIu64 ") can't be read: %s", pos,
                 page_offset (r, pos), strerror (err));
    return EIO;
  }
  r->good = log_page_decode (r->page, &r->s->hdr, pos, &r->info);
  return 0;
}

/* True if the page is good, and number INDEX of that commit. */
static bool
belongs (const struct replay *r, const struct log_page *first, uint32_t index)
{
  return r->good && r->info.number == first->number &&
         r->info.nonce == first->nonce && r->info.total == first->total &&
         r->info.index == index;
}

static int
check_page (struct replay *r)
{
  const char *wrong = log_page_check (r->page, &r->info, &r->limits);

  if (wrong)
    return damaged (r, r->pos, wrong);
  if (r->notes.sectors != NULL && notes_add_page (&r->notes, r->page,
                                                  &r->info) != 0)
    return out_of_memory (r);
  return 0;
}

static struct run
entry_run (const struct log_entry *e)
{
  return change_run (e->kind, e->sector, e->slot, e->count);
}

static int
load_attribute (struct replay *r, unsigned i)
{
  struct attribute a;
  const char *wrong;
  int err;

  log_page_get_attribute (r->page, i, &a);
  wrong = attributes_load (r->s, &a, &err);
  if (err == ENOTSUP)
    message_set (r->message, "the spare has %s ('%s'): use the program that "
                 "made it", wrong, a.tag);
  return err == EINVAL ? damaged (r, r->pos, wrong)
    : err == ENOMEM ? out_of_memory (r) : err;
}

/* Marks the slots of a REMAPPED run as used. */
static int
use_slots (struct replay *r, const struct run *run)
{
  char text[160];

  if (run->state != REMAPPED || slots_mark (r->s, run->slot, run->count))
    return 0;
  snprintf (text, sizeof text, "sectors from %" PRIu64 " on are mapped to "
            "slots from %" PRIu64 " on, but one of these is in use already",
            run->start, run->slot);
  return damaged (r, r->pos, text);
}

/* Frees the slots that the sectors of a run have had so far. */
static void
release_slots (struct replay *r, const struct run *new)
{
  const sector_t end = run_end_sector (new);
  sector_t i = new->start;
  struct run run;

  for (; i < end && map_update_next (r->s->map, i, &run) && run.start < end;
       i = run_end_sector (&run)) {
    const struct run part = run_clip (&run, new->start, end);

    if (part.state == REMAPPED)
      slots_free (r->s, part.slot, part.count);
  }
}

/* Puts an entry of the tail into the map. */
static int
apply_entry (struct replay *r, const struct log_entry *e)
{
  const struct run run = entry_run (e);
  int err;

  if (e->kind == CHANGE_RETIRE)
    return map_set (r->s->retired, &run) ? out_of_memory (r) : 0;
  release_slots (r, &run);
  err = use_slots (r, &run);
  if (err)
    return err;
  return map_set (r->s->map, &run) ? out_of_memory (r) : 0;
}

static int
load_page (struct replay *r)
{
  struct log_entry e;
  struct run run;
  unsigned i;
  int err;

  err = check_page (r);
  if (err)
    return err;
  for (i = 0; i < r->info.count; i = log_page_next (i, &e)) {
    log_page_get (r->page, i, &e);
    if (e.kind == CHANGE_ATTRIBUTE) {
      if (r->in_map || r->in_retired)
        return damaged (r, r->pos, "an attribute behind the states");
      err = load_attribute (r, i);
      if (err)
        return err;
      continue;
    }
    r->in_retired = true;
    if (e.kind != CHANGE_RETIRE && !r->in_map) {
      r->in_map = true;
      r->end = 0;
    }
    run = entry_run (&e);
    if (e.kind == CHANGE_DIRECT || (e.kind == CHANGE_RETIRE && r->in_map) ||
        run.start < r->end)
      return damaged (r, r->pos, "entries of the checkpoint out of order");
    r->end = run_end_sector (&run);
    err = map_load (r->in_map ? r->s->map : r->s->retired, &run);
    if (err)
      return err == ENOMEM ? out_of_memory (r)
        : damaged (r, r->pos, "an entry that can't be loaded");
    if (r->in_map) {
      err = use_slots (r, &run);
      if (err)
        return err;
    }
  }
  return 0;
}

static int
load_checkpoint (struct replay *r)
{
  struct spare *s = r->s;
  struct log_page first = {
    .number = s->hdr.checkpoint_commit, .total = s->hdr.checkpoint_pages,
  };
  uint32_t i;
  int err;

  for (i = 0; i < s->hdr.checkpoint_pages; i++) {
    err = look (r, i);
    if (err)
      return err;
    if (i == 0)
      first.nonce = r->info.nonce;
    if (!belongs (r, &first, i))
      return damaged (r, i, "it isn't the page of the checkpoint that the "
                      "header says");
    err = load_page (r);
    if (err)
      return err;
  }
  memcpy (s->counters, r->info.counters, sizeof s->counters);
  if (map_load_end (s->retired) || map_load_end (s->map))
    return out_of_memory (r);
  s->number = first.number;
  s->bound_then = state_pages_at_most (s);
  s->pos = i;
  return 0;
}

/* Looks whether a complete commit begins at the present position. */
static int
find_commit (struct replay *r, bool *complete)
{
  struct spare *s = r->s;
  struct log_page first;
  uint32_t i;
  int err;

  *complete = false;
  if (s->pos == s->hdr.high_water)
    return 0;
  err = look (r, s->pos);
  if (err)
    return err;
  first = r->info;
  first.number = s->number + 1;
  if (!belongs (r, &first, 0) || first.total < 1 ||
      first.total > s->hdr.high_water - s->pos)
    return 0;
  for (i = 1; i < first.total; i++) {
    err = look (r, s->pos + i);
    if (err)
      return err;
    if (!belongs (r, &first, i))
      return 0;
  }
  *complete = true;
  return 0;
}

static int
apply_commit (struct replay *r)
{
  struct spare *s = r->s;
  uint32_t i = 0, total = 1;
  struct log_page first;
  struct log_entry e;
  unsigned j;
  int err;

  for (; i < total; i++) {
    err = look (r, s->pos + i);
    if (err)
      return err;
    if (i == 0) {
      first = r->info;
      total = first.total;
    }
    /* Unless somebody is writing to the spare right now. */
    if (!belongs (r, &first, i))
      return damaged (r, r->pos, "it changed while it was read");
    err = check_page (r);
    if (err)
      return err;
    for (j = 0; j < r->info.count; j = log_page_next (j, &e)) {
      log_page_get (r->page, j, &e);
      err = e.kind == CHANGE_ATTRIBUTE ? load_attribute (r, j)
        : apply_entry (r, &e);
      if (err)
        return err;
    }
  }
  memcpy (s->counters, r->info.counters, sizeof s->counters);
  s->number++;
  s->pos += total;
  return 0;
}

/* The log has ended: is there anything that says that it goes on? */
static int
check_end (struct replay *r)
{
  struct spare *s = r->s;
  char text[160];
  uint32_t i;
  int err;

  for (i = s->pos; i < s->hdr.high_water; i++) {
    err = look (r, i);
    if (err)
      return err;
    if (r->good && r->info.number > s->number + 1) {
      snprintf (text, sizeof text, "commit %" PRIu64 " is missing or "
                "damaged here, but commit %" PRIu64 " follows on page %"
                PRIu32, s->number + 1, r->info.number, i);
      return damaged (r, s->pos, text);
    }
  }
  if (s->number < s->hdr.commit_floor) {
    snprintf (text, sizeof text, "commit %" PRIu64 " is missing or damaged "
              "here, but the header says that commit %" PRIu64
              " was written", s->number + 1, s->hdr.commit_floor);
    return damaged (r, s->pos, text);
  }
  return 0;
}

static int
replay_tail (struct replay *r)
{
  struct spare *s = r->s;
  bool complete;
  int err;

  /* One update for all: nobody looks at the map before the end. */
  map_begin (s->map);
  map_begin (s->retired);
  do {
    err = find_commit (r, &complete);
    if (err == 0 && complete)
      err = apply_commit (r);
  } while (err == 0 && complete);
  if (err) {
    map_abort (s->map);
    map_abort (s->retired);
    return err;
  }
  map_publish (s->map);
  map_publish (s->retired);
  return check_end (r);
}

static int
keep_history (struct replay *r)
{
  if (!r->s->env.keep_history)
    return 0;
  if (notes_init (&r->notes, false) != 0)
    return out_of_memory (r);
  notes_begin (&r->notes);
  return 0;
}

static void
end_history (struct replay *r, bool good)
{
  if (good) {
    notes_end (&r->notes);
    r->s->history = r->notes.sectors;
    return;
  }
  notes_abort (&r->notes);
  notes_free (&r->notes);
}

int
log_replay (struct spare *s, struct message *message)
{
  struct replay r = {
    .s = s, .message = message, .limits = log_limits_of (&s->hdr),
  };
  int err;

  if (page_reader_init (&r.reader, s->dev, &s->hdr.area[s->hdr.active],
                        s->hdr.high_water))
    return out_of_memory (&r);
  err = keep_history (&r);
  if (err == 0)
    err = load_checkpoint (&r);
  if (err == 0)
    err = replay_tail (&r);
  if (r.notes.sectors != NULL)
    end_history (&r, err == 0);
  page_reader_free (&r.reader);
  return err;
}
