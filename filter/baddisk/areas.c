/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Which sectors are bad now.
 *
 * A sector is bad if the list or the random areas say so, unless a write
 * has healed it.  Both are ordered lists of areas, in whole sectors; what
 * operations have changed is kept apart, by sector: the number of reads
 * that failed, or HEALED.  A sector that leaves the list forgets both, so
 * whoever wants it bad again puts it back.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "baddisk.h"

#define HEALED UINT32_MAX
#define MAX_TRIES (UINT32_MAX - 1)

/* The random areas of a disk of this size.  Never changed. */
struct random_set {
  struct random_set *next;
  uint64_t size;                /* bytes */
  struct area_list areas;
};

/* Guards all of these; held for lookups only. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct area_list list;
static struct file_key list_key;
static struct random_set *random_sets;
static struct tries tries;

/* Held while the list file is read, so that an operation that began after
 * the file had changed waits for the new list.  Taken before lock.
 */
static pthread_mutex_t reload_lock = PTHREAD_MUTEX_INITIALIZER;
static struct file_key complained_key;  /* guarded by reload_lock */
static bool complained;

int
areas_load (void)
{
  struct message message;

  if (params.list == NULL)
    return 0;
  list_key = list_file_key (params.list);
  if (list_file_read (params.list, params.block, &list, &message) != 0) {
    nbdkit_error ("baddisk-list=%s: %s", params.list, message.text);
    return -1;
  }
  nbdkit_debug ("baddisk: %zu bad areas in %s", list.n, params.list);
  return 0;
}

void
areas_free (void)
{
  struct random_set *set, *next;

  for (set = random_sets; set; set = next) {
    next = set->next;
    area_list_free (&set->areas);
    free (set);
  }
  random_sets = NULL;
  area_list_free (&list);
  tries_free (&tries);
}

/* Whether the lists call a sector bad (HEALED apart).  Under lock. */
static bool
is_listed (sector_t sector)
{
  const uint64_t offset = sector << SECTOR_SHIFT;

  if (area_list_find (&list, offset, SECTOR_SIZE))
    return true;
  for (struct random_set *set = random_sets; set; set = set->next)
    if (area_list_find (&set->areas, offset, SECTOR_SIZE))
      return true;
  return false;
}

static bool
list_is_current (const struct file_key *key)
{
  bool r;

  pthread_mutex_lock (&lock);
  r = list_file_same (key, &list_key) && !list_key.recent;
  pthread_mutex_unlock (&lock);
  return r;
}

/* Reads the list file again if it changed.  One that can't be read, or
 * understood, changes nothing and is complained about once.
 */
static void
follow_list (void)
{
  struct file_key key = list_file_key (params.list);
  struct area_list new, old;
  struct message message;
  int r;

  if (list_is_current (&key))
    return;

  pthread_mutex_lock (&reload_lock);
  key = list_file_key (params.list);
  if (list_is_current (&key))
    goto out;

  r = list_file_read (params.list, params.block, &new, &message);
  if (r != 0) {
    if (!complained || !list_file_same (&key, &complained_key))
      nbdkit_error ("baddisk-list=%s: %s; the bad areas stay as they were",
                    params.list, message.text);
    complained = true;
    complained_key = key;
    pthread_mutex_lock (&lock);
    list_key = key;
    pthread_mutex_unlock (&lock);
    goto out;
  }

  complained = false;
  pthread_mutex_lock (&lock);
  old = list;
  list = new;
  list_key = key;
  tries_forget (&tries, is_listed);
  pthread_mutex_unlock (&lock);
  area_list_free (&old);
  nbdkit_debug ("baddisk: %s changed: %zu bad areas", params.list, new.n);

 out:
  pthread_mutex_unlock (&reload_lock);
}

const struct area_list *
areas_random (uint64_t size)
{
  static const struct area_list none;
  struct random_set *set;
  struct message message;

  if (!params.random)
    return &none;

  /* Connections are few, so computing under the lock is no harm. */
  pthread_mutex_lock (&lock);
  for (set = random_sets; set; set = set->next)
    if (set->size == size)
      goto out;
  set = calloc (1, sizeof *set);
  if (set == NULL) {
    nbdkit_error ("calloc: %m");
    goto out;
  }
  set->size = size;
  if (random_areas (size, &set->areas, &message) != 0) {
    nbdkit_error ("%s", message.text);
    free (set);
    set = NULL;
    goto out;
  }
  set->next = random_sets;
  random_sets = set;

 out:
  pthread_mutex_unlock (&lock);
  return set ? &set->areas : NULL;
}

/* The first part of [OFFSET, END) that the lists call bad, as whole
 * sectors.  Under lock.
 */
