/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Opening a spare that is there, and closing it.
 *
 * Nothing is written before spare_start, so that a spare that turns out to
 * be another disk's is left as it is (promise 20 of remap-promises(7)); but
 * it is flushed, before anything is read.  What is damaged is refused or
 * repaired by the rules of remap-spare(5) (promises 15 and 23).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "spare/attributes.h"
#include "spare/checkpoint.h"
#include "spare/header.h"
#include "spare/identity.h"
#include "spare/layout.h"
#include "spare/leader.h"
#include "spare/open.h"
#include "spare/ownership.h"
#include "spare/replay.h"
#include "spare/room.h"
#include "spare/slots.h"
#include "spare/stamp.h"

/* The replay has marked the slots that are mapped. */
static int
mark_retired (struct spare *s, struct message *message)
{
  struct run run;
  uint64_t i;

  for (i = 0; map_next (s->retired, i, &run); i = run_end_sector (&run)) {
    if (!slots_mark (s, run.start, run.count)) {
      message_set (message, "the spare's log is damaged: of the slots %"
                   PRIu64 " to %" PRIu64 ", which are retired, one is in "
                   "use: restore the spare from a copy",
                   run.start, run.start + run.count - 1);
      return EINVAL;
    }
    s->nretired += run.count;
  }
  return 0;
}

static const char *
copy_problem (const struct header_pair *p, int i)
{
  return p->io_error[i] ? strerror (p->io_error[i])
    : p->class[i] == HEADER_DAMAGED ? "wrong checksum"
    : p->class[i] == HEADER_BLANK ? "blank" : "not a header";
}

static int
no_header (const struct header_pair *p, struct message *message)
{
  if (p->class[0] == HEADER_FORMATTING) {
    message_set (message, "formatting of the spare was interrupted");
    return EINVAL;
  }
  message_set (message, "both headers of the spare are damaged (at byte 0: "
               "%s; at byte %" PRIu64 ": %s): restore one of them from a copy",
               copy_problem (p, 0), header_offset (1), copy_problem (p, 1));
  return p->io_error[0] && p->io_error[1] ? EIO : EINVAL;
}

/* Reads the headers into s->hdr. */
static int
load_header (struct spare *s, uint64_t size, struct message *message)
{
  struct header_pair p;
  int err, other;

  err = header_read_both (s->dev, size, &p, message);
  if (err)
    return err;
  if (p.chosen == -1)
    return no_header (&p, message);
  err = header_check (&p.copy[p.chosen], size, s->read_only, message);
  if (err)
    return err;
  s->hdr = p.copy[p.chosen];

  other = 1 - p.chosen;
  s->older_copy = other;
  s->header_behind = p.class[other] != HEADER_COMPLETE ||
    !header_same (&p.copy[0], &p.copy[1]);
  /* An intent is what an interrupted format leaves; and what is older is
   * the trace of an interrupted change.
   */
  if (p.class[other] != HEADER_COMPLETE &&
      p.class[other] != HEADER_FORMATTING)
    spare_warn (s, "a header of the spare is damaged (at byte %" PRIu64
                ": %s), the other one is used%s", header_offset (other),
                copy_problem (&p, other),
                s->read_only ? "" : ", and the damaged one written again");
  return 0;
}

static int
load (struct spare *s, uint64_t size, struct message *message)
{
  int err;

  /* What a killed process has written may be in a cache alone.  Nothing
   * must be built upon it before it is durable, not even the repair of a
   * header: or else a crash could tear both.
   */
  if (!s->read_only && spare_flush_device (s) != 0) {
    message_set (message, "the spare can't be flushed");
    return EIO;
  }
  /* A spare that was cut off before its stamp has no owner, and won't open. */
  err = s->read_only || size < STAMP_OFFSET + SPARE_PAGE ? 0
    : ownership_await (s, message);
  if (err == 0)
    err = load_header (s, size, message);
  if (err)
    return err;
  err = spare_set_up (s, message);
  if (err)
    return err;
  err = log_replay (s, message);
  if (err)
    return err;
  return mark_retired (s, message);
}

void
spare_free (struct spare *s)
{
  struct geometry *g, *older;

  for (g = atomic_load (&s->geometry); g != NULL; g = older) {
    older = g->older;
    free (g);
  }
  checkpoint_drop (s);
  ownership_free (s);
  map_free (s->retired);
  map_free (s->history);
  attributes_free (s);
  free (s->used);
  free (s->prepared);
  pthread_mutex_destroy (&s->lock);
  pthread_mutex_destroy (&s->alloc_lock);
  pthread_mutex_destroy (&s->flush_lock);
  pthread_cond_destroy (&s->cond);
  free (s);
}

