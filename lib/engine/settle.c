/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "base/bytes.h"
#include "engine/copy.h"
#include "engine/events.h"
#include "engine/settle.h"
#include "engine/states.h"
#include "engine/stats.h"
#include "map/pending.h"

/* A thread that waits for a batch; on its stack. */
struct settle_waiter {
  struct settle_waiter *next;
  bool done;
  int err;
};

void
settle_init (struct settling *s)
{
  pthread_mutex_init (&s->mutex, NULL);
  pthread_cond_init (&s->cond, NULL);
}

void
settle_destroy (struct settling *s)
{
  pthread_cond_destroy (&s->cond);
  pthread_mutex_destroy (&s->mutex);
}

static int
note (struct change_list *list, sector_t start, uint64_t count,
      enum sector_state state)
{
  struct change *last = list->n > 0 ? &list->v[list->n - 1] : NULL;
  const struct change c = {
    .kind = (enum change_kind) state, .sector = start, .count = count,
    .slot = NO_SLOT,
    .reason = state == KEPT ? WHY_UNKNOWN : WHY_CLIENT,
  };

  if (last && last->kind == c.kind && last->sector + last->count == start) {
    last->count += count;
    return 0;
  }
  return change_list_add (list, &c);
}

/* What is pending in these pages, unless the map goes before it. */
static int
note_all (struct engine *e, struct pending_batch *b, struct change_list *list)
{
  struct rescue *rescue = rescue_of (e);
  struct run run, part;
  int err = 0;

  while (err == 0 && pending_batch_next (rescue->pending, b, &run))
    while (run.count > 0 && err == 0) {
      part = map_lookup (e->map, run.start, run.count);
      run_take (&run, part.count);
      /* A write that began before the record, and ended after it. */
      if (part.state == WRITTEN)
        pending_clear (rescue->pending, part.start, part.count, DIRECT, 0);
      else if (part.state != REMAPPED)
        err = note (list, part.start, part.count, run.state);
    }
  return err;
}

/* The same without keepings that are none any more. */
static int
note_again (struct engine *e, const struct change_list *old,
            struct change_list *list)
{
  struct rescue *rescue = rescue_of (e);
  enum sector_state now;
  uint64_t count;
  int err = 0;

  for (size_t i = 0; i < old->n && err == 0; i++) {
    const struct change *c = &old->v[i];
    const sector_t end = c->sector + c->count;

    if (c->kind != CHANGE_KEPT) {
      err = note (list, c->sector, c->count, (enum sector_state) c->kind);
      continue;
    }
    for (sector_t at = c->sector; at < end && err == 0; at += count) {
      count = end - at;
      now = pending_get (rescue->pending, at, &count);
      if (now == KEPT)
        err = note (list, at, count, KEPT);
    }
  }
  return err;
}

static void
clear_recorded (struct engine *e, const struct change_list *list)
{
  struct rescue *rescue = rescue_of (e);

  for (size_t i = 0; i < list->n; i++)
    pending_clear (rescue->pending, list->v[i].sector, list->v[i].count,
                   (enum sector_state) list->v[i].kind, 0);
}

static int
flush_copy (struct engine *e)
{
  struct copy *copy = &rescue_of (e)->copy;
  const bool before = copy_has_failed (copy);
  int err = copy_flush (copy);

  if (err && !before)
    events_tell (e->config.events, EVENT_COPY_FAILED, "the copy has failed to "
                 "flush: what clients wrote to it since the last flush is "
                 "lost, and nothing more can be written, until the server has "
                 "been restarted");
  return err;
}

/* No other change of state is under way. */
static int
batch (struct engine *e)
{
  struct rescue *rescue = rescue_of (e);
  struct change_list noted = { 0 }, list = { 0 };
  struct pending_batch b = { 0 };
  int err;

  err = pending_take (rescue->pending, &b);
  if (err)
    return err;
  err = note_all (e, &b, &noted);
  if (err == 0)
    err = flush_copy (e);
  if (err == 0)
    err = note_again (e, &noted, &list);
  if (err == 0) {
    list.reserved = b.runs;
    err = spare_commit (e->spare, &list, NULL);
    if (err)
      stat_add (e, STAT_SPARE_ERRORS, 1);
    else
      clear_recorded (e, &list);
  }
  pending_release (rescue->pending, &b, err == 0);
  change_list_free (&noted);
  change_list_free (&list);
  return err;
}

static uint64_t
now_ms (const struct engine *e)
{
  return e->config.now_ms (e->config.opaque);
}

/* The mutex is held; it is released meanwhile. */
static void
lead (struct engine *e)
{
  struct settling *s = &rescue_of (e)->settling;
  struct settle_waiter *w;
  int err;

  s->under_way = true;
  while (s->records > 0)
    pthread_cond_wait (&s->cond, &s->mutex);
  w = s->waiters;
  s->waiters = NULL;
  s->last_ms = now_ms (e);
  pthread_mutex_unlock (&s->mutex);
  err = batch (e);
  pthread_mutex_lock (&s->mutex);
  for (; w; w = w->next) {
    w->err = err;
    w->done = true;
  }
  s->under_way = false;
  pthread_cond_broadcast (&s->cond);
}

int
settle_all (struct engine *e)
{
  struct settling *s = &rescue_of (e)->settling;
  struct settle_waiter w = { .done = false };

  pthread_mutex_lock (&s->mutex);
  w.next = s->waiters;
  s->waiters = &w;
  while (!w.done)
    if (s->under_way)
      pthread_cond_wait (&s->cond, &s->mutex);
    else
      lead (e);
  pthread_mutex_unlock (&s->mutex);
  return w.err;
}

int
settle_reserve (struct engine *e, uint64_t runs)
{
  struct pending_totals pending;
  int err = spare_reserve (e->spare, runs);

  if (err != ENOSPC)
    return err;
  pending_get_totals (rescue_of (e)->pending, &pending);
  if (pending.kept + pending.written + pending.zero == 0)
    return err;
  err = settle_all (e);
  return err ? err : spare_reserve (e->spare, runs);
}

void
settle_record_begins (struct engine *e)
{
  struct settling *s = &rescue_of (e)->settling;

  pthread_mutex_lock (&s->mutex);
  while (s->under_way)
    pthread_cond_wait (&s->cond, &s->mutex);
  s->records++;
  pthread_mutex_unlock (&s->mutex);
}

void
settle_record_ended (struct engine *e)
{
  struct settling *s = &rescue_of (e)->settling;

  pthread_mutex_lock (&s->mutex);
  if (--s->records == 0)
    pthread_cond_broadcast (&s->cond);
  pthread_mutex_unlock (&s->mutex);
}

uint64_t
settle_age (struct engine *e)
{
  struct settling *s = &rescue_of (e)->settling;
  uint64_t age;

  pthread_mutex_lock (&s->mutex);
  age = now_ms (e) - s->last_ms;
  pthread_mutex_unlock (&s->mutex);
  return age;
}
