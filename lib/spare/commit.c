/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Commits.
 *
 * Threads that commit queue up.  One of them becomes the leader and makes
 * everything that is in the queue by then durable, in one commit with one
 * flush; the others wait, and usually find that it has been done for them.
 *
 * The order, on which recovery rests (promises 13 and 15 of
 * remap-promises(7)): slot contents are durable before the record that
 * refers to them is written; the record is durable before the map shows
 * it; and only then are the slots that it replaced free again (promises 1
 * and 8).  If a record finds no room, nothing has changed (promise 18).
 *
 * The interface, spare_commit, is in spare.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/batch.h"
#include "spare/checkpoint.h"
#include "spare/errors.h"
#include "spare/features.h"
#include "spare/header.h"
#include "spare/leader.h"
#include "spare/ownership.h"
#include "spare/pages.h"
#include "spare/reserve.h"
#include "spare/room.h"
#include "spare/sample.h"
#include "spare/slots.h"
#include "spare/state.h"

static const struct log_area *
active_area (const struct spare *s)
{
  return &s->hdr.area[s->hdr.active];
}

static bool
change_ok (const struct spare *s, const struct change *c)
{
  const uint64_t sectors = bytes_to_sectors (s->id.main_size);
  const uint64_t nslots = spare_geometry (s)->nslots;

  if (c->kind == CHANGE_ATTRIBUTE)
    return c->attribute != NULL &&
      sample_problem (c->attribute, s->id.main_size) == NULL;
  if (c->kind > CHANGE_WRITTEN || c->reason > WHY_LAST || c->count == 0)
    return false;
  if (change_has_sector (c->kind) &&
      (c->sector > sectors || c->count > sectors - c->sector))
    return false;
  return !change_has_slot (c->kind) ||
         (c->slot <= nslots && c->count <= nslots - c->slot);
}

/* Makes sure that the headers say that these pages may be written, and what
 * features they use, and that the slots' contents are durable.
 */
static int
prepare_headers_and_slots (struct batch *b)
{
  struct spare *s = b->s;
  struct header h = s->hdr;
  const uint64_t high = b->whole ? 0 : (uint64_t) s->pos + b->pages;
  int err;

  err = header_repair (s);
  if (err)
    return err;
  if (high > h.high_water || (b->features & ~h.incompat) != 0) {
    if (high > h.high_water)
      h.high_water = min_u64 (round_up (high, HIGH_WATER_STEP),
                              room_area (s, h.active).pages);
    h.incompat |= b->features;
    features_name (&h.names, b->features);
    h.commit_floor = s->number;
    err = header_write_both (s, &h);
    if (err)
      return err;
  }
  return spare_flush (s);
}

/* A commit that failed for want of room may be on the disk in part, or
 * even whole: it must not come back after a crash, since its slots are
 * going to be used for something else.  Makes its first page invalid.
 */
static int
forget (struct batch *b)
{
  struct spare *s = b->s;
  const uint64_t offset = log_page_offset (active_area (s), s->pos);
  struct log_page info;
  int err;

  memset (b->buf, 0, SPARE_PAGE);
  err = device_pwrite (s->dev, b->buf, SPARE_PAGE, offset);
  if (err == 0)
    return spare_flush_device (s);

  /* No room for this page: then it can't have been written before. */
  if (is_space_error (err) &&
      device_pread (s->dev, b->buf, SPARE_PAGE, offset) == 0 &&
      (!log_page_decode (b->buf, &s->hdr, s->pos, &info) ||
       info.number <= s->number))
    return 0;
  return EIO;
}

/* Writes the pages.  On return IN_DOUBT says whether the commit may be on
 * the disk although this failed.
 */
static int
write_commit (struct batch *b, bool *in_doubt)
{
  struct spare *s = b->s;
  const struct log_area *area = active_area (s);
  uint32_t i, n;
  int err = 0;

  *in_doubt = false;
  if ((b->whole || b->tight) &&
      !log_can_hold_update (s, &b->attributes,
                            atomic_load (&s->reserved) - b->reserved,
                            b->whole))
    return ENOSPC;
  err = prepare_headers_and_slots (b);
  if (err)
    return err;
  if (b->whole)
    return checkpoint_of_update (s, b->buf, b->pages, b->counters, in_doubt);

  for (i = 0; i < b->pages && err == 0; i += n) {
    n = min_u64 (b->pages - i, WINDOW_PAGES);
    err = device_pwrite (s->dev, b->buf + (size_t) i * SPARE_PAGE,
                         n * SPARE_PAGE,
                         log_page_offset (area, (uint64_t) s->pos + i));
  }
  if (err == 0) {
    err = checkpoint_mirror (s, b->buf, b->pages);
    if (err)
      spare_set_failed (s);
  }
  if (err == 0) {
    err = spare_flush_device (s);
    *in_doubt = err != 0;
    return err;
  }
  if (is_space_error (err) && forget (b) == 0)
    return ENOSPC;
  *in_doubt = true;
  spare_set_failed (s);
  return EIO;
}

static void
publish (struct batch *b)
{
  struct spare *s = b->s;

  /* In this order: a reader that sees it in the map finds it in the log. */
  pthread_mutex_lock (&s->lock);
  memcpy (s->counters, b->counters, sizeof s->counters);
  if (!b->whole)
    s->pos += b->pages;
  s->number++;
  batch_publish_attributes (b);
  pthread_mutex_unlock (&s->lock);

  map_publish (s->map);
  map_publish (s->retired);
  if (b->whole)
    checkpoint_adopt (s);
  atomic_fetch_add (&s->commits, 1);
  atomic_fetch_add (&s->changes, b->changes);

  pthread_mutex_lock (&s->alloc_lock);
  s->nretired += b->retired;
  pthread_mutex_unlock (&s->alloc_lock);
  batch_free_released (b);
}

