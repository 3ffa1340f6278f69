/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare as a whole: opening, closing, flushing, status.  What is on
 * the disk is described in remap-spare(5); spare-internal.h says what the
 * other parts do, and which lock guards what.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "spare/internal.h"

void
spare_warn (struct spare *s, const char *fs, ...)
{
  char text[512];
  va_list args;

  if (s->env.warn == NULL)
    return;
  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  s->env.warn (s->env.opaque, text);
}

uint64_t
spare_now (struct spare *s)
{
  return s->env.now ? s->env.now (s->env.opaque) : (uint64_t) time (NULL);
}

static void
get_random (struct spare *s, void *buf, size_t len)
{
  size_t done = 0;
  ssize_t r;

  if (s->env.random) {
    s->env.random (s->env.opaque, buf, len);
    return;
  }
  while (done < len) {
    r = getrandom ((char *) buf + done, len - done, 0);
    if (r == -1 && errno != EINTR)
      abort ();                 /* not on any kernel since 3.17 */
    if (r > 0)
      done += r;
  }
}

void
spare_new_nonce (struct spare *s)
{
  const uint64_t old = s->nonce;

  do
    get_random (s, &s->nonce, sizeof s->nonce);
  while (s->nonce == old);
}

void
spare_lead (struct spare *s)
{
  pthread_mutex_lock (&s->lock);
  while (s->busy)
    pthread_cond_wait (&s->cond, &s->lock);
  s->busy = true;
  pthread_mutex_unlock (&s->lock);
}

void
spare_unlead (struct spare *s)
{
  pthread_mutex_lock (&s->lock);
  s->busy = false;
  pthread_cond_broadcast (&s->cond);
  pthread_mutex_unlock (&s->lock);
}

struct geometry *
spare_new_geometry (const struct header *h)
{
  struct geometry *g = calloc (1, sizeof *g);
  unsigned i;

  if (g == NULL)
    return NULL;
  g->nsegments = h->nsegments;
  for (i = 0; i < h->nsegments; ++i) {
    g->segment[i].first = g->nslots;
    g->segment[i].nslots = h->segment[i].nslots;
    g->segment[i].offset = h->segment[i].offset;
    g->nslots += h->segment[i].nslots;
  }
  return g;
}

static void
spare_free (struct spare *s)
{
  struct geometry *g, *older;

  for (g = atomic_load (&s->geometry); g != NULL; g = older) {
    older = g->older;
    free (g);
  }
  map_free (s->retired);
  free (s->used);
  free (s->prepared);
  pthread_mutex_destroy (&s->lock);
  pthread_mutex_destroy (&s->alloc_lock);
  pthread_mutex_destroy (&s->flush_lock);
  pthread_cond_destroy (&s->cond);
  free (s);
}

static struct spare *
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

static void
identity_of (const struct header *h, struct spare_identity *id)
{
  memset (id, 0, sizeof *id);
  memcpy (id->uuid, h->uuid, sizeof id->uuid);
  id->main_size = h->main_size;
  memcpy (id->label, h->label, sizeof id->label);
  id->created = h->created;
}

/* The caller holds flush_lock. */
static int
flush_locked (struct spare *s)
{
  int err;

  if (atomic_load (&s->failed))
    return EIO;
  /* What is written from now on is the next flush's. */
  atomic_store (&s->slots_dirty, false);
  atomic_fetch_add (&s->flushes, 1);
  err = device_flush (s->dev);
  if (err == 0)
    return 0;
  spare_set_failed (s);
  spare_warn (s, "flushing the spare failed (%s): nothing is remapped until "
              "the server has been restarted", strerror (err));
  return EIO;
}

int
spare_flush_device (struct spare *s)
{
  int err;

  pthread_mutex_lock (&s->flush_lock);
  err = flush_locked (s);
  pthread_mutex_unlock (&s->flush_lock);
  return err;
}

int
spare_flush (struct spare *s)
{
  int err = 0;

  pthread_mutex_lock (&s->flush_lock);
  if (atomic_load (&s->failed))
    err = EIO;
  else if (atomic_load (&s->slots_dirty))
    err = flush_locked (s);
  pthread_mutex_unlock (&s->flush_lock);
  return err;
}

bool
spare_failed (const struct spare *s)
{
  return atomic_load (&s->failed);
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
  pthread_mutex_unlock (&s->lock);

  pthread_mutex_lock (&s->alloc_lock);
  st->slots_total = s->nslots;
  st->slots_free = s->nfree;
  st->slots_retired = s->nretired;
  st->slots_used = s->nslots - s->nfree - s->nretired;
  st->full = s->full;
  pthread_mutex_unlock (&s->alloc_lock);

  st->commits = atomic_load (&s->commits);
  st->changes = atomic_load (&s->changes);
  st->flushes = atomic_load (&s->flushes);
  st->checkpoints = atomic_load (&s->checkpoints);
  st->failed = atomic_load (&s->failed);
}

/* Once the header is known: where the slots are, all of them free. */
static int
set_up (struct spare *s, struct message *message)
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
  identity_of (&s->hdr, &s->id);
  return err;
}

