/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Which slots are free.
 *
 * A bit for each slot says that it must not be given out: it is mapped,
 * or retired, or belongs to a list that has not been committed, or was
 * seen to fail in this session.  The bitmap exists in memory only; it
 * follows from the map and the retired set.
 *
 * The search goes on where the last one ended, so that a slot that was
 * freed isn't written again at once, and prefers one run of the wanted
 * length.
 *
 * While the spare is copied, slots whose sectors go elsewhere aren't free at
 * once: a second bitmap has them, so that the copy finds in each slot what its
 * sector held when the copy was begun, or what was written to it since.  A
 * client's write comes first, though: where it finds no other slot it takes one
 * of these, and the copy is given up.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/slots.h"

#define CHUNK_SLOTS 2048U       /* slots that are allocated together */

/* After so many slots the best run found so far will do. */
#define SEARCH_SLOTS (UINT64_C (1) << 20)

static inline bool
bit_test (const uint64_t *bits, uint64_t i)
{
  return (bits[i / 64] >> (i % 64)) & 1;
}

static inline void
bit_set (uint64_t *bits, uint64_t i)
{
  bits[i / 64] |= UINT64_C (1) << (i % 64);
}

static inline void
bit_clear (uint64_t *bits, uint64_t i)
{
  bits[i / 64] &= ~(UINT64_C (1) << (i % 64));
}

/* The first bit at or after I that has VALUE, or END. */
static uint64_t
bit_find (const uint64_t *bits, uint64_t i, uint64_t end, bool value)
{
  uint64_t w;

  while (i < end) {
    w = (value ? bits[i / 64] : ~bits[i / 64]) >> (i % 64);
    if (w != 0) {
      i += __builtin_ctzll (w);
      return min_u64 (i, end);
    }
    i = round_down (i, 64) + 64;
  }
  return end;
}

static uint64_t
words (uint64_t bits)
{
  return bits / 64 + 1;
}

struct geometry *
spare_new_geometry (const struct header *h)
{
  struct geometry *g = calloc (1, sizeof *g);
  unsigned i;

  if (g == NULL)
    return NULL;
  g->nsegments = h->nsegments;
  for (i = 0; i < h->nsegments; i++) {
    g->segment[i].first = g->nslots;
    g->segment[i].nslots = h->segment[i].nslots;
    g->segment[i].offset = h->segment[i].offset;
    g->nslots += h->segment[i].nslots;
  }
  return g;
}

uint64_t
slot_place (const struct geometry *g, slot_t slot, uint64_t count,
            uint64_t *offset)
{
  unsigned i = 0;
  uint64_t n;

  while (slot - g->segment[i].first >= g->segment[i].nslots)
    i++;
  *offset = g->segment[i].offset +
            (slot - g->segment[i].first) * SECTOR_SIZE;
  n = g->segment[i].first + g->segment[i].nslots - slot;
  return min_u64 (n, count);
}

int
slots_init (struct spare *s)
{
  const uint64_t n = spare_geometry (s)->nslots;

  s->used = calloc (words (n), sizeof *s->used);
  s->prepared = calloc (words (n / CHUNK_SLOTS + 1), sizeof *s->prepared);
  if (s->used == NULL || s->prepared == NULL)
    return ENOMEM;
  s->nslots = s->nfree = n;
  return 0;
}

bool
slots_mark (struct spare *s, slot_t slot, uint64_t count)
{
  const uint64_t end = slot + count;
  uint64_t i;

  if (bit_find (s->used, slot, end, true) != end)
    return false;
  for (i = slot; i < end; i++) {
    if (i % 64 == 0 && end - i >= 64) {
      s->used[i / 64] = UINT64_MAX;
      i += 63;
    }
    else
      bit_set (s->used, i);
  }
  s->nfree -= count;
  return true;
}

void
slots_hold (struct spare *s, slot_t slot, uint64_t count)
{
  uint64_t i;

  pthread_mutex_lock (&s->alloc_lock);
  for (i = slot; i < slot + count; i++) {
    if (!bit_test (s->used, i)) {
      bit_set (s->used, i);
      s->nfree--;
    }
  }
  pthread_mutex_unlock (&s->alloc_lock);
}

void
slots_free (struct spare *s, slot_t slot, uint64_t count)
{
  uint64_t i;

  pthread_mutex_lock (&s->alloc_lock);
  for (i = slot; i < slot + count; i++) {
    assert (bit_test (s->used, i));
    bit_clear (s->used, i);
  }
  s->nfree += count;
  pthread_mutex_unlock (&s->alloc_lock);
}

void
slots_give_back (struct spare *s, const struct change_list *list)
{
  for (size_t i = 0; i < list->n; i++)
    if (list->v[i].kind == CHANGE_REMAP)
      slots_free (s, list->v[i].slot, list->v[i].count);
}

/* Those that wait are free now.  The caller has alloc_lock. */
static void
let_go (struct spare *s)
{
  uint64_t i;

  for (i = bit_find (s->kept, 0, s->kept_slots, true); i < s->kept_slots;
       i = bit_find (s->kept, i + 1, s->kept_slots, true))
    bit_clear (s->used, i);
  s->nfree += s->nkept;
  s->nkept = 0;
  memset (s->kept, 0, words (s->kept_slots) * sizeof *s->kept);
}

void
slots_release (struct spare *s, slot_t slot, uint64_t count)
{
  pthread_mutex_lock (&s->alloc_lock);
  for (uint64_t i = slot; i < slot + count; i++) {
    assert (bit_test (s->used, i));
    if (s->kept != NULL && !s->kept_wanted && i < s->kept_slots) {
      bit_set (s->kept, i);
      s->nkept++;
      continue;
    }
    bit_clear (s->used, i);
    s->nfree++;
  }
  s->full = false;
  pthread_mutex_unlock (&s->alloc_lock);
}

