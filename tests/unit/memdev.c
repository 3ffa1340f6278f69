/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * See memdev.h: the operations.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memdev-internal.h"

uint64_t
memdev_random (uint64_t *seed)
{
  uint64_t z = *seed += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static void
add_event (struct memdev *m, bool flush, uint64_t offset, uint32_t count,
           const void *data)
{
  struct memdev_event *e;

  if (m->nevents == m->cap) {
    m->cap = m->cap ? m->cap * 2 : 64;
    e = memdev_get (m->cap * sizeof *e);
    if (m->nevents > 0)
      memcpy (e, m->event, m->nevents * sizeof *e);
    memdev_put (m->event);
    m->event = e;
  }
  e = &m->event[m->nevents++];
  *e = (struct memdev_event) {
    .flush = flush, .offset = offset, .count = count,
    .time = m->clock ? (*m->clock)++ : 0,
  };
  if (count > 0) {
    e->data = memdev_get (count);
    memcpy (e->data, data, count);
  }
}

/* Makes all events durable, and forgets them. */
void
memdev_settle (struct memdev *m)
{
  size_t i;

  for (i = 0; i < m->nevents; ++i) {
    if (!m->event[i].flush)
      memcpy (m->base + m->event[i].offset, m->event[i].data,
              m->event[i].count);
    memdev_put (m->event[i].data);
  }
  m->nevents = 0;
}

void
memdev_note_dirty (struct memdev *m, uint64_t offset, uint32_t count)
{
  uint64_t i;

  if (m->dirty == NULL || count == 0)
    return;
  for (i = offset / PAGE; i <= (offset + count - 1) / PAGE; ++i) {
    if (!m->dirty[i]) {
      m->dirty[i] = 1;
      m->dirty_list[m->ndirty++] = i;
    }
  }
}

void
memdev_store (struct memdev *m, const void *buf, uint32_t count,
              uint64_t offset)
{
  memdev_note_dirty (m, offset, count);
  memcpy (m->data + offset, buf, count);
  add_event (m, false, offset, count, buf);
}

/* Whether the operation fails, and with what. */
static int
verdict (struct memdev *m, enum memdev_op op, uint64_t offset,
         uint64_t count, const struct memdev_bad **bad)
{
  size_t i;

  *bad = NULL;
  if (offset > m->size || count > m->size - offset) {
    m->outside++;
    return EIO;
  }
  if (m->gone)
    return m->gone;
  if ((m->fail_ops & op) != 0 && m->fail_after > 0) {
    if (--m->fail_after == 0) {
      if (m->fail_forever)
        m->fail_after = 1;
      m->failed++;
      m->fail_hits++;
      if (m->fail_err == ENODEV && m->flush_loses && m->recording)
        add_event (m, false, 0, 0, NULL);
      return m->fail_err;
    }
  }
  for (i = 0; i < m->nbad; ++i) {
    if ((m->bad[i].ops & op) != 0 &&
        offset < m->bad[i].offset + m->bad[i].count &&
        m->bad[i].offset < offset + count &&
        (m->bad[i].times == 0 || m->bad[i].left > 0)) {
      if (m->bad[i].times > 0)
        m->bad[i].left--;
      *bad = &m->bad[i];
      m->failed++;
      return m->bad[i].err;
    }
  }
  return 0;
}

static bool
is_bad (const struct memdev *m, uint64_t offset, uint64_t count)
{
  size_t i;

  for (i = 0; i < m->nbad; ++i) {
    if ((m->bad[i].ops & MEMDEV_WRITE) != 0 &&
        offset < m->bad[i].offset + m->bad[i].count &&
        m->bad[i].offset < offset + count)
      return true;
  }
  return false;
}

/* What a failing write leaves behind. */
static void
store_partially (struct memdev *m, const uint8_t *buf, uint32_t count,
                 uint64_t offset)
{
  uint32_t i, n;

  for (i = 0; i < count; i += n) {
    n = SECTOR_SIZE - (offset + i) % SECTOR_SIZE;
    if (n > count - i)
      n = count - i;
    if (m->partial == MEMDEV_GOOD ? !is_bad (m, offset + i, n)
        : m->partial == MEMDEV_SOME && (i / SECTOR_SIZE) % 2 == 0)
      memdev_store (m, buf + i, n, offset + i);
  }
}

static int
take_room (struct memdev *m, uint64_t offset, uint64_t count)
{
  uint64_t i, end = (offset + count + PAGE - 1) / PAGE;

  for (i = offset / PAGE; i < end; ++i) {
    if (m->has_storage[i])
      continue;
    if (m->room == 0)
      return m->room_err;
    if (m->room != UINT64_MAX)
      m->room--;
    m->has_storage[i] = 1;
  }
  return 0;
}

static void
call_hook (struct memdev *m, enum memdev_op op, uint64_t offset,
           uint64_t count)
{
  void (*hook) (void *, enum memdev_op, uint64_t, uint64_t);
  void *opaque;

  pthread_mutex_lock (&m->lock);
  hook = m->hook;
  opaque = m->hook_opaque;
  pthread_mutex_unlock (&m->lock);
  if (hook)
    hook (opaque, op, offset, count);
}

static int
memdev_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  struct memdev *m = ctx;
  const struct memdev_bad *bad;
  int err;

  call_hook (m, MEMDEV_READ, offset, count);
  pthread_mutex_lock (&m->lock);
  m->reads++;
  m->bytes_read += count;
  err = verdict (m, MEMDEV_READ, offset, count, &bad);
  if (err == 0)
    memcpy (buf, m->data + offset, count);
  pthread_mutex_unlock (&m->lock);
  return err;
}

