/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <string.h>

#include "base/bytes.h"
#include "engine/events.h"
#include "engine/marks.h"
#include "engine/recognise.h"
#include "engine/samples.h"

/* How much of a read is held while main reads it: a blank block isn't taken,
 * and the next one may do.  Bytes.
 */
#define MOST_HELD (UINT32_C (64) << 10)

/* As long as one is wanted, each region is tried once in this time. */
#define LISTEN_MS 60000U

static uint64_t
now_ms (struct engine *e)
{
  return e->config.now_ms (e->config.opaque);
}

/* ---- the list, under its mutex ------------------------------------------ */

static void
add (struct engine *e, const struct sample *sample, enum sample_state state)
{
  struct samples *s = &e->samples;

  s->v[s->n++] = (struct known_sample) { *sample, state };
  canaries_sample (&e->canaries, sample->offset, SAMPLE_SIZE, true);
}

/* Others may lie in its regions, if these were smaller when they were taken:
 * the mark is theirs, too.
 */
static void
drop (struct engine *e, unsigned i)
{
  struct samples *s = &e->samples;
  const uint64_t offset = s->v[i].sample.offset;

  s->v[i] = s->v[--s->n];
  for (i = 0; i < s->n; i++)
    if (canaries_meet (&e->canaries, offset, s->v[i].sample.offset,
                       SAMPLE_SIZE))
      return;
  canaries_sample (&e->canaries, offset, SAMPLE_SIZE, false);
}

static bool
is_of (const struct known_sample *k, uint64_t start, uint64_t end)
{
  return ranges_overlap (k->sample.offset, k->sample.offset + SAMPLE_SIZE,
                         start, end);
}

/* The one that isn't recorded yet, or NULL. */
static struct known_sample *
candidate (struct samples *s)
{
  for (unsigned i = 0; i < s->n; i++)
    if (s->v[i].state == SAMPLE_READ || s->v[i].state == SAMPLE_DURABLE)
      return &s->v[i];
  return NULL;
}

static bool
key_is_free (const struct samples *s, uint32_t key)
{
  for (unsigned i = 0; i < s->n; i++)
    if (s->v[i].sample.key == key)
      return false;
  return true;
}

static bool
is_known (const struct samples *s, const uint8_t hash[SAMPLE_HASH])
{
  for (unsigned i = 0; i < s->n; i++)
    if (memcmp (s->v[i].sample.hash, hash, SAMPLE_HASH) == 0)
      return true;
  return false;
}

/* May there be another one now? */
static bool
is_wanted (struct engine *e)
{
  struct samples *s = &e->samples;

  return e->config.new_samples && s->n < SAMPLES_MAX &&
    candidate (s) == NULL && now_ms (e) >= s->next_ms &&
    !spare_failed (e->spare);
}

/* ---- taking ------------------------------------------------------------- */

/* Could what main returned be in a cache alone, or be going to change? */
static bool
is_in_doubt (struct engine *e, uint64_t start, uint64_t end)
{
  return atomic_load (&e->flush_failures) > 0 ||
    late_overlaps (e, start, end) ||
    (canaries_bits (&e->canaries, start, end - start) & REGION_TRIMMED);
}

bool
samples_begin (struct engine *e, struct sampling *s, uint64_t start,
               uint32_t count)
{
  const uint64_t end = round_down (start + count, SAMPLE_SIZE);

  if (!atomic_load_explicit (&e->samples.due, memory_order_relaxed))
    return false;
  s->start = round_up (start, SAMPLE_SIZE);
  if (s->start >= end || !atomic_exchange (&e->samples.due, false))
    return false;
  s->end = range_lock_exclusive (e->ranges, &s->hold, s->start,
                                 min_u64 (end, s->start + MOST_HELD));
  return true;
}

/* Takes the block at OFFSET, which was read as DATA; the mutex is held. */
static bool
take (struct engine *e, uint64_t offset, const uint8_t *data)
{
  struct samples *s = &e->samples;
  struct sample sample = { .offset = offset };

  if (sample_is_blank (data) ||
      !map_all_direct (e->map, sector_of (offset),
                       SAMPLE_SIZE / SECTOR_SIZE) ||
      (canaries_bits (&e->canaries, offset, SAMPLE_SIZE) & REGION_SAMPLED) ||
      is_in_doubt (e, offset, offset + SAMPLE_SIZE))
    return false;
  sample_hash (spare_get_identity (e->spare)->uuid, data, sample.hash);
  if (is_known (s, sample.hash))
    return false;
  while (!key_is_free (s, sample.key))
    sample.key++;
  /* Without a write since main was flushed all of it is durable. */
  add (e, &sample, e->config.main_flushed && !atomic_load (&e->main_written)
       ? SAMPLE_DURABLE : SAMPLE_READ);
  s->taken++;
  return true;
}