int
slots_keep_begin (struct spare *s)
{
  uint64_t *bits = calloc (words (s->nslots), sizeof *bits);

  if (bits == NULL)
    return ENOMEM;
  pthread_mutex_lock (&s->alloc_lock);
  if (s->kept == NULL) {
    s->kept = bits;
    s->kept_slots = s->nslots;
    s->nkept = 0;
    s->kept_wanted = false;
    bits = NULL;
  }
  pthread_mutex_unlock (&s->alloc_lock);
  free (bits);
  return bits == NULL ? 0 : EBUSY;
}

bool
slots_are_kept (struct spare *s)
{
  bool kept;

  pthread_mutex_lock (&s->alloc_lock);
  kept = !s->kept_wanted;
  pthread_mutex_unlock (&s->alloc_lock);
  return kept;
}

void
slots_keep_end (struct spare *s)
{
  pthread_mutex_lock (&s->alloc_lock);
  let_go (s);
  free (s->kept);
  s->kept = NULL;
  pthread_mutex_unlock (&s->alloc_lock);
}

/* The caller has alloc_lock. */
static bool
have_slots (struct spare *s, uint64_t count)
{
  if (s->nfree < count && s->nkept > 0) {
    s->kept_wanted = true;
    let_go (s);
  }
  return s->nfree >= count;
}

bool
slots_want (struct spare *s, uint64_t count)
{
  bool enough;

  pthread_mutex_lock (&s->alloc_lock);
  enough = have_slots (s, count);
  if (!enough)
    s->full = true;
  pthread_mutex_unlock (&s->alloc_lock);
  return enough;
}

int
slots_reserve_bitmap (struct spare *s, uint64_t nslots)
{
  const uint64_t old = words (s->nslots), new = words (nslots);
  const uint64_t old_p = words (s->nslots / CHUNK_SLOTS + 1);
  const uint64_t new_p = words (nslots / CHUNK_SLOTS + 1);
  uint64_t *p;
  int err = ENOMEM;

  /* The number of slots doesn't change meanwhile: the caller leads. */
  pthread_mutex_lock (&s->alloc_lock);
  p = realloc (s->used, new * sizeof *p);
  if (p == NULL)
    goto out;
  memset (p + old, 0, (new - old) * sizeof *p);
  s->used = p;
  p = realloc (s->prepared, new_p * sizeof *p);
  if (p == NULL)
    goto out;
  memset (p + old_p, 0, (new_p - old_p) * sizeof *p);
  s->prepared = p;
  err = 0;
 out:
  pthread_mutex_unlock (&s->alloc_lock);
  return err;
}

void
slots_grown (struct spare *s, uint64_t nslots)
{
  pthread_mutex_lock (&s->alloc_lock);
  /* The last chunk was prepared up to the former end only. */
  bit_clear (s->prepared, s->nslots / CHUNK_SLOTS);
  s->nfree += nslots - s->nslots;
  s->nslots = nslots;
  s->full = false;
  pthread_mutex_unlock (&s->alloc_lock);
}

uint64_t
slots_take (struct spare *s, uint64_t want, slot_t *slot)
{
  const struct geometry *g = spare_geometry (s);
  uint64_t i, end, seen = 0, best = 0, offset;

  pthread_mutex_lock (&s->alloc_lock);
  s->full = !have_slots (s, 1);
  i = s->cursor < s->nslots ? s->cursor : 0;
  while (s->nfree > 0 && best < want &&
         seen < s->nslots + want && (best == 0 || seen < SEARCH_SLOTS)) {
    end = bit_find (s->used, i, s->nslots, false);
    seen += end - i;
    i = end;
    if (i == s->nslots) {
      i = 0;
      continue;
    }
    end = i + min_u64 (want, s->nslots - i);
    end = bit_find (s->used, i, end, true);
    if (end - i > best) {
      best = end - i;
      *slot = i;
    }
    seen += end - i;
    i = end < s->nslots ? end : 0;
  }
  if (best > 0) {
    /* A segment may have been added after G was looked at. */
    if (*slot >= g->nslots)
      g = spare_geometry (s);
    best = slot_place (g, *slot, best, &offset);
    slots_mark (s, *slot, best);
    s->cursor = *slot + best;
  }
  pthread_mutex_unlock (&s->alloc_lock);
  return best;
}

int
slots_prepare (struct spare *s, slot_t slot, uint64_t count)
{
  const struct geometry *g = spare_geometry (s);
  uint64_t chunk, i, end, n, offset;
  bool done;
  int err;

  for (chunk = slot / CHUNK_SLOTS;
       chunk <= (slot + count - 1) / CHUNK_SLOTS; chunk++) {
    pthread_mutex_lock (&s->alloc_lock);
    done = bit_test (s->prepared, chunk);
    pthread_mutex_unlock (&s->alloc_lock);
    if (done)
      continue;
    i = chunk * CHUNK_SLOTS;
    end = min_u64 (i + CHUNK_SLOTS, g->nslots);
    for (; i < end; i += n) {
      n = slot_place (g, i, end - i, &offset);
      err = device_allocate (s->dev, offset, n * SECTOR_SIZE);
      if (err)
        return err;
    }
    pthread_mutex_lock (&s->alloc_lock);
    /* Not if the spare has grown meanwhile, and the chunk with it. */
    if (g->nslots == s->nslots)
      bit_set (s->prepared, chunk);
    pthread_mutex_unlock (&s->alloc_lock);
  }
  return 0;
}