static int
commit_batch (struct batch *b, bool *in_doubt)
{
  struct spare *s = b->s;
  int err;

  err = batch_build (b);
  if (err == 0) {
    err = write_commit (b, in_doubt);
    if (err) {
      map_abort (s->map);
      map_abort (s->retired);
    }
    else
      publish (b);
  }
  if (err)
    spare_new_nonce (s);
  batch_free (b);
  return err;
}

/* Chooses a batch that fits behind the log's end.  Before the high water has
 * to rise, storage is allocated for it and for a new reserve; where there is
 * none, the old reserve is used.
 */
static void
choose_for_area (struct batch *b)
{
  struct spare *s = b->s;
  uint64_t state = state_entries_at_most (s);
  uint64_t high, capacity;

  batch_look (b);
  state += reserve_limit (s, batch_growth (max_u64 (b->need, BATCH_PAGES)));
  high = s->pos + b->need;
  /* Storage may be all that the state lacks. */
  if (state + batch_growth (b->need) > log_capacity (s))
    high = max_u64 (high, state_pages (state + batch_growth (b->need)));
  if (high > s->hdr.high_water || s->room_short)
    room_for_high_water (s, max_u64 (round_up (high, HIGH_WATER_STEP),
                                     s->hdr.high_water));
  capacity = log_capacity (s);
  batch_choose (b, room_area (s, s->hdr.active).pages - s->pos,
                capacity - min_u64 (state, capacity));
}

/* Takes from the queue what comes next.  Where the log has no room for it, not
 * even after a checkpoint, there still is another way.
 */
static int
choose (struct batch *b)
{
  int err = 0;

  choose_for_area (b);
  if (b->first == NULL) {
    err = log_checkpoint (b->s, b->need);
    if (err == 0)
      choose_for_area (b);
  }
  if (b->first == NULL && (err == 0 || err == ENOSPC)) {
    batch_choose_whole (b);
    err = 0;
  }
  return err;
}

static bool
is_low (struct spare *s)
{
  const uint64_t log = s->hdr.area[s->hdr.active].pages * ENTRIES_PER_PAGE;
  bool few;

  pthread_mutex_lock (&s->alloc_lock);
  few = s->nfree + s->nkept < s->nslots / 8;
  pthread_mutex_unlock (&s->alloc_lock);
  return few || state_entries_at_most (s) > log / 4 * 3;
}

/* The leader's turn: one commit.  Something is in the queue. */
static void
lead_commit (struct spare *s)
{
  struct batch b = { .s = s };
  struct waiter *w, *next;
  bool in_doubt = false;
  int err = 0;

  if (!atomic_load (&s->failed) && ownership_is_ours (s) &&
      ownership_log_is_ours (s))
    checkpoint_step (s);
  err = atomic_load (&s->failed) ? EIO : choose (&b);
  if (err == 0)
    err = commit_batch (&b, &in_doubt);
  reserve_limit (s, 0);
  if (s->env.low != NULL && (err == 0 || err == ENOSPC) && is_low (s))
    s->env.low (s->env.opaque);

  pthread_mutex_lock (&s->lock);
  /* Without a batch it concerns the first one alone. */
  if (b.first == NULL)
    b.first = take_waiters (s, s->queue);
  for (w = b.first; w != NULL; w = next) {
    next = w->next;
    w->err = err;
    w->list->in_doubt = in_doubt;
    w->done = true;
  }
  pthread_mutex_unlock (&s->lock);
}

static int
commit_queued (struct spare *s, struct waiter *w)
{
  pthread_mutex_lock (&s->lock);
  *s->queue_end = w;
  s->queue_end = &w->next;
  while (!w->done) {
    if (s->busy) {
      pthread_cond_wait (&s->cond, &s->lock);
      continue;
    }
    s->busy = true;
    pthread_mutex_unlock (&s->lock);
    lead_commit (s);
    pthread_mutex_lock (&s->lock);
    s->busy = false;
    s->turns++;
    pthread_cond_broadcast (&s->cond);
  }
  pthread_mutex_unlock (&s->lock);
  return w->err;
}

int
spare_advance (struct spare *s)
{
  struct change_list none = { 0 };
  struct waiter w = { .list = &none };

  return s->read_only ? EROFS : commit_queued (s, &w);
}

int
spare_commit (struct spare *s, struct change_list *list,
              const uint64_t counters[NR_SPARE_COUNTERS])
{
  struct waiter w = { .list = list, .counters = counters };
  size_t i;
  int err;

  list->in_doubt = false;
  if (list->n == 0 &&
      (counters == NULL ||
       is_zero (counters, NR_SPARE_COUNTERS * sizeof counters[0]))) {
    spare_unreserve (s, list->reserved);
    return 0;
  }
  if (s->read_only)
    return EROFS;
  for (i = 0; i < list->n; i++) {
    if (!change_ok (s, &list->v[i]))
      return EINVAL;
  }
  err = commit_queued (s, &w);

  /* If it may be on the disk after all, its slots must stay as they are
   * until the log has been read again.
   */
  if (err && !list->in_doubt)
    slots_give_back (s, list);
  if (err == 0)
    spare_unreserve (s, list->reserved);
  return err;
}
