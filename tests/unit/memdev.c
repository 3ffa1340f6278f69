/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * See memdev.h.  Memory comes from mmap, not malloc: tests replace malloc
 * by one that fails.
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memdev.h"

#define PAGE 4096U

/* Writes are small, a mapping for each would be too many: an allocator
 * that only ever gives back everything at once would keep too much.  So
 * each block has a header, and blocks up to 64 KiB come from free lists.
 */
struct block {
  struct block *next;
  size_t class;         /* or the size of a mapping of its own */
};

#define CLASSES 12      /* 32 bytes << class */
static struct block *free_list[CLASSES];

/* Whole devices come and go by the thousand: a few mappings are kept,
 * since the kernel takes longer to make new ones than all else together.
 */
#define KEPT 12
#define KEPT_MAX (UINT64_C (64) << 20)
static struct { void *p; size_t len; } kept[KEPT];

static pthread_mutex_t alloc_lock = PTHREAD_MUTEX_INITIALIZER;

static void *
map_pages (size_t len)
{
  void *p = mmap (NULL, len, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  if (p == MAP_FAILED)
    abort ();
  return p;
}

/* ZERO: the content matters. */
static void *
get_pages (size_t len, bool zero)
{
  void *p = NULL;
  unsigned i;

  pthread_mutex_lock (&alloc_lock);
  for (i = 0; i < KEPT && p == NULL; ++i) {
    if (kept[i].p != NULL && kept[i].len == len) {
      p = kept[i].p;
      kept[i].p = NULL;
    }
  }
  pthread_mutex_unlock (&alloc_lock);
  if (p == NULL)
    return map_pages (len);
  if (zero)
    memset (p, 0, len);
  return p;
}

static void
put_pages (void *p, size_t len)
{
  static unsigned next;
  void *old;
  size_t old_len;

  if (len > KEPT_MAX) {
    munmap (p, len);
    return;
  }
  pthread_mutex_lock (&alloc_lock);
  next = (next + 1) % KEPT;
  old = kept[next].p;
  old_len = kept[next].len;
  kept[next].p = p;
  kept[next].len = len;
  pthread_mutex_unlock (&alloc_lock);
  if (old)
    munmap (old, old_len);
}

static void *
get (size_t len)
{
  size_t class = 0, size, i;
  struct block *b;
  char *p;

  len += sizeof *b;
  while (class < CLASSES && (UINT64_C (32) << class) < len)
    class++;
  if (class == CLASSES) {
    b = map_pages (len);
    b->class = len;
    return b + 1;
  }
  pthread_mutex_lock (&alloc_lock);
  if (free_list[class] == NULL) {
    size = UINT64_C (32) << class;
    p = map_pages (1 << 20);
    for (i = 0; i + size <= 1 << 20; i += size) {
      b = (struct block *) (p + i);
      b->next = free_list[class];
      free_list[class] = b;
    }
  }
  b = free_list[class];
  free_list[class] = b->next;
  b->class = class;
  pthread_mutex_unlock (&alloc_lock);
  return b + 1;
}

static void
put (void *p)
{
  struct block *b = p;

  if (b == NULL)
    return;
  b--;
  if (b->class >= CLASSES) {
    munmap (b, b->class);
    return;
  }
  pthread_mutex_lock (&alloc_lock);
  b->next = free_list[b->class];
  free_list[b->class] = b;
  pthread_mutex_unlock (&alloc_lock);
}

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
    e = get (m->cap * sizeof *e);
    if (m->nevents > 0)
      memcpy (e, m->event, m->nevents * sizeof *e);
    put (m->event);
    m->event = e;
  }
  e = &m->event[m->nevents++];
  *e = (struct memdev_event) {
    .flush = flush, .offset = offset, .count = count,
    .time = m->clock ? (*m->clock)++ : 0,
  };
  if (!flush) {
    e->data = get (count);
    memcpy (e->data, data, count);
  }
}

/* Makes all events durable, and forgets them. */
static void
settle (struct memdev *m)
{
  size_t i;

  for (i = 0; i < m->nevents; ++i) {
    if (!m->event[i].flush)
      memcpy (m->base + m->event[i].offset, m->event[i].data,
              m->event[i].count);
    put (m->event[i].data);
  }
  m->nevents = 0;
}

static void
note_dirty (struct memdev *m, uint64_t offset, uint32_t count)
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

