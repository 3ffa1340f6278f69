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

#include "base/array.h"
#include "base/bytes.h"
#include "spare/checkpoint.h"
#include "spare/errors.h"
#include "spare/header.h"
#include "spare/leader.h"
#include "spare/pages.h"
#include "spare/slots.h"

struct slot_range {
  slot_t slot;
  uint64_t count;
};

/* One group commit, and the waiters for whom it is made. */
struct batch {
  struct spare *s;
  struct waiter *first;         /* NULL: none was taken from the queue */
  uint64_t need;                /* pages for the first one alone */
  uint64_t entries;
  uint32_t pages;
  uint8_t *buf;                 /* the pages */
  uint64_t filled;              /* entries put so far */
  uint64_t now;
  uint64_t counters[NR_SPARE_COUNTERS];
  uint64_t changes, retired;

  /* Slots that lose their sector. */
  struct slot_range *released;
  size_t nreleased, cap;
};

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

  if (c->kind > CHANGE_RETIRE || c->reason > WHY_CLIENT || c->count == 0)
    return false;
  if (change_has_sector (c->kind) &&
      (c->sector > sectors || c->count > sectors - c->sector))
    return false;
  return !change_has_slot (c->kind) ||
         (c->slot <= nslots && c->count <= nslots - c->slot);
}

static uint64_t
list_entries (const struct change_list *list)
{
  uint64_t n = 0;
  size_t i;

  for (i = 0; i < list->n; i++)
    n += log_entries_for (list->v[i].count);
  return n;
}

/* Takes the first waiters from the queue, up to LAST; `lock' is held. */
static struct waiter *
take_waiters (struct spare *s, struct waiter *last)
{
  struct waiter *first = s->queue;

  s->queue = last->next;
  if (s->queue == NULL)
    s->queue_end = &s->queue;
  last->next = NULL;
  return first;
}

/* Takes as many waiters from the queue as fit into ROOM pages, and
 * reasonably into one commit; none if not even the first one fits.
 */
static void
choose_batch (struct batch *b, uint64_t room)
{
  struct spare *s = b->s;
  struct waiter *w, *last = NULL;
  uint64_t entries = 0, pages;

  pthread_mutex_lock (&s->lock);
  b->need = log_pages_for (list_entries (s->queue->list));
  for (w = s->queue; w != NULL; w = w->next) {
    entries += list_entries (w->list);
    pages = log_pages_for (entries);
    if (pages > room || (last != NULL && pages > BATCH_PAGES))
      break;
    b->entries = entries;
    b->pages = pages;
    last = w;
  }
  if (last != NULL)
    b->first = take_waiters (s, last);
  pthread_mutex_unlock (&s->lock);
}

static int
note_released (struct batch *b, slot_t slot, uint64_t count)
{
  struct slot_range *v = array_room (b->released, b->nreleased, &b->cap,
                                     sizeof *v, 16);

  if (v == NULL)
    return ENOMEM;
  b->released = v;
  b->released[b->nreleased++] = (struct slot_range) { slot, count };
  return 0;
}

/* Notes the slots that the sectors of a change have had so far. */
static int
find_released (struct batch *b, const struct change *c)
{
  const sector_t end = c->sector + c->count;
  sector_t i = c->sector;
  struct run run;
  int err;

  for (; i < end && map_update_next (b->s->map, i, &run) && run.start < end;
       i = run_end_sector (&run)) {
    const struct run part = run_clip (&run, c->sector, end);

    if (part.state != REMAPPED)
      continue;
    /* A sector that keeps its slot doesn't release it. */
    if (c->kind == CHANGE_REMAP &&
        part.slot == c->slot + (part.start - c->sector))
      continue;
    err = note_released (b, part.slot, part.count);
    if (err)
      return err;
  }
  return 0;
}

/* Of the slots of a CHANGE_RETIRE, those that are not yet retired. */
static uint64_t
newly_retired (struct batch *b, const struct change *c)
{
  const slot_t end = c->slot + c->count;
  uint64_t n = c->count;
  slot_t i = c->slot;
  struct run run;

  for (; i < end && map_update_next (b->s->retired, i, &run) &&
         run.start < end; i = run_end_sector (&run))
    n -= run_clip (&run, c->slot, end).count;
  return n;
}

static void
put_change (struct batch *b, const struct change *c)
{
  const bool has_sector = change_has_sector (c->kind);
  const bool has_slot = change_has_slot (c->kind);
  uint64_t done = 0;

  while (done < c->count) {
    const struct log_entry e = {
      .sector = has_sector ? c->sector + done : 0,
      .slot = has_slot ? c->slot + done : 0,
      .count = min_u64 (c->count - done, MAX_ENTRY_COUNT),
      .kind = c->kind, .reason = c->reason, .time = b->now,
    };

    log_page_put (b->buf + b->filled / ENTRIES_PER_PAGE * SPARE_PAGE,
                  b->filled % ENTRIES_PER_PAGE, &e);
    b->filled++;
    done += e.count;
  }
}

static int
apply_change (struct batch *b, const struct change *c)
{
  const struct run run = change_run (c->kind, c->sector, c->slot, c->count);
  int err;

  put_change (b, c);
  b->changes++;
  if (c->kind == CHANGE_RETIRE) {
    /* Nobody may take it from now on, whether or not this succeeds. */
    slots_hold (b->s, c->slot, c->count);
    b->retired += newly_retired (b, c);
    return map_set (b->s->retired, &run);
  }
  err = find_released (b, c);
  if (err)
    return err;
  return map_set (b->s->map, &run);
}

