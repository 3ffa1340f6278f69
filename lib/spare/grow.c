/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Growth of an open spare.
 *
 * Slots are appended.  When the log areas would be too small for so many
 * slots, two larger ones are placed at the beginning of the new space and
 * a checkpoint goes into the first of them; the new header is then what
 * makes all of it valid, in one step.  The checkpoint is written in pieces,
 * between which others lead: they may commit, and what they commit is written
 * behind it as well.  One that needs a checkpoint of its own takes the
 * place of this one, and the growth is planned anew.  Before anything is
 * written into the new space the header claims it, so that after a crash it is
 * known that what lies there is the spare's own (promise 15 of
 * remap-promises(7)).
 *
 * The interface, spare_grow, is in spare.h.
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
#include "spare/layout.h"
#include "spare/leader.h"
#include "spare/room.h"
#include "spare/slots.h"
#include "spare/state.h"

/* A checkpoint that commits leave no time for is written at once in the end. */
#define MAX_ATTEMPTS 3

/* Entries of the log that don't go with a slot. */
static uint64_t
count_others (struct spare *s)
{
  struct run run;
  uint64_t i, n = 0;

  for (i = 0; map_next (s->map, i, &run); i = run_end_sector (&run)) {
    if (run.state != REMAPPED)
      n += log_entries_for (run.count);
  }
  return n;
}

/* Appends all space from OFFSET on as slots. */
static int
append_slots (struct header *h, uint64_t offset, struct message *message)
{
  struct slot_segment *last = &h->segment[h->nsegments-1];
  const uint64_t end = last->offset + last->nslots * SECTOR_SIZE;

  if (offset - end < SECTOR_SIZE) {
    last->nslots = (h->size - last->offset) / SECTOR_SIZE;
    return 0;
  }
  if (offset >= h->size || h->size - offset < SECTOR_SIZE)
    return 0;
  if (h->nsegments == MAX_SEGMENTS) {
    message_set (message, "the spare has grown too often (%u segments): "
                 "make a new one", MAX_SEGMENTS);
    return ENOSPC;
  }
  offset = round_up (offset, SECTOR_SIZE);
  h->segment[h->nsegments].offset = offset;
  h->segment[h->nsegments].nslots = (h->size - offset) / SECTOR_SIZE;
  h->nsegments++;
  return 0;
}

/* Places two new areas in front of the new slots, the smallest pair that
 * suffices.  False if there's no room for them.
 */
static bool
place_areas (struct header *h, uint64_t old_size, uint64_t old_slots,
             uint64_t others)
{
  const uint64_t start = round_up (old_size, SPARE_PAGE);
  uint64_t low = 16, high, max, mid, nslots;

  if (start >= h->size)
    return false;
  max = high = (h->size - start) / (2 * SPARE_PAGE);
  while (low < high) {
    mid = low + (high - low) / 2;
    nslots = old_slots + (h->size - start - 2 * mid * SPARE_PAGE) /
      SECTOR_SIZE;
    if (mid >= area_pages_for (nslots, others))
      high = mid;
    else
      low = mid + 1;
  }
  nslots = old_slots + (h->size - start - 2 * low * SPARE_PAGE) / SECTOR_SIZE;
  if (low > max || low < area_pages_for (nslots, others) || low > UINT32_MAX)
    return false;
  h->area[0].offset = start;
  h->area[0].pages = low;
  h->area[1].offset = start + low * SPARE_PAGE;
  h->area[1].pages = low;
  return true;
}

/* Decides how the spare looks after it has grown.  MOVED: the areas will
 * be elsewhere.
 */
static int
plan (struct spare *s, uint64_t new_size, struct header *h, bool *moved,
      struct message *message)
{
  const uint64_t old_slots = header_slots (&s->hdr);
  const uint64_t others = count_others (s);
  const uint64_t pages = min_u64 (s->hdr.area[0].pages, s->hdr.area[1].pages);
  int err;

  *h = s->hdr;
  *moved = false;
  h->size = new_size;
  h->claimed = max_u64 (h->claimed, new_size);
  err = append_slots (h, s->hdr.size, message);
  if (err)
    return err;
  if (area_pages_least (header_slots (h), others, 8) <= pages)
    return 0;

  /* Small steps of a small spare may have no room for new areas.  Slots that
   * no record can be made of would be of no use.
   */
  const struct header simple = *h;
  const bool simple_ok =
    area_pages_least (header_slots (h), others, 2) <= pages;
  *h = s->hdr;
  h->size = new_size;
  h->claimed = simple.claimed;
  if (place_areas (h, s->hdr.size, old_slots, others)) {
    *moved = true;
    return append_slots (h, h->area[1].offset +
                         h->area[1].pages * SPARE_PAGE, message);
  }
  if (!simple_ok) {
    message_set (message, "growing the spare from %" PRIu64 " to %" PRIu64
                 " bytes leaves no room for its log: enlarge it more",
                 s->hdr.size, new_size);
    return ENOSPC;
  }
  *h = simple;
  return 0;
}