void
samples_end (struct engine *e, struct sampling *sampling, const uint8_t *data)
{
  struct samples *s = &e->samples;
  bool taken = false;

  pthread_mutex_lock (&s->mutex);
  /* Another read may have been faster. */
  if (is_wanted (e)) {
    for (uint64_t at = sampling->start;
         data && at + SAMPLE_SIZE <= sampling->end && !taken;
         at += SAMPLE_SIZE)
      taken = take (e, at, data + (at - sampling->start));
    atomic_store (&s->due, !taken);
  }
  pthread_mutex_unlock (&s->mutex);
  range_unlock_exclusive (e->ranges, &sampling->hold);
}

uint64_t
samples_flush_begins (struct engine *e)
{
  return atomic_load (&e->samples.taken);
}

void
samples_flushed (struct engine *e, uint64_t begun)
{
  struct samples *s = &e->samples;
  struct known_sample *k;

  if (!e->config.new_samples)
    return;
  pthread_mutex_lock (&s->mutex);
  k = candidate (s);
  if (k && begun == atomic_load (&s->taken) &&
      !atomic_load (&e->flush_is_per_conn))
    k->state = SAMPLE_DURABLE;
  pthread_mutex_unlock (&s->mutex);
}

/* ---- recording ---------------------------------------------------------- */

/* The candidate becomes a sample.  Whoever is going to write it waits, since
 * COMMITS is held.
 */
static void
record_candidate (struct engine *e)
{
  struct samples *s = &e->samples;
  struct change_list list = { 0 };
  uint8_t content[SAMPLE_CONTENT];
  struct attribute a;
  struct known_sample *k;
  int err;

  pthread_mutex_lock (&s->mutex);
  k = candidate (s);
  if (k && atomic_load (&e->flush_failures) > 0) {
    drop (e, k - s->v);
    k = NULL;
  }
  if (k == NULL || k->state != SAMPLE_DURABLE) {
    pthread_mutex_unlock (&s->mutex);
    return;
  }
  sample_to_attribute (&k->sample, &a, content);
  pthread_mutex_unlock (&s->mutex);

  err = change_list_add_attribute (&list, &a);
  if (err == 0)
    err = spare_commit (e->spare, &list, NULL);

  pthread_mutex_lock (&s->mutex);
  s->next_ms = now_ms (e) + SAMPLE_INTERVAL_MS;
  k = candidate (s);
  /* It may be in the spare if it isn't known whether it is. */
  if (k && (err == 0 || list.in_doubt))
    k->state = SAMPLE_RECORDED;
  else if (k)
    drop (e, k - s->v);
  pthread_mutex_unlock (&s->mutex);
  change_list_free (&list);
}

/* Those that are RECORDED of these bytes, or all that are STALE, as keys. */
static unsigned
find (struct samples *s, uint64_t start, uint64_t end,
      enum sample_state state, uint32_t keys[SAMPLES_MAX])
{
  unsigned n = 0;

  for (unsigned i = 0; i < s->n; i++)
    if (s->v[i].state == state && is_of (&s->v[i], start, end))
      keys[n++] = s->v[i].sample.key;
  return n;
}

/* They are out of the spare, or couldn't be struck out. */
static void
settle (struct engine *e, const uint32_t *keys, unsigned n, bool struck)
{
  struct samples *s = &e->samples;

  pthread_mutex_lock (&s->mutex);
  for (unsigned j = 0; j < n; j++)
    for (unsigned i = 0; i < s->n; i++)
      if (s->v[i].sample.key == keys[j]) {
        if (struck)
          drop (e, i);
        else
          s->v[i].state = SAMPLE_STALE;
        break;
      }
  pthread_mutex_unlock (&s->mutex);
}

static void
strike_out (struct engine *e, const uint32_t *keys, unsigned n,
            uint64_t start)
{
  const int err = recognise_forget (e->spare, keys, n);

  settle (e, keys, n, err == 0);
  if (err)
    events_tell (e->config.events, EVENT_SPARE_WARNING, "the block at 0x%"
                 PRIx64 " of main is written, by which the spare recognises "
                 "it, and that can't be recorded (%s): the next start may "
                 "take main for another disk", start, strerror (err));
}