struct spare *
spare_new (const struct device *dev, struct map *map,
           const struct spare_env *env, bool read_only)
{
  struct spare *s = calloc (1, sizeof *s);

  if (s == NULL)
    return NULL;
  s->dev = dev;
  s->map = map;
  if (env != NULL)
    s->env = *env;
  s->read_only = read_only;
  s->queue_end = &s->queue;
  s->piece = CHECKPOINT_PIECE;
  s->due_after = CHECKPOINT_AFTER;
  pthread_mutex_init (&s->lock, NULL);
  pthread_mutex_init (&s->alloc_lock, NULL);
  pthread_mutex_init (&s->flush_lock, NULL);
  pthread_cond_init (&s->cond, NULL);
  s->retired = map_new ();
  if (s->retired == NULL) {
    spare_free (s);
    return NULL;
  }
  spare_new_nonce (s);
  return s;
}

int
spare_set_up (struct spare *s, struct message *message)
{
  struct geometry *g = spare_new_geometry (&s->hdr);
  int err = g == NULL ? ENOMEM : 0;

  if (err == 0) {
    atomic_store (&s->geometry, g);
    err = slots_init (s);
  }
  if (err)
    message_set (message, "out of memory for a spare of %" PRIu64 " bytes",
                 s->hdr.size);
  header_identity (&s->hdr, &s->id);
  return err;
}

int
spare_load (const struct device *dev, uint64_t size, bool read_only,
            const struct spare_env *env, struct map *map,
            struct spare **spare, struct message *message)
{
  struct spare *s = spare_new (dev, map, env, read_only);
  int err;

  *spare = NULL;
  if (s == NULL) {
    message_set (message, "out of memory");
    return ENOMEM;
  }
  err = load (s, size, message);
  if (err) {
    spare_free (s);
    return err;
  }
  *spare = s;
  return 0;
}

int
spare_start (struct spare *s, struct message *message)
{
  int err;

  if (s->read_only)
    return 0;
  err = ownership_take (s, message);
  if (err)
    return err;
  s->started = true;
  /* As far as there is any: a spare on a full filesystem can be used. */
  s->room[s->hdr.active] = s->hdr.high_water;
  room_for_high_water (s, s->hdr.high_water);
  err = header_repair (s);
  if (err == ENOSPC) {
    /* Reading goes on; the next commit tries again. */
    spare_warn (s, "there is no room to write a header of the spare again: "
                "nothing can be remapped until there is");
    return 0;
  }
  if (err)
    message_set (message, "a header of the spare can't be written: %s",
                 strerror (err));
  else
    checkpoint_at_start (s);
  return err;
}

void
spare_close (struct spare *s)
{
  struct header h;

  if (s == NULL)
    return;
  if (s->started && !spare_failed (s) &&
      s->hdr.commit_floor != s->number) {
    h = s->hdr;
    h.commit_floor = s->number;
    /* Without it the next start can't tell the last commit's damage from
     * an interrupted one: nothing else depends on it.
     */
    header_write (s, &h);
  }
  if (s->started)
    ownership_give_back (s);
  spare_free (s);
}

const struct spare_identity *
spare_get_identity (const struct spare *s)
{
  return &s->id;
}

void
spare_get_status (struct spare *s, struct spare_status *st)
{
  memset (st, 0, sizeof *st);

  pthread_mutex_lock (&s->lock);
  st->size = s->hdr.size;
  st->claimed = s->hdr.claimed;
  st->whole = s->hdr.flags & HEADER_WHOLE;
  st->log_pages = s->hdr.area[s->hdr.active].pages;
  st->log_used = s->pos;
  memcpy (st->counters, s->counters, sizeof st->counters);
  features_text (&s->hdr.names, s->hdr.incompat, s->hdr.ro_compat, st->features,
                 sizeof st->features);
  st->attributes = s->nattributes;
  st->commit_number = s->number;
  pthread_mutex_unlock (&s->lock);

  pthread_mutex_lock (&s->alloc_lock);
  st->slots_total = s->nslots;
  /* Those that wait for a copy are free for whoever needs them. */
  st->slots_free = s->nfree + s->nkept;
  st->slots_retired = s->nretired;
  st->slots_used = s->nslots - st->slots_free - s->nretired;
  st->full = s->full;
  pthread_mutex_unlock (&s->alloc_lock);

  st->commits = atomic_load (&s->commits);
  st->changes = atomic_load (&s->changes);
  st->flushes = atomic_load (&s->flushes);
  st->checkpoints = atomic_load (&s->checkpoints);
  st->failed = atomic_load (&s->failed);
}