static int
write_locked (struct memdev *m, enum memdev_op op, const void *buf,
              uint32_t count, uint64_t offset)
{
  const struct memdev_bad *bad;
  int err;

  m->bytes_written += count;
  err = verdict (m, op, offset, count, &bad);
  if (err) {
    if (offset <= m->size && count <= m->size - offset && !m->gone)
      store_partially (m, buf, count, offset);
    if (err == ETIMEDOUT && m->late == NULL && m->dirty != NULL) {
      m->late = memdev_get (count);
      memcpy (m->late, buf, count);
      m->late_offset = offset;
      m->late_count = count;
    }
    return err;
  }
  err = take_room (m, offset, count);
  if (err == 0)
    memdev_store (m, buf, count, offset);
  return err;
}

static int
memdev_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  struct memdev *m = ctx;
  int err;

  call_hook (m, MEMDEV_WRITE, offset, count);
  pthread_mutex_lock (&m->lock);
  m->writes++;
  err = write_locked (m, MEMDEV_WRITE, buf, count, offset);
  pthread_mutex_unlock (&m->lock);
  return err;
}

static int
memdev_zero (void *ctx, uint32_t count, uint64_t offset, unsigned flags)
{
  struct memdev *m = ctx;
  void *zeroes = memdev_get (count);
  int err;

  memset (zeroes, 0, count);
  call_hook (m, MEMDEV_ZERO, offset, count);
  pthread_mutex_lock (&m->lock);
  m->zeroes++;
  err = write_locked (m, MEMDEV_ZERO, zeroes, count, offset);
  pthread_mutex_unlock (&m->lock);
  memdev_put (zeroes);
  return err;
}

static int
memdev_flush (void *ctx)
{
  struct memdev *m = ctx;
  const struct memdev_bad *bad;
  int err;

  call_hook (m, MEMDEV_FLUSH, 0, 0);
  pthread_mutex_lock (&m->lock);
  m->flushes++;
  err = verdict (m, MEMDEV_FLUSH, 0, 0, &bad);
  if (err == 0) {
    if (m->recording) {
      add_event (m, true, 0, 0, NULL);
      m->event[m->nevents-1].heals = m->reopened;
    }
    else
      memdev_settle (m);
    m->reopened = false;
  }
  else if (m->flush_loses && m->recording)
    add_event (m, false, 0, 0, NULL);
  pthread_mutex_unlock (&m->lock);
  return err;
}

static int
memdev_trim (void *ctx, uint32_t count, uint64_t offset)
{
  struct memdev *m = ctx;
  const struct memdev_bad *bad;
  int err;

  call_hook (m, MEMDEV_TRIM, offset, count);
  pthread_mutex_lock (&m->lock);
  m->trims++;
  err = verdict (m, MEMDEV_TRIM, offset, count, &bad);
  if (err == 0 && m->trim_zeroes) {
    void *zeroes = memdev_get (count);

    memset (zeroes, 0, count);
    memdev_store (m, zeroes, count, offset);
    memdev_put (zeroes);
  }
  pthread_mutex_unlock (&m->lock);
  return err;
}

static int
memdev_probe (void *ctx, uint64_t *size)
{
  struct memdev *m = ctx;
  const struct memdev_bad *bad;
  int err;

  call_hook (m, MEMDEV_PROBE, 0, 0);
  pthread_mutex_lock (&m->lock);
  m->probes++;
  err = verdict (m, MEMDEV_PROBE, 0, 0, &bad);
  *size = m->size;
  pthread_mutex_unlock (&m->lock);
  return err;
}

static int
memdev_allocate (void *ctx, uint64_t offset, uint64_t count)
{
  struct memdev *m = ctx;
  const struct memdev_bad *bad;
  int err;

  call_hook (m, MEMDEV_ALLOCATE, offset, count);
  pthread_mutex_lock (&m->lock);
  m->allocates++;
  err = verdict (m, MEMDEV_ALLOCATE, offset, count, &bad);
  if (err == 0)
    err = take_room (m, offset, count);
  pthread_mutex_unlock (&m->lock);
  return err;
}