/* The replay has marked the slots that are mapped. */
static int
mark_retired (struct spare *s, struct message *message)
{
  struct run run;
  uint64_t i;

  for (i = 0; map_next (s->retired, i, &run); i = run.start + run.count) {
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
               "%s; at byte %u: %s): restore one of them from a copy",
               copy_problem (p, 0), HEADER_B_PAGE * SPARE_PAGE,
               copy_problem (p, 1));
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
    spare_warn (s, "a header of the spare is damaged (at byte %u: %s), the "
                "other one is used%s",
                other ? HEADER_B_PAGE * SPARE_PAGE : 0U,
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
  err = load_header (s, size, message);
  if (err)
    return err;
  err = set_up (s, message);
  if (err)
    return err;
  err = log_replay (s, message);
  if (err)
    return err;
  return mark_retired (s, message);
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

/* Formatting, step by step; see remap-spare(5).  At any time either there
 * is nothing but an intent in header A, or all is complete.
 */
static int
format (struct spare *s, struct message *message)
{
  struct header_pair p;
  uint64_t *page = NULL;
  struct header intent;
  int err;

  err = device_allocate (s->dev, 0, s->hdr.segment[0].offset);
  if (err) {
    message_set (message, "there is no room for the spare's metadata, %"
                 PRIu64 " bytes: %s", s->hdr.segment[0].offset,
                 strerror (err));
    return is_space_error (err) ? ENOSPC : err == ENOMEM ? ENOMEM : EIO;
  }
  err = spare_flush_device (s);
  if (err == 0)
    err = header_read_both (s->dev, s->hdr.size, &p, message);
  if (err)
    goto out;
  page = calloc (1, SPARE_PAGE);
  if (page == NULL) {
    err = ENOMEM;
    goto out;
  }

  /* Part of a header B of an interrupted format must not mix with ours. */
  if (p.class[1] != HEADER_BLANK) {
    err = device_pwrite (s->dev, page, SPARE_PAGE,
                         HEADER_B_PAGE * SPARE_PAGE);
    if (err == 0)
      err = spare_flush_device (s);
    if (err)
      goto out;
  }

  intent = s->hdr;
  intent.formatting = true;
  intent.nsegments = 0;
  intent.sequence = 1;
  header_encode (&intent, page);
  err = device_pwrite (s->dev, page, SPARE_PAGE, 0);
  if (err == 0)
    err = spare_flush_device (s);
  if (err)
    goto out;

  const struct log_page info = {
    .generation = 1, .number = 1, .nonce = s->nonce, .total = 1,
  };
  struct log_page first = info;
  memcpy (first.uuid, s->hdr.uuid, sizeof first.uuid);
  memset (page, 0, SPARE_PAGE);
  log_page_encode (&first, page);
  err = device_pwrite (s->dev, page, SPARE_PAGE, s->hdr.area[0].offset);
  if (err == 0)
    err = spare_flush_device (s);
  if (err)
    goto out;

  /* Header B is the older one as yet, so it comes first. */
  s->hdr.sequence = 1;
  s->older_copy = 1;
  err = header_write (s, &s->hdr);
  if (err == 0 && s->header_behind)
    err = ENOSPC;
 out:
  free (page);
  if (err) {
    message_set (message, "the spare can't be formatted: %s", strerror (err));
    return is_space_error (err) ? ENOSPC : err == ENOMEM ? ENOMEM : EIO;
  }
  return 0;
}

int
spare_format (const struct device *dev, uint64_t size, bool whole,
              struct spare_identity *id, const struct spare_env *env,
              struct map *map, struct spare **spare, struct message *message)
{
  static const uint8_t no_uuid[16];
  struct spare *s;
  int err;

  *spare = NULL;
  s = spare_new (dev, map, env, false);
  if (s == NULL) {
    message_set (message, "out of memory");
    return ENOMEM;
  }
  err = header_layout (&s->hdr, size, message);
  if (err == 0 && id->main_size > INT64_MAX) {
    message_set (message, "main is too large: %" PRIu64 " bytes",
                 id->main_size);
    err = EINVAL;
  }
  if (err)
    goto error;

  if (memcmp (id->uuid, no_uuid, sizeof no_uuid) == 0)
    get_random (s, s->hdr.uuid, sizeof s->hdr.uuid);
  else
    memcpy (s->hdr.uuid, id->uuid, sizeof s->hdr.uuid);
  s->hdr.uuid[6] = (s->hdr.uuid[6] & 0x0f) | 0x40; /* RFC 4122, version 4 */
  s->hdr.uuid[8] = (s->hdr.uuid[8] & 0x3f) | 0x80;
  s->hdr.created = spare_now (s);
  s->hdr.main_size = id->main_size;
  memcpy (s->hdr.label, id->label,
          strnlen (id->label, SPARE_LABEL_MAX));
  s->hdr.flags = whole ? HEADER_WHOLE : 0;
  s->hdr.generation = s->hdr.checkpoint_commit = s->hdr.commit_floor = 1;
  s->hdr.checkpoint_pages = 1;
  s->hdr.high_water = s->hdr.area[0].pages < HIGH_WATER_STEP
    ? s->hdr.area[0].pages : HIGH_WATER_STEP;
  s->number = s->pos = 1;

  err = set_up (s, message);
  if (err == 0)
    err = format (s, message);
  if (err)
    goto error;
  s->started = true;
  *id = s->id;
  *spare = s;
  return 0;

 error:
  spare_free (s);
  return err;
}

int
spare_start (struct spare *s, struct message *message)
{
  int err;

  if (s->read_only)
    return 0;
  s->started = true;
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
  spare_free (s);
}