void
samples_strike (struct engine *e, uint64_t start, uint64_t end)
{
  struct samples *s = &e->samples;
  uint32_t keys[SAMPLES_MAX];
  bool found = false;
  unsigned n;

  pthread_mutex_lock (&s->mutex);
  for (unsigned i = 0; i < s->n && !found; i++)
    found = s->v[i].state != SAMPLE_STALE && is_of (&s->v[i], start, end);
  pthread_mutex_unlock (&s->mutex);
  if (!found)
    return;

  /* One that is just being recorded is, or isn't, when it is looked for. */
  pthread_mutex_lock (&s->commits);
  pthread_mutex_lock (&s->mutex);
  for (unsigned i = 0; i < s->n; i++)
    if ((s->v[i].state == SAMPLE_READ || s->v[i].state == SAMPLE_DURABLE) &&
        is_of (&s->v[i], start, end)) {
      drop (e, i);
      break;
    }
  n = find (s, start, end, SAMPLE_RECORDED, keys);
  pthread_mutex_unlock (&s->mutex);
  if (n > 0)
    strike_out (e, keys, n, start);
  pthread_mutex_unlock (&s->commits);
}

/* Again: there may be room by now. */
static void
strike_stale (struct engine *e)
{
  struct samples *s = &e->samples;
  uint32_t keys[SAMPLES_MAX];
  unsigned n;

  pthread_mutex_lock (&s->mutex);
  n = find (s, 0, UINT64_MAX, SAMPLE_STALE, keys);
  pthread_mutex_unlock (&s->mutex);
  if (n > 0 && !spare_failed (e->spare))
    settle (e, keys, n, recognise_forget (e->spare, keys, n) == 0);
}

void
samples_tick (struct engine *e)
{
  struct samples *s = &e->samples;
  bool listen;

  pthread_mutex_lock (&s->commits);
  record_candidate (e);
  strike_stale (e);
  pthread_mutex_lock (&s->mutex);
  listen = is_wanted (e) && now_ms (e) >= s->listen_ms;
  if (listen)
    s->listen_ms = now_ms (e) + LISTEN_MS;
  pthread_mutex_unlock (&s->mutex);
  pthread_mutex_unlock (&s->commits);
  if (!listen)
    return;
  atomic_store (&s->due, true);
  canaries_listen (&e->canaries);
}

unsigned
samples_count (struct engine *e)
{
  struct samples *s = &e->samples;
  unsigned n = 0;

  pthread_mutex_lock (&s->mutex);
  for (unsigned i = 0; i < s->n; i++)
    n += s->v[i].state == SAMPLE_RECORDED;
  pthread_mutex_unlock (&s->mutex);
  return n;
}

unsigned
samples_list (struct engine *e, struct sample v[SAMPLES_MAX])
{
  struct samples *s = &e->samples;
  unsigned n = 0;

  pthread_mutex_lock (&s->mutex);
  for (unsigned i = 0; i < s->n; i++)
    if (s->v[i].state == SAMPLE_RECORDED)
      v[n++] = s->v[i].sample;
  pthread_mutex_unlock (&s->mutex);
  return n;
}

bool
samples_has (struct engine *e, const struct sample *sample)
{
  struct samples *s = &e->samples;
  bool found = false;

  pthread_mutex_lock (&s->mutex);
  for (unsigned i = 0; i < s->n && !found; i++)
    found = s->v[i].state == SAMPLE_RECORDED &&
      s->v[i].sample.offset == sample->offset &&
      memcmp (s->v[i].sample.hash, sample->hash, SAMPLE_HASH) == 0;
  pthread_mutex_unlock (&s->mutex);
  return found;
}

/* Until when an hour has passed since the newest one, as far as a clock that
 * somebody may have set can tell.
 */
static uint64_t
first_ms (struct engine *e)
{
  const struct samples *s = &e->samples;
  const uint64_t now = e->config.time (e->config.opaque);
  uint64_t newest = 0;

  for (unsigned i = 0; i < s->n; i++)
    newest = max_u64 (newest, s->v[i].sample.time);
  if (newest > now || now - newest >= SAMPLE_INTERVAL_MS / 1000)
    return 0;
  return now_ms (e) + SAMPLE_INTERVAL_MS - (now - newest) * 1000;
}

int
samples_init (struct engine *e)
{
  struct samples *s = &e->samples;
  struct sample v[SAMPLES_MAX];
  unsigned n;
  int err;

  pthread_mutex_init (&s->mutex, NULL);
  pthread_mutex_init (&s->commits, NULL);
  err = recognise_list (e->spare, v, &n);
  if (err)
    return err;
  for (unsigned i = 0; i < n; i++)
    add (e, &v[i], SAMPLE_RECORDED);
  s->next_ms = first_ms (e);
  /* No region has been touched yet: all of them are tried anyway. */
  s->listen_ms = max_u64 (s->next_ms, now_ms (e) + LISTEN_MS);
  atomic_init (&s->due, is_wanted (e));
  return 0;
}

void
samples_destroy (struct engine *e)
{
  pthread_mutex_destroy (&e->samples.mutex);
  pthread_mutex_destroy (&e->samples.commits);
}