static const struct device_ops memdev_ops = {
  .pread = memdev_pread, .pwrite = memdev_pwrite, .flush = memdev_flush,
  .zero = memdev_zero, .trim = memdev_trim, .probe = memdev_probe,
  .allocate = memdev_allocate,
};

struct memdev *
memdev_make (uint64_t size, bool zero)
{
  struct memdev *m = memdev_get (sizeof *m);

  memset (m, 0, sizeof *m);
  m->dev.ops = &memdev_ops;
  m->dev.ctx = m;
  m->size = size;
  pthread_mutex_init (&m->lock, NULL);
  m->data = memdev_get_pages (size + 1, zero);
  m->base = memdev_get_pages (size + 1, zero);
  m->has_storage = memdev_get_pages (size / PAGE + 1, true);
  m->room = UINT64_MAX;
  m->room_err = ENOSPC;
  return m;
}

struct memdev *
memdev_new (uint64_t size)
{
  return memdev_make (size, true);
}

void
memdev_free (struct memdev *m)
{
  size_t i;

  if (m == NULL)
    return;
  for (i = 0; i < m->nevents; ++i)
    memdev_put (m->event[i].data);
  memdev_put (m->event);
  memdev_put (m->bad);
  memdev_put (m->late);
  if (m->dirty) {
    memdev_put (m->dirty);
    memdev_put (m->dirty_list);
  }
  memdev_put_pages (m->data, m->size + 1);
  memdev_put_pages (m->base, m->size + 1);
  memdev_put_pages (m->has_storage, m->size / PAGE + 1);
  pthread_mutex_destroy (&m->lock);
  memdev_put (m);
}

static void *
resize_pages (void *old, uint64_t old_len, uint64_t new_len)
{
  void *p = memdev_get_pages (new_len, true);

  memcpy (p, old, old_len < new_len ? old_len : new_len);
  memdev_put_pages (old, old_len);
  return p;
}

void
memdev_resize (struct memdev *m, uint64_t size)
{
  pthread_mutex_lock (&m->lock);
  memdev_settle (m);
  m->data = resize_pages (m->data, m->size + 1, size + 1);
  m->base = resize_pages (m->base, m->size + 1, size + 1);
  m->has_storage = resize_pages (m->has_storage, m->size / PAGE + 1,
                                 size / PAGE + 1);
  m->size = size;
  pthread_mutex_unlock (&m->lock);
}

void
memdev_poke (struct memdev *m, uint64_t offset, const void *buf, size_t len)
{
  pthread_mutex_lock (&m->lock);
  assert (offset <= m->size && len <= m->size - offset);
  memcpy (m->data + offset, buf, len);
  memcpy (m->base + offset, buf, len);
  pthread_mutex_unlock (&m->lock);
}

void
memdev_record (struct memdev *m, bool recording)
{
  pthread_mutex_lock (&m->lock);
  m->recording = recording;
  pthread_mutex_unlock (&m->lock);
}

void
memdev_fail (struct memdev *m, unsigned ops, uint64_t n, int err,
             bool forever)
{
  pthread_mutex_lock (&m->lock);
  m->fail_ops = n ? ops : 0;
  m->fail_after = n;
  m->fail_err = err;
  m->fail_forever = forever;
  m->failed = m->fail_hits = 0;
  pthread_mutex_unlock (&m->lock);
}

void
memdev_land (struct memdev *m)
{
  pthread_mutex_lock (&m->lock);
  if (m->late)
    memdev_store (m, m->late, m->late_count, m->late_offset);
  memdev_put (m->late);
  m->late = NULL;
  pthread_mutex_unlock (&m->lock);
}

void
memdev_set_bad (struct memdev *m, unsigned ops, uint64_t offset,
                uint64_t count, int err)
{
  struct memdev_bad *v;
  size_t i, n = 0;

  pthread_mutex_lock (&m->lock);
  v = memdev_get ((m->nbad + 1) * sizeof *v);
  for (i = 0; i < m->nbad; ++i) {
    if (ops != 0 || m->bad[i].offset + m->bad[i].count <= offset ||
        offset + count <= m->bad[i].offset)
      v[n++] = m->bad[i];
  }
  if (ops != 0)
    v[n++] = (struct memdev_bad) { ops, offset, count, err, 0, 0 };
  memdev_put (m->bad);
  m->bad = v;
  m->nbad = n;
  pthread_mutex_unlock (&m->lock);
}

void
memdev_set_weak (struct memdev *m, unsigned times)
{
  pthread_mutex_lock (&m->lock);
  assert (m->nbad > 0);
  m->bad[m->nbad-1].times = m->bad[m->nbad-1].left = times;
  pthread_mutex_unlock (&m->lock);
}

void
memdev_set_room (struct memdev *m, uint64_t pages)
{
  pthread_mutex_lock (&m->lock);
  m->room = pages;
  pthread_mutex_unlock (&m->lock);
}
