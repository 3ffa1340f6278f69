/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * See memdev.h: what crashes leave behind, and images by the hundred
 * thousand.
 */

#include <config.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "memdev-internal.h"

/* The first of N events that comes after the last flush among them. */
static size_t
after_flush (const struct memdev *m, size_t n)
{
  size_t i;

  for (i = n; i > 0 && !m->event[i-1].flush; --i)
    ;
  return i;
}

size_t
memdev_unflushed (struct memdev *m, size_t n)
{
  size_t r;

  pthread_mutex_lock (&m->lock);
  assert (n <= m->nevents);
  r = n - after_flush (m, n);
  pthread_mutex_unlock (&m->lock);
  return r;
}

static void
apply (uint8_t *image, const struct memdev_event *e, uint32_t tear,
       uint64_t *seed)
{
  uint64_t i, n;

  if (e->flush)
    return;
  for (i = 0; i < e->count; i += n) {
    n = tear ? tear - (e->offset + i) % tear : e->count;
    if (n > e->count - i)
      n = e->count - i;
    if (tear == 0 || (memdev_random (seed) & 1))
      memcpy (image + e->offset + i, e->data + i, n);
  }
}

/* The device after the last flush among the first N events. */
static struct memdev *
flushed_copy (struct memdev *m, size_t n, size_t *rest)
{
  struct memdev *c = memdev_make (m->size, false);
  size_t i;

  assert (n <= m->nevents);
  *rest = after_flush (m, n);
  memcpy (c->base, m->base, m->size);
  for (i = 0; i < *rest; ++i)
    apply (c->base, &m->event[i], 0, NULL);
  return c;
}

struct memdev *
memdev_crash (struct memdev *m, size_t n, const struct memdev_crash *how)
{
  uint64_t seed = how->seed;
  struct memdev *c;
  size_t i, rest;
  bool lands;

  pthread_mutex_lock (&m->lock);
  c = flushed_copy (m, n, &rest);
  for (i = rest; i < n; ++i) {
    if (how->random)
      lands = memdev_random (&seed) & 1;
    else
      lands = i - rest < 64 && ((how->subset >> (i - rest)) & 1);
    if (lands)
      apply (c->base, &m->event[i], how->tear, &seed);
  }
  pthread_mutex_unlock (&m->lock);
  memcpy (c->data, c->base, c->size);
  return c;
}

struct memdev *
memdev_kill (struct memdev *m, size_t n)
{
  struct memdev *c;
  size_t i, rest;

  pthread_mutex_lock (&m->lock);
  c = flushed_copy (m, n, &rest);
  memcpy (c->data, c->base, c->size);
  for (i = rest; i < n; ++i)
    memdev_store (c, m->event[i].data, m->event[i].count, m->event[i].offset);
  pthread_mutex_unlock (&m->lock);
  return c;
}

static void
track (struct memdev *m)
{
  const size_t pages = m->size / PAGE + 1;

  if (m->dirty == NULL) {
    m->dirty = memdev_get (pages);
    m->dirty_list = memdev_get (pages * sizeof *m->dirty_list);
  }
  memset (m->dirty, 0, pages);
  m->ndirty = 0;
  m->recording = true;
}

void
memdev_freeze (struct memdev *m)
{
  pthread_mutex_lock (&m->lock);
  memdev_settle (m);
  assert (memcmp (m->base, m->data, m->size) == 0);
  track (m);
  pthread_mutex_unlock (&m->lock);
}

void
memdev_rewind (struct memdev *m)
{
  size_t i;

  pthread_mutex_lock (&m->lock);
  for (i = 0; i < m->nevents; ++i)
    memdev_put (m->event[i].data);
  m->nevents = 0;
  for (i = 0; i < m->ndirty; ++i) {
    const uint64_t offset = (uint64_t) m->dirty_list[i] * PAGE;
    const uint64_t rest = m->size - offset;

    memcpy (m->data + offset, m->base + offset, rest < PAGE ? rest : PAGE);
    m->dirty[m->dirty_list[i]] = 0;
  }
  m->ndirty = 0;
  for (i = 0; i < m->nbad; ++i)
    m->bad[i].left = m->bad[i].times;
  memdev_put (m->late);
  m->late = NULL;
  pthread_mutex_unlock (&m->lock);
}

void
memdev_patch (struct memdev *m, uint64_t offset, const void *buf,
              uint32_t count)
{
  pthread_mutex_lock (&m->lock);
  memdev_note_dirty (m, offset, count);
  memcpy (m->data + offset, buf, count);
  pthread_mutex_unlock (&m->lock);
}

struct memdev *
memdev_clone (struct memdev *m)
{
  struct memdev *c = memdev_make (m->size, false);

  pthread_mutex_lock (&m->lock);
  memcpy (c->base, m->base, m->size);
  memcpy (c->data, m->base, m->size);
  c->bad = memdev_get ((m->nbad + 1) * sizeof *c->bad);
  if (m->nbad > 0)
    memcpy (c->bad, m->bad, m->nbad * sizeof *c->bad);
  c->nbad = m->nbad;
  c->partial = m->partial;
  c->trim_zeroes = m->trim_zeroes;
  track (c);
  pthread_mutex_unlock (&m->lock);
  memdev_rewind (c);
  return c;
}

void
memdev_inject (struct memdev *m, uint64_t offset, const void *buf,
               uint32_t count)
{
  pthread_mutex_lock (&m->lock);
  memdev_store (m, buf, count, offset);
  pthread_mutex_unlock (&m->lock);
}
