/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "spare/batch.h"
#include "spare/leader.h"
#include "spare/slots.h"

/* Takes the places of a list; returns how many pages the commit has then. */
static uint64_t
list_pages (const struct change_list *list, struct log_place *next)
{
  for (size_t i = 0; i < list->n; i++) {
    const struct change *c = &list->v[i];

    if (c->kind == CHANGE_ATTRIBUTE)
      log_take_place (next, log_entries_for_attribute (c->attribute));
    else
      for (uint64_t n = log_entries_for (c->count); n > 0; n--)
        log_take_place (next, 1);
  }
  return next->page + 1;
}

struct waiter *
take_waiters (struct spare *s, struct waiter *last)
{
  struct waiter *first = s->queue;

  s->queue = last->next;
  if (s->queue == NULL)
    s->queue_end = &s->queue;
  last->next = NULL;
  return first;
}

void
batch_look (struct batch *b)
{
  struct log_place next = { 0 };

  pthread_mutex_lock (&b->s->lock);
  b->need = list_pages (b->s->queue->list, &next);
  pthread_mutex_unlock (&b->s->lock);
}

void
batch_choose_whole (struct batch *b)
{
  struct log_place next = { 0 };

  pthread_mutex_lock (&b->s->lock);
  b->pages = list_pages (b->s->queue->list, &next);
  b->reserved = b->s->queue->list->reserved;
  b->first = take_waiters (b->s, b->s->queue);
  b->whole = true;
  pthread_mutex_unlock (&b->s->lock);
}

void
batch_choose (struct batch *b, uint64_t room, uint64_t entries)
{
  struct spare *s = b->s;
  struct waiter *w, *last = NULL;
  struct log_place next = { 0 };
  uint64_t pages;

  pthread_mutex_lock (&s->lock);
  for (w = s->queue; w != NULL; w = w->next) {
    pages = list_pages (w->list, &next);
    if (last == NULL)
      b->need = pages;
    if (pages > room ||
        (last != NULL && (pages > BATCH_PAGES || w->list->reserved > 0 ||
                          batch_growth (pages) > entries)))
      break;
    b->pages = pages;
    b->reserved = w->list->reserved;
    b->tight = b->reserved == 0 && batch_growth (pages) > entries;
    last = w;
    if (b->reserved > 0)
      break;
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

    const struct log_place place = log_take_place (&b->next, 1);

    log_page_put (b->buf + place.page * SPARE_PAGE, place.entry, &e);
    done += e.count;
  }
  b->features |= features_of (c->kind, c->reason);
}

/* A reader counts after each, so this does. */
static int
put_attribute (struct batch *b, struct attribute *a)
{
  const struct log_place place =
    log_take_place (&b->next, log_entries_for_attribute (a));

  a->time = b->now;
  log_page_put_attribute (b->buf + place.page * SPARE_PAGE, place.entry, a);
  b->features |= FEATURE_ATTRIBUTES;
  b->nattributes++;
  if (attributes_count (b->s, a, &b->attributes) != 0)
    return ENOMEM;
  return attributes_too_many (b->s, &b->attributes) ? ENOSPC : 0;
}

static int
apply_change (struct batch *b, const struct change *c)
{
  const struct run run = change_run (c->kind, c->sector, c->slot, c->count);
  int err;

  b->changes++;
  if (c->kind == CHANGE_ATTRIBUTE)
    return put_attribute (b, c->attribute);
  put_change (b, c);
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

int
batch_build (struct batch *b)
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
  if (err == 0) {
    pthread_mutex_lock (&s->lock);
    err = attributes_reserve (s, b->nattributes);
    pthread_mutex_unlock (&s->lock);
  }
  if (err) {
    map_abort (s->map);
    map_abort (s->retired);
    return err;
  }
  b->counters[COUNT_RETIRED] += b->retired;

  for (i = 0; i < b->pages; i++) {
    struct log_page info = {
      .generation = s->hdr.generation, .number = s->number + 1,
      .nonce = s->nonce, .position = s->pos + i, .index = i,
      .total = b->pages,
    };

    memcpy (info.uuid, s->hdr.uuid, sizeof info.uuid);
    if (i + 1 == b->pages)
      memcpy (info.counters, b->counters, sizeof info.counters);
    log_page_encode (&info, b->buf + (size_t) i * SPARE_PAGE);
  }
  return 0;
}

void
batch_free_released (struct batch *b)
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

void
batch_publish_attributes (struct batch *b)
{
  for (struct waiter *w = b->first; w != NULL; w = w->next)
    for (size_t i = 0; i < w->list->n; i++) {
      struct change *c = &w->list->v[i];

      if (c->kind == CHANGE_ATTRIBUTE) {
        attributes_put (b->s, c->attribute);
        c->attribute = NULL;
      }
    }
}

void
batch_free (struct batch *b)
{
  free (b->buf);
  free (b->released);
  attribute_sum_free (&b->attributes);
}
