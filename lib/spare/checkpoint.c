/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Checkpoints: the whole state, written anew into the other log area.  The log
 * that it replaces stays as it is until a header names the new one (promise 15
 * of remap-promises(7)).
 *
 * When one is due follows the state, and not the area, so that what a start
 * has to read does.  A log of three times the state costs the one who opens
 * it three times the least, and two thirds of all that is written are commits.
 * A small log isn't worth the flushes.  Near the end of an area, which a
 * small spare comes to first, one is begun while there is room for the
 * commits that are made meanwhile.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/checkpoint.h"
#include "spare/errors.h"
#include "spare/header.h"
#include "spare/leader.h"
#include "spare/pages.h"
#include "spare/pieces.h"
#include "spare/room.h"
#include "spare/state.h"

/* After one that went wrong so many pages are written before the next. */
#define PAUSE 64U

/* How long the log may become: what it had at the last checkpoint, with
 * reasons and times, in proportion to the state that there is now.
 */
static uint64_t
length_due (const struct spare *s)
{
  const uint64_t now = state_pages_at_most (s) * s->hdr.checkpoint_pages;

  return 3 * div_up (now, s->bound_then) + s->due_after;
}

static bool
is_due (const struct spare *s)
{
  const struct log_area *area = &s->hdr.area[s->hdr.active];
  const uint64_t pages = s->room_short ? room_area (s, s->hdr.active).pages
                                       : area->pages;
  const uint64_t since = s->pos - s->hdr.checkpoint_pages;

  /* At the very end there is no room for commits meanwhile. */
  if (since == 0 || s->pos < s->not_before || s->pos >= pages)
    return false;
  return s->pos >= length_due (s) ||
         (s->pos >= pages - pages / 8 && since >= pages / 16);
}

/* Into the area that isn't active. */
static void
into_other_area (struct spare *s, struct checkpoint *c)
{
  /* Without storage for all of it there still is the reserve. */
  room_for_high_water (s, max_u64 (state_pages_at_most (s) + c->remain,
                                   s->hdr.high_water));
  c->index = s->hdr.active ^ 1;
  c->area = room_area (s, c->index);
  c->remain = max_u64 (c->remain, c->area.pages / 64);
}

static int
begin (struct spare *s)
{
  struct checkpoint *c = calloc (1, sizeof *c);

  if (c == NULL)
    return ENOMEM;
  c->s = s;
  c->piece = s->piece;
  c->remain = 1;
  into_other_area (s, c);
  if (state_pages_at_most (s) + c->remain > c->area.pages) {
    free (c);
    return ENOSPC;
  }
  s->checkpoint = c;
  return 0;
}

/* What the header says of the log when this checkpoint is active.  LAST: the
 * number of the last commit.
 */
static void
fill_header (const struct checkpoint *c, uint64_t last, struct header *h)
{
  h->active = c->index;
  h->generation = c->s->hdr.generation + 1;
  h->checkpoint_commit = c->number;
  h->checkpoint_pages = c->total;
  h->high_water = min_u64 (pieces_end (c) + HIGH_WATER_STEP, c->area.pages);
  h->commit_floor = last;
  c->s->new_pos = pieces_end (c);
}

/* The last page, and a flush: then it is durable. */
static int
seal (struct checkpoint *c)
{
  struct spare *s = c->s;
  int err = 0;

  if (s->pos != c->pin_pos) {
    memset (c->window, 0, SPARE_PAGE);
    err = device_pwrite (s->dev, c->window, SPARE_PAGE,
                         log_page_offset (&c->area, pieces_end (c)));
  }
  return err ? err : spare_flush_device (s);
}

static int
write_all (struct checkpoint *c)
{
  int err = 0;

  while (err == 0 && c->stage != PIECES_DONE)
    err = pieces_step (c);
  return err ? err : seal (c);
}

/* Makes it active.  The high water may rise by that, and the reserve is beyond
 * it; without storage for that there is what there is.
 */
static int
switch_to (const struct checkpoint *c, uint64_t last)
{
  struct header h = c->s->hdr;

  fill_header (c, last, &h);
  room_for_high_water (c->s, h.high_water);
  return header_write (c->s, &h);
}

/* An error of writing to the log means that the spare has failed. */
static int
sticky (struct spare *s, int err)
{
  err = spare_error (err);
  spare_new_nonce (s);
  if (err == EIO)
    spare_set_failed (s);
  return err;
}

/* The open one is complete. */
static int
finish (struct spare *s)
{
  int err = seal (s->checkpoint);

  if (err == 0)
    err = header_repair (s);
  if (err == 0)
    err = switch_to (s->checkpoint, s->number);
  if (err == 0)
    checkpoint_adopt (s);
  return err;
}

void
checkpoint_drop (struct spare *s)
{
  struct checkpoint *c = s->checkpoint;

  if (c == NULL)
    return;
  pieces_free (c);
  free (c);
  s->checkpoint = NULL;
}

/* What was written may look like the log's next page. */
static void
give_up_elsewhere (struct spare *s)
{
  checkpoint_drop (s);
  spare_new_nonce (s);
}