static void
store (struct memdev *m, const void *buf, uint32_t count, uint64_t offset)
{
  note_dirty (m, offset, count);
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
      store (m, buf + i, n, offset + i);
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
    return err;
  }
  err = take_room (m, offset, count);
  if (err == 0)
    store (m, buf, count, offset);
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
  void *zeroes = get (count);
  int err;

  memset (zeroes, 0, count);
  call_hook (m, MEMDEV_ZERO, offset, count);
  pthread_mutex_lock (&m->lock);
  m->zeroes++;
  err = write_locked (m, MEMDEV_ZERO, zeroes, count, offset);
  pthread_mutex_unlock (&m->lock);
  put (zeroes);
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
    if (m->recording)
      add_event (m, true, 0, 0, NULL);
    else
      settle (m);
  }
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
    void *zeroes = get (count);

    memset (zeroes, 0, count);
    store (m, zeroes, count, offset);
    put (zeroes);
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

static struct memdev *
new_device (uint64_t size, bool zero)
{
  struct memdev *m = get (sizeof *m);

  memset (m, 0, sizeof *m);
  m->dev.ops = &memdev_ops;
  m->dev.ctx = m;
  m->size = size;
  pthread_mutex_init (&m->lock, NULL);
  m->data = get_pages (size + 1, zero);
  m->base = get_pages (size + 1, zero);
  m->has_storage = get_pages (size / PAGE + 1, true);
  m->room = UINT64_MAX;
  m->room_err = ENOSPC;
  return m;
}

struct memdev *
memdev_new (uint64_t size)
{
  return new_device (size, true);
}

void
memdev_free (struct memdev *m)
{
  size_t i;

  if (m == NULL)
    return;
  for (i = 0; i < m->nevents; ++i)
    put (m->event[i].data);
  put (m->event);
  put (m->bad);
  if (m->dirty) {
    put (m->dirty);
    put (m->dirty_list);
  }
  put_pages (m->data, m->size + 1);
  put_pages (m->base, m->size + 1);
  put_pages (m->has_storage, m->size / PAGE + 1);
  pthread_mutex_destroy (&m->lock);
  put (m);
}

static void *
resize_pages (void *old, uint64_t old_len, uint64_t new_len)
{
  void *p = get_pages (new_len, true);

  memcpy (p, old, old_len < new_len ? old_len : new_len);
  put_pages (old, old_len);
  return p;
}

void
memdev_resize (struct memdev *m, uint64_t size)
{
  pthread_mutex_lock (&m->lock);
  settle (m);
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
  m->failed = 0;
  pthread_mutex_unlock (&m->lock);
}

void
memdev_set_bad (struct memdev *m, unsigned ops, uint64_t offset,
                uint64_t count, int err)
{
  struct memdev_bad *v;
  size_t i, n = 0;

  pthread_mutex_lock (&m->lock);
  v = get ((m->nbad + 1) * sizeof *v);
  for (i = 0; i < m->nbad; ++i) {
    if (ops != 0 || m->bad[i].offset + m->bad[i].count <= offset ||
        offset + count <= m->bad[i].offset)
      v[n++] = m->bad[i];
  }
  if (ops != 0)
    v[n++] = (struct memdev_bad) { ops, offset, count, err, 0, 0 };
  put (m->bad);
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
  struct memdev *c = new_device (m->size, false);
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
    store (c, m->event[i].data, m->event[i].count, m->event[i].offset);
  pthread_mutex_unlock (&m->lock);
  return c;
}

static void
track (struct memdev *m)
{
  const size_t pages = m->size / PAGE + 1;

  if (m->dirty == NULL) {
    m->dirty = get (pages);
    m->dirty_list = get (pages * sizeof *m->dirty_list);
  }
  memset (m->dirty, 0, pages);
  m->ndirty = 0;
  m->recording = true;
}

void
memdev_freeze (struct memdev *m)
{
  pthread_mutex_lock (&m->lock);
  settle (m);
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
    put (m->event[i].data);
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
  pthread_mutex_unlock (&m->lock);
}

void
memdev_patch (struct memdev *m, uint64_t offset, const void *buf,
              uint32_t count)
{
  pthread_mutex_lock (&m->lock);
  note_dirty (m, offset, count);
  memcpy (m->data + offset, buf, count);
  pthread_mutex_unlock (&m->lock);
}

struct memdev *
memdev_clone (struct memdev *m)
{
  struct memdev *c = new_device (m->size, false);

  pthread_mutex_lock (&m->lock);
  memcpy (c->base, m->base, m->size);
  memcpy (c->data, m->base, m->size);
  c->bad = get ((m->nbad + 1) * sizeof *c->bad);
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
  store (m, buf, count, offset);
  pthread_mutex_unlock (&m->lock);
}