/* What doesn't change by the growth may have changed since it was planned. */
static void
renew_plan (const struct spare *s, struct header *h)
{
  struct header now = s->hdr;

  now.size = h->size;
  now.claimed = h->claimed;
  memcpy (now.area, h->area, sizeof now.area);
  memcpy (now.segment, h->segment, sizeof now.segment);
  now.nsegments = h->nsegments;
  *h = now;
}

/* Writes the state to PLACE while others commit; the LAST time nobody does, so
 * that it comes to an end.
 */
static int
write_state (struct spare *s, const struct log_area *place, bool last)
{
  bool done = false;
  int err = checkpoint_begin_elsewhere (s, place, 0);

  while (err == 0 && !done) {
    if (!last)
      spare_give_way (s);
    err = atomic_load (&s->failed) ? EIO
      : checkpoint_step_elsewhere (s, &done);
  }
  return err;
}

/* ROOM: pages of the new areas with storage.  EAGAIN: to be planned anew. */
static int
move_areas (struct spare *s, struct header *h, uint64_t room[2], bool last)
{
  const uint64_t high = state_pages_at_most (s) + HIGH_WATER_STEP;
  struct header claim = s->hdr;
  struct log_area place = h->area[0];
  int err = 0;

  for (unsigned i = 0; i < 2 && err == 0; i++)
    err = room_reach (s, &h->area[i], &room[i], high + ROOM_RESERVE);
  if (err)
    return err;
  place.pages = room[0];
  claim.claimed = h->claimed;
  err = header_write (s, &claim);
  if (err == 0)
    err = header_repair (s);
  if (err == 0)
    err = write_state (s, &place, last);
  if (err)
    return err;
  renew_plan (s, h);
  return checkpoint_finish_elsewhere (s, h);
}

static int
grow (struct spare *s, uint64_t new_size, bool last, struct message *message)
{
  uint64_t room[2] = { 0, 0 };
  struct geometry *g;
  struct header h;
  bool moved;
  int err;

  /* It may be of areas that are given up. */
  checkpoint_drop (s);
  err = plan (s, new_size, &h, &moved, message);
  if (err)
    return err;
  err = header_repair (s);
  if (err)
    return err;
  g = spare_new_geometry (&h);
  if (g == NULL)
    return ENOMEM;
  err = slots_reserve_bitmap (s, g->nslots);
  if (err == 0 && moved)
    err = move_areas (s, &h, room, last);
  if (err == 0)
    err = header_write (s, &h);
  if (err) {
    free (g);
    return err;
  }
  if (moved) {
    memcpy (s->room, room, sizeof s->room);
    /* With reasons and times the checkpoint may be longer than the state. */
    room_for_high_water (s, s->hdr.high_water);
    checkpoint_adopt (s);
  }
  g->older = atomic_load (&s->geometry);
  atomic_store (&s->geometry, g);
  slots_grown (s, g->nslots);
  return 0;
}

/* As spare_lead, but also waits for another growth, in which others lead. */
static void
lead_growth (struct spare *s)
{
  pthread_mutex_lock (&s->lock);
  while (s->busy || s->growing)
    pthread_cond_wait (&s->cond, &s->lock);
  s->busy = s->growing = true;
  pthread_mutex_unlock (&s->lock);
}

int
spare_grow (struct spare *s, uint64_t new_size, struct message *message)
{
  int err = EAGAIN;

  message_set (message, "%s", "");
  if (s->read_only)
    return EROFS;
  lead_growth (s);
  if (new_size < s->hdr.size || new_size > INT64_MAX ||
      new_size / SECTOR_SIZE >= MAP_MAX_SLOT) {
    message_set (message, "the spare can't be made %" PRIu64 " bytes large: "
                 "it has %" PRIu64, new_size, s->hdr.size);
    err = EINVAL;
  }
  else if (atomic_load (&s->failed))
    err = EIO;
  else if (new_size == s->hdr.size)
    err = 0;
  else
    for (unsigned i = 1; err == EAGAIN && i <= MAX_ATTEMPTS; i++)
      err = grow (s, new_size, i == MAX_ATTEMPTS, message);
  pthread_mutex_lock (&s->lock);
  s->growing = false;
  pthread_mutex_unlock (&s->lock);
  spare_unlead (s);

  if (err && message != NULL && message->text[0] == 0)
    message_set (message, "growing the spare to %" PRIu64 " bytes failed: %s",
                 new_size, strerror (err));
  return err == EINVAL ? err : spare_error (err);
}