int
checkpoint_begin_elsewhere (struct spare *s, const struct log_area *area,
                            unsigned index)
{
  struct checkpoint *c = calloc (1, sizeof *c);

  if (c == NULL)
    return ENOMEM;
  checkpoint_drop (s);
  c->s = s;
  c->piece = s->piece;
  c->index = index;
  c->area = *area;
  c->remain = max_u64 (1, area->pages / 64);
  c->elsewhere = true;
  s->checkpoint = c;
  return 0;
}

int
checkpoint_step_elsewhere (struct spare *s, bool *done)
{
  struct checkpoint *c = s->checkpoint;
  int err = 0;

  if (c == NULL || !c->elsewhere)
    return EAGAIN;
  if (c->stage != PIECES_DONE)
    err = pieces_step (c);
  *done = err == 0 && c->stage == PIECES_DONE;
  if (err)
    give_up_elsewhere (s);
  return spare_error (err);
}

int
checkpoint_finish_elsewhere (struct spare *s, struct header *h)
{
  struct checkpoint *c = s->checkpoint;
  int err = seal (c);

  if (err) {
    give_up_elsewhere (s);
    return spare_error (err);
  }
  fill_header (c, s->number, h);
  checkpoint_drop (s);
  return 0;
}

void
checkpoint_step (struct spare *s)
{
  bool done = false;
  int err = 0;

  if (s->checkpoint != NULL && s->checkpoint->elsewhere) {
    checkpoint_step_elsewhere (s, &done);
    return;
  }
  if (s->checkpoint == NULL) {
    if (!is_due (s))
      return;
    err = begin (s);
  }
  if (err == 0)
    err = pieces_step (s->checkpoint);
  if (err == 0 && s->checkpoint->stage == PIECES_DONE) {
    err = finish (s);
    done = true;
  }
  /* A page of the log that can't be read is no reason to stop. */
  if (err != 0 && err != ENODATA)
    sticky (s, err);
  if (err != 0)
    s->not_before = s->pos + PAUSE;
  if (err != 0 || done)
    checkpoint_drop (s);
}

int
checkpoint_mirror (struct spare *s, void *pages, uint32_t n)
{
  struct checkpoint *c = s->checkpoint;
  int err;

  if (c == NULL)
    return 0;
  if (pieces_end (c) + n + 1 > c->area.pages && !c->elsewhere) {
    room_reach (s, &s->hdr.area[c->index], &s->room[c->index],
                pieces_end (c) + n + 1);
    c->area = room_area (s, c->index);
  }
  err = pieces_mirror (c, pages, n);
  if (err == 0)
    return 0;
  if (c->elsewhere) {
    give_up_elsewhere (s);
    return 0;
  }
  checkpoint_drop (s);
  s->not_before = s->pos + PAUSE;
  return err == ENODATA || is_space_error (err) ? 0 : EIO;
}

void
checkpoint_adopt (struct spare *s)
{
  s->bound_then = state_pages_at_most (s);
  s->not_before = 0;
  atomic_fetch_add (&s->checkpoints, 1);
}

int
log_checkpoint (struct spare *s, uint64_t need)
{
  struct checkpoint c = { .s = s, .piece = WINDOW_PAGES, .remain = need };
  int err;

  checkpoint_drop (s);
  err = header_repair (s);
  if (err)
    return err;
  into_other_area (s, &c);
  /* Not even the plain runs fit: say so before anything is read. */
  if (state_pages_at_most (s) + c.remain > c.area.pages &&
      state_pages (state_entries (s, STATE_NOW)) + c.remain > c.area.pages)
    return ENOSPC;
  err = write_all (&c);
  err = err ? sticky (s, err) : switch_to (&c, s->number);
  pieces_free (&c);
  if (err == 0)
    checkpoint_adopt (s);
  return err;
}

uint64_t
log_capacity (const struct spare *s)
{
  const uint64_t pages = min_u64 (room_area (s, 0).pages,
                                  room_area (s, 1).pages);

  return (max_u64 (pages, 1) - 1) * ENTRIES_PER_PAGE;
}

bool
log_can_hold_update (const struct spare *s, const struct attribute_sum *sum,
                     uint64_t reserved, bool is_full)
{
  const uint64_t entries = state_entries (s, STATE_UPDATE) +
    carried_entries_at_most (s->nattributes + sum->n,
                             s->attribute_bytes + sum->bytes);

  return (!is_full && entries + reserved <= log_capacity (s)) ||
         entries <= state_entries (s, STATE_NOW) +
    carried_entries_at_most (s->nattributes, s->attribute_bytes);
}

void
checkpoint_at_start (struct spare *s)
{
  if (s->pos / 4 > length_due (s))
    log_checkpoint (s, 1);
}

int
checkpoint_of_update (struct spare *s, const void *pages, uint32_t n,
                      const uint64_t *counters, bool *in_doubt)
{
  struct checkpoint c = {
    .s = s, .piece = WINDOW_PAGES, .index = s->hdr.active ^ 1, .remain = 1,
    .of_update = true, .update = pages, .update_pages = n,
  };
  int err;

  *in_doubt = false;
  checkpoint_drop (s);
  c.area = room_area (s, c.index);
  memcpy (c.counters, counters, sizeof c.counters);
  err = write_all (&c);
  if (err)
    err = sticky (s, err);
  else {
    err = switch_to (&c, c.number);
    *in_doubt = err == EIO;
  }
  pieces_free (&c);
  return err;
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
