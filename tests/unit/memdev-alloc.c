/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Memory for devices comes from mmap, not malloc: tests replace malloc by
 * one that fails.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memdev-internal.h"

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

void *
memdev_get_pages (size_t len, bool zero)
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

void
memdev_put_pages (void *p, size_t len)
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

void *
memdev_get (size_t len)
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

void
memdev_put (void *p)
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