static bool
next_bad (const struct area_list *random, uint64_t offset, uint64_t end,
          sector_t *first, sector_t *last)
{
  const struct area_list *const lists[] = { &list, random };
  bool found = false;

  for (size_t i = 0; i < 2; i++) {
    const struct area *a =
      offset < end ? area_list_find (lists[i], offset, end - offset) : NULL;
    uint64_t from, to;

    if (a == NULL)
      continue;
    from = (a->offset > offset ? a->offset : offset) >> SECTOR_SHIFT;
    to = a->offset + a->count < end ? a->offset + a->count : end;
    to = (to - 1) >> SECTOR_SHIFT;
    if (!found || from < *first) {
      *first = from;
      *last = to;
    }
    found = true;
  }
  return found;
}

/* Whether [OFFSET, END) holds all of a sector of a disk of SIZE bytes. */
static bool
covers_sector (sector_t sector, uint64_t size, uint64_t offset, uint64_t end)
{
  const uint64_t start = sector << SECTOR_SHIFT;

  return offset <= start &&
    (end >= size || end - start >= SECTOR_SIZE);
}

/* A read of one bad sector.  Under lock. */
static int
judge_read (enum op op, sector_t sector, uint32_t before,
            struct verdict *verdict)
{
  const uint32_t attempt = before + 1;
  uint32_t *value;

  if (!params.fail[op] || (params.recover && attempt >= params.recover)) {
    if (!verdict->attempt)
      verdict->attempt = attempt;
    return 0;
  }
  if (!verdict->fails) {
    verdict->attempt = attempt;
    verdict->bad = sector << SECTOR_SHIFT;
  }
  verdict->fails = true;
  if (before < MAX_TRIES) {
    value = tries_make (&tries, sector);
    if (value == NULL)
      return ENOMEM;
    *value = attempt;
  }
  return 0;
}

/* A write of one bad sector, the INDEXth of COUNT in its operation. */
static int
judge_write (enum op op, sector_t sector, size_t index, size_t count,
             bool covered, struct verdict *verdict)
{
  if (!params.fail[op] || (params.heal_write && covered))
    return 0;
  if (!verdict->fails)
    verdict->bad = sector << SECTOR_SHIFT;
  verdict->fails = true;
  if (params.partial == PARTIAL_NONE)
    return 0;
  if (verdict->stopped == NULL) {
    verdict->stopped = calloc (count / 8 + 1, 1);
    if (verdict->stopped == NULL)
      return ENOMEM;
  }
  verdict->stopped[index / 8] |= (unsigned char) (1U << (index % 8));
  return 0;
}

int
areas_judge (enum op op, const struct area_list *random, uint64_t size,
             uint64_t offset, uint32_t count, struct verdict *verdict)
{
  const uint64_t end = offset + count;
  const sector_t begin = offset >> SECTOR_SHIFT;
  const size_t sectors = (size_t) (((end - 1) >> SECTOR_SHIFT) - begin + 1);
  uint64_t position = offset;
  sector_t first, last;
  int r = 0;

  *verdict = (struct verdict) { 0 };
  if (params.list)
    follow_list ();

  pthread_mutex_lock (&lock);
  while (r == 0 && next_bad (random, position, end, &first, &last)) {
    for (sector_t s = first; r == 0 && s <= last; s++) {
      const uint32_t *value = tries_find (&tries, s);

      if (value && *value == HEALED)
        continue;
      verdict->touched = true;
      if (op == OP_READ || op == OP_CACHE)
        r = judge_read (op, s, value ? *value : 0, verdict);
      else if (op == OP_WRITE || op == OP_ZERO)
        r = judge_write (op, s, (size_t) (s - begin), sectors,
                         covers_sector (s, size, offset, end), verdict);
    }
    position = (last + 1) << SECTOR_SHIFT;
  }
  pthread_mutex_unlock (&lock);

  if (r != 0) {
    free (verdict->stopped);
    verdict->stopped = NULL;
  }
  return r;
}

void
areas_written (const struct area_list *random, uint64_t size,
               uint64_t offset, uint32_t count)
{
  const uint64_t end = offset + count;
  uint64_t position = offset;
  sector_t first, last;

  if (!params.heal_write)
    return;
  pthread_mutex_lock (&lock);
  while (next_bad (random, position, end, &first, &last)) {
    for (sector_t s = first; s <= last; s++) {
      uint32_t *value;

      if (!covers_sector (s, size, offset, end))
        continue;
      value = tries_make (&tries, s);
      if (value)
        *value = HEALED;
      else
        nbdkit_error ("baddisk: out of memory: a sector that was written "
                      "stays bad");
    }
    position = (last + 1) << SECTOR_SHIFT;
  }
  pthread_mutex_unlock (&lock);
}