/* Builds everything in memory: the pages, and the updates of the maps,
 * which are left open if this succeeds.
 */
static int
build (struct batch *b)
{
  struct spare *s = b->s;
  struct waiter *w;
  uint32_t i;
  size_t j;
  int err = 0;

  b->buf = calloc (b->pages, SPARE_PAGE);
  if (b->buf == NULL)
    return ENOMEM;
  b->now = spare_now (s);
  memcpy (b->counters, s->counters, sizeof b->counters);

  map_begin (s->map);
  map_begin (s->retired);
  for (w = b->first; w != NULL && err == 0; w = w->next) {
    for (j = 0; j < w->list->n && err == 0; j++)
      err = apply_change (b, &w->list->v[j]);
    for (i = 0; w->counters != NULL && i < NR_SPARE_COUNTERS; i++) {
      if (i != COUNT_RETIRED)
        b->counters[i] += w->counters[i];
    }
  }
  if (err) {
    map_abort (s->map);
    map_abort (s->retired);
    return err;
  }
  b->counters[COUNT_RETIRED] += b->retired;

  for (i = 0; i < b->pages; i++) {
    const uint64_t left = b->entries - (uint64_t) i * ENTRIES_PER_PAGE;
    struct log_page info = {
      .generation = s->hdr.generation, .number = s->number + 1,
      .nonce = s->nonce, .position = s->pos + i, .index = i,
      .total = b->pages,
      .count = min_u64 (left, ENTRIES_PER_PAGE),
    };

    memcpy (info.uuid, s->hdr.uuid, sizeof info.uuid);
    if (i + 1 == b->pages)
      memcpy (info.counters, b->counters, sizeof info.counters);
    log_page_encode (&info, b->buf + (size_t) i * SPARE_PAGE);
  }
  return 0;
}

/* Makes sure that the headers say that these pages may be written, and
 * that the slots' contents are durable.
 */
static int
prepare_headers_and_slots (struct batch *b)
{
  struct spare *s = b->s;
  struct header h = s->hdr;
  const uint64_t high = (uint64_t) s->pos + b->pages;
  int err;

  err = header_repair (s);
  if (err)
    return err;
  if (high > h.high_water) {
    h.high_water = min_u64 (round_up (high, HIGH_WATER_STEP),
                            h.area[h.active].pages);
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
  err = prepare_headers_and_slots (b);
  if (err)
    return err;

  for (i = 0; i < b->pages && err == 0; i += n) {
    n = min_u64 (b->pages - i, WINDOW_PAGES);
    err = device_pwrite (s->dev, b->buf + (size_t) i * SPARE_PAGE,
                         n * SPARE_PAGE,
                         log_page_offset (area, (uint64_t) s->pos + i));
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

/* Frees what was released, except where it was retired at the same time. */
static void
free_released (struct batch *b)
{
  struct spare *s = b->s;
  struct run run;
  size_t i;

  for (i = 0; i < b->nreleased; i++) {
    slot_t slot = b->released[i].slot, end = slot + b->released[i].count;

    while (slot < end) {
      run = map_lookup (s->retired, slot, end - slot);
      if (run.state == DIRECT)
        slots_release (s, slot, run.count);
      slot += run.count;
    }
  }
}

static void
publish (struct batch *b)
{
  struct spare *s = b->s;

  /* In this order: a reader that sees it in the map finds it in the log. */
  pthread_mutex_lock (&s->lock);
  memcpy (s->counters, b->counters, sizeof s->counters);
  s->pos += b->pages;
  pthread_mutex_unlock (&s->lock);

  map_publish (s->map);
  map_publish (s->retired);
  s->number++;
  atomic_fetch_add (&s->commits, 1);
  atomic_fetch_add (&s->changes, b->changes);

  pthread_mutex_lock (&s->alloc_lock);
  s->nretired += b->retired;
  pthread_mutex_unlock (&s->alloc_lock);
  free_released (b);
}

static int
commit_batch (struct batch *b, bool *in_doubt)
{
  struct spare *s = b->s;
  int err;

  err = build (b);
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
  free (b->buf);
  free (b->released);
  return err;
}

/* The leader's turn: one commit.  Something is in the queue. */
static void
lead_commit (struct spare *s)
{
  struct batch b = { .s = s };
  struct waiter *w, *next;
  bool in_doubt = false;
  int err = 0;

  if (atomic_load (&s->failed))
    err = EIO;
  if (err == 0) {
    choose_batch (&b, active_area (s)->pages - s->pos);
    if (b.first == NULL) {
      err = log_checkpoint (s, b.need);
      if (err == 0)
        choose_batch (&b, active_area (s)->pages - s->pos);
    }
  }
  if (err == 0 && b.first == NULL)
    err = ENOSPC;
  if (err == 0)
    err = commit_batch (&b, &in_doubt);

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
    pthread_cond_broadcast (&s->cond);
  }
  pthread_mutex_unlock (&s->lock);
  return w->err;
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
       is_zero (counters, NR_SPARE_COUNTERS * sizeof counters[0])))
    return 0;
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
  return err;
}
