/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Slots: which are free, and their contents.
 *
 * A bit for each slot says that it must not be given out: it is mapped,
 * or retired, or belongs to a list that has not been committed, or was
 * seen to fail in this session.  The bitmap exists in memory only; it
 * follows from the map and the retired set.
 *
 * The search goes on where the last one ended, so that a slot that was
 * freed isn't written again at once, and prefers one run of the wanted
 * length.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/internal.h"

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
      return i < end ? i : end;
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
  for (i = slot; i < end; ++i) {
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
  for (i = slot; i < slot + count; ++i) {
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
  for (i = slot; i < slot + count; ++i) {
    assert (bit_test (s->used, i));
    bit_clear (s->used, i);
  }
  s->nfree += count;
  pthread_mutex_unlock (&s->alloc_lock);
}

void
slots_release (struct spare *s, slot_t slot, uint64_t count)
{
  slots_free (s, slot, count);
  pthread_mutex_lock (&s->alloc_lock);
  s->full = false;
  pthread_mutex_unlock (&s->alloc_lock);
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

/* Where a slot is, and how many of COUNT are adjacent to it. */
static uint64_t
slot_place (const struct geometry *g, slot_t slot, uint64_t count,
            uint64_t *offset)
{
  unsigned i = 0;
  uint64_t n;

  while (slot - g->segment[i].first >= g->segment[i].nslots)
    ++i;
  *offset = g->segment[i].offset +
            (slot - g->segment[i].first) * SECTOR_SIZE;
  n = g->segment[i].first + g->segment[i].nslots - slot;
  return n < count ? n : count;
}

/* Takes a run of at most WANT adjacent free slots; 0 if there is none. */
static uint64_t
take_run (struct spare *s, uint64_t want, slot_t *slot)
{
  const struct geometry *g = spare_geometry (s);
  uint64_t i, end, seen = 0, best = 0, offset;

  pthread_mutex_lock (&s->alloc_lock);
  s->full = s->nfree == 0;
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
    end = s->nslots - i < want ? s->nslots : i + want;
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

/* Makes sure that slots can be written without running out of room below
 * the spare; a chunk at a time, once in a session.
 */
static int
prepare (struct spare *s, slot_t slot, uint64_t count)
{
  const struct geometry *g = spare_geometry (s);
  uint64_t chunk, i, end, n, offset;
  bool done;
  int err;

  for (chunk = slot / CHUNK_SLOTS;
       chunk <= (slot + count - 1) / CHUNK_SLOTS; ++chunk) {
    pthread_mutex_lock (&s->alloc_lock);
    done = bit_test (s->prepared, chunk);
    pthread_mutex_unlock (&s->alloc_lock);
    if (done)
      continue;
    i = chunk * CHUNK_SLOTS;
    end = i + CHUNK_SLOTS < g->nslots ? i + CHUNK_SLOTS : g->nslots;
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

/* Counts the outcome of a write to slots at OFFSET.  Where the device has
 * sectors of 4 KiB, eight slots fail together: that is one failure.
 */
static void
note_write (struct spare *s, uint64_t offset, int err)
{
  const uint64_t place = offset / FAILURE_UNIT + 1;

  if (err == 0) {
    /* Only now: a flush that began before the write ended doesn't cover
     * it.
     */
    atomic_store (&s->slots_dirty, true);
    atomic_store (&s->failures, 0);
    atomic_store (&s->failed_place, 0);
  }
  else if (!is_space_error (err) &&
           atomic_exchange (&s->failed_place, place) != place &&
           atomic_fetch_add (&s->failures, 1) + 1 >= MAX_FAILURES)
    spare_set_failed (s);
}

struct store {
  struct spare *s;
  struct change_list *list;
  sector_t sector;              /* of what is left */
  const uint8_t *data;
  uint64_t count;
  enum change_reason reason;
};

static int
store_note (struct store *st, enum change_kind kind, slot_t slot,
            uint64_t count)
{
  struct change c = {
    .sector = kind == CHANGE_REMAP ? st->sector : 0, .count = count,
    .slot = slot, .kind = kind, .reason = st->reason,
  };
  int err = change_list_add (st->list, &c);

  if (err == 0 && kind == CHANGE_REMAP) {
    st->sector += count;
    st->data += count * SECTOR_SIZE;
    st->count -= count;
  }
  return err;
}

/* Writes slot by slot, and retires those that fail; on return those of
 * the run that were not used are free again.
 */
static int
store_singly (struct store *st, slot_t slot, uint64_t n, int first_err)
{
  const struct geometry *g = spare_geometry (st->s);
  uint64_t i, offset;
  int err = 0, wr;

  /* There are no more slots than sectors to be placed. */
  for (i = 0; i < n && err == 0; ++i) {
    slot_place (g, slot + i, 1, &offset);
    /* One slot alone has been tried just now. */
    wr = n == 1 ? first_err
                : device_pwrite (st->s->dev, st->data, SECTOR_SIZE, offset);
    note_write (st->s, offset, wr);
    if (is_space_error (wr)) {
      err = ENOSPC;
      break;
    }
    err = store_note (st, wr ? CHANGE_RETIRE : CHANGE_REMAP, slot + i, 1);
    if (err && wr == 0)
      break;
    if (atomic_load (&st->s->failed) && err == 0)
      err = EIO;
  }
  if (i < n && !(atomic_load (&st->s->failed)))
    slots_free (st->s, slot + i, n - i);
  return err;
}

static int
store_run (struct store *st)
{
  const struct geometry *g;
  struct spare *s = st->s;
  uint64_t n, offset;
  slot_t slot = 0;
  int err;

  n = take_run (s, st->count < MAX_IO_SLOTS ? st->count : MAX_IO_SLOTS, &slot);
  if (n == 0)
    return ENOSPC;
  err = prepare (s, slot, n);
  if (err) {
    slots_free (s, slot, n);
    return is_space_error (err) ? ENOSPC : err == ENOMEM ? ENOMEM : EIO;
  }
  g = spare_geometry (s);
  slot_place (g, slot, n, &offset);
  err = device_pwrite (s->dev, st->data, n * SECTOR_SIZE, offset);
  if (err && !is_space_error (err))
    return store_singly (st, slot, n, err);
  note_write (s, offset, err);
  err = is_space_error (err) ? ENOSPC : store_note (st, CHANGE_REMAP, slot, n);
  if (err)
    slots_free (s, slot, n);
  return err;
}

int
spare_store (struct spare *s, struct change_list *list, sector_t sector,
             const void *data, uint32_t count, enum change_reason reason)
{
  struct store st = {
    .s = s, .list = list, .sector = sector, .data = data, .count = count,
    .reason = reason,
  };
  const size_t n0 = list->n;
  size_t i, n;
  int err = 0;

  if (s->read_only)
    return EROFS;

  /* Don't begin what can't be finished: clients repeat it for hours. */
  pthread_mutex_lock (&s->alloc_lock);
  if (s->nfree < count) {
    s->full = true;
    err = atomic_load (&s->failed) ? EIO : ENOSPC;
  }
  pthread_mutex_unlock (&s->alloc_lock);
  while (err == 0 && st.count > 0) {
    if (atomic_load (&s->failed))
      err = EIO;
    else
      err = store_run (&st);
  }
  if (err == 0)
    return 0;

  if (err == ENOSPC) {
    pthread_mutex_lock (&s->alloc_lock);
    s->full = true;
    pthread_mutex_unlock (&s->alloc_lock);
  }
  for (i = n = n0; i < list->n; ++i) {
    if (list->v[i].kind == CHANGE_RETIRE)
      list->v[n++] = list->v[i];
    else
      slots_free (s, list->v[i].slot, list->v[i].count);
  }
  list->n = n;
  return err;
}

void
spare_abandon (struct spare *s, struct change_list *list)
{
  size_t i;

  /* What was to be retired stays out of use in this session: it is known
   * to be bad, or it is still mapped.
   */
  for (i = 0; i < list->n; ++i) {
    if (list->v[i].kind == CHANGE_REMAP)
      slots_free (s, list->v[i].slot, list->v[i].count);
  }
  list->n = 0;
}

/* Calls the device for each piece of COUNT slots. */
static int
slot_io (struct spare *s, bool writing, uint8_t *buf, slot_t slot,
         uint64_t count)
{
  const struct geometry *g = spare_geometry (s);
  uint64_t n, offset;
  int err;

  if (slot > g->nslots || count > g->nslots - slot)
    return EIO;
  while (count > 0) {
    n = slot_place (g, slot, count < MAX_IO_SLOTS ? count : MAX_IO_SLOTS,
                    &offset);
    if (writing)
      err = device_pwrite (s->dev, buf, n * SECTOR_SIZE, offset);
    else
      err = device_pread (s->dev, buf, n * SECTOR_SIZE, offset);
    if (err)
      return err;
    buf += n * SECTOR_SIZE;
    slot += n;
    count -= n;
  }
  return 0;
}

int
spare_read (struct spare *s, void *buf, slot_t slot, uint32_t count)
{
  return slot_io (s, false, buf, slot, count);
}

int
spare_write (struct spare *s, const void *buf, slot_t slot, uint32_t count)
{
  const struct geometry *g = spare_geometry (s);
  uint64_t offset;
  int err;

  if (s->read_only)
    return EROFS;
  if (atomic_load (&s->failed) || slot > g->nslots || count > g->nslots - slot)
    return EIO;
  if (count == 0)
    return 0;
  err = slot_io (s, true, (uint8_t *) buf, slot, count);
  slot_place (g, slot, 1, &offset);
  note_write (s, offset, err);
  /* The first pieces of a write that failed may have to be flushed too. */
  if (err)
    atomic_store (&s->slots_dirty, true);
  return is_space_error (err) ? ENOSPC : err;
}

int
spare_read_part (struct spare *s, void *buf, slot_t slot, uint32_t offset,
                 uint32_t len)
{
  const struct geometry *g = spare_geometry (s);
  uint64_t place;

  if (slot >= g->nslots || offset > SECTOR_SIZE || len > SECTOR_SIZE - offset)
    return EIO;
  slot_place (g, slot, 1, &place);
  return device_pread (s->dev, buf, len, place + offset);
}
