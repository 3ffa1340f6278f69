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
 *
 * What is on a dead head is bad as well, and nothing changes that: so its
 * sectors have no number, which for a whole disk would be many.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "base/bytes.h"
#include "areas.h"

#define HEALED UINT32_MAX
#define MAX_TRIES (UINT32_MAX - 1)

/* The random areas of a disk of this size.  Never changed. */
struct random_set {
  struct random_set *next;
  uint64_t size;                /* bytes */
  struct area_list areas;
};

/* Whether the lists call a sector bad (HEALED apart).  Under lock. */
static bool
is_listed (const void *opaque, sector_t sector)
{
  const struct areas *areas = opaque;
  const uint64_t offset = sector << SECTOR_SHIFT;

  if (area_list_find (&areas->list.areas, offset, SECTOR_SIZE))
    return true;
  for (struct random_set *set = areas->random_sets; set; set = set->next)
    if (area_list_find (&set->areas, offset, SECTOR_SIZE))
      return true;
  return false;
}

/* The list has changed.  Under lock. */
static void
forget_others (void *opaque)
{
  struct areas *areas = opaque;

  tries_forget (&areas->tries, is_listed, areas);
}

/* The set for a disk of SIZE bytes; NULL: error, reported.  Under lock: there
 * are few connections, so computing under it is no harm.
 */
static struct random_set *
random_set (struct areas *areas, uint64_t size)
{
  struct random_set *set;
  struct message message;

  for (set = areas->random_sets; set; set = set->next)
    if (set->size == size)
      return set;
  set = calloc (1, sizeof *set);
  if (set == NULL) {
    nbdkit_error ("calloc: %m");
    return NULL;
  }
  set->size = size;
  if (random_areas (&areas->params->choice, size, &set->areas,
                    &message) != 0) {
    nbdkit_error ("%s", message.text);
    free (set);
    return NULL;
  }
  set->next = areas->random_sets;
  areas->random_sets = set;
  return set;
}

/* The first part of [OFFSET, END) that the lists call bad, as whole
 * sectors.  Under lock.
 */
static bool
next_bad (const struct areas *areas, const struct disk *disk,
          uint64_t offset, uint64_t end, sector_t *first, sector_t *last)
{
  const struct area_list *const lists[] = { &areas->list.areas, disk->random };
  bool found = false;

  for (size_t i = 0; i < 2; i++) {
    const struct area *a =
      offset < end ? area_list_find (lists[i], offset, end - offset) : NULL;
    sector_t from;

    if (a == NULL)
      continue;
    from = sector_of (max_u64 (a->offset, offset));
    if (!found || from < *first) {
      *first = from;
      *last = sector_of (min_u64 (a->offset + a->count, end) - 1);
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

/* An operation that fails at the sector of OFFSET, and perhaps at others. */
static void
fail_at (struct verdict *verdict, uint64_t offset, uint32_t attempt)
{
  if (!verdict->fails || offset < verdict->bad) {
    verdict->bad = round_down (offset, SECTOR_SIZE);
    verdict->attempt = attempt;
  }
  verdict->fails = true;
}

/* A read of one bad sector.  Under lock. */
static int
judge_read (struct areas *areas, enum op op, sector_t sector,
            uint32_t before, struct verdict *verdict)
{
  const struct params *params = areas->params;
  const uint32_t attempt = before + 1;
  uint32_t *value;

  if (!params->fail[op] || (params->recover && attempt >= params->recover)) {
    if (!verdict->attempt)
      verdict->attempt = attempt;
    return 0;
  }
  fail_at (verdict, sector << SECTOR_SHIFT, attempt);
  if (before < MAX_TRIES) {
    value = tries_make (&areas->tries, sector);
    if (value == NULL)
      return ENOMEM;
    *value = attempt;
  }
  return 0;
}

/* Keeps a write from the INDEXth of the COUNT sectors of its operation. */
static int
stop_at (const struct params *params, size_t index, size_t count,
         struct verdict *verdict)
{
  if (params->partial == PARTIAL_NONE)
    return 0;
  if (verdict->stopped == NULL) {
    verdict->stopped = calloc (count / 8 + 1, 1);
    if (verdict->stopped == NULL)
      return ENOMEM;
  }
  verdict->stopped[index / 8] |= (unsigned char) (1U << (index % 8));
  return 0;
}

/* A write of one bad sector, the INDEXth of COUNT in its operation. */
static int
judge_write (const struct params *params, enum op op, sector_t sector,
             size_t index, size_t count, bool covered,
             struct verdict *verdict)
{
  if (!params->fail[op] || (params->heal_write && covered))
    return 0;
  fail_at (verdict, sector << SECTOR_SHIFT, 0);
  return stop_at (params, index, count, verdict);
}

/* What the dead heads make of an operation, after all else has. */
static int
judge_heads (const struct params *params, enum op op, uint64_t offset,
             uint64_t end, struct verdict *verdict)
{
  const sector_t begin = sector_of (offset);
  const size_t sectors = sectors_in (offset, end);
  uint64_t from, to;
  int r = 0;

  for (; r == 0 && heads_next_dead (&params->heads, offset, end, &from, &to);
       offset = to) {
    verdict->touched = true;
    if (!params->heads_fail[op])
      continue;
    fail_at (verdict, from, 0);
    if (op == OP_WRITE || op == OP_ZERO)
      for (sector_t s = sector_of (from); r == 0 && s <= sector_of (to - 1);
           s++)
        r = stop_at (params, (size_t) (s - begin), sectors, verdict);
  }
  return r;
}

int
areas_start (struct areas *areas, const struct params *params)
{
  pthread_mutex_init (&areas->lock, NULL);
  areas->params = params;
  areas->list = (struct list_file) {
    .path = params->list, .parameter = "baddisk-list", .kind = "bad",
    .block = params->block, .lock = &areas->lock,
    .changed = forget_others, .owner = areas,
  };
  return list_load (&areas->list);
}

void
areas_free (struct areas *areas)
{
  struct random_set *set, *next;

  for (set = areas->random_sets; set; set = next) {
    next = set->next;
    area_list_free (&set->areas);
    free (set);
  }
  areas->random_sets = NULL;
  list_free (&areas->list);
  tries_free (&areas->tries);
}

int
areas_open_disk (struct areas *areas, uint64_t size, struct disk *disk)
{
  static const struct area_list none;
  struct random_set *set;

  *disk = (struct disk) { .size = size, .random = &none };
  if (!areas->params->random)
    return 0;
  pthread_mutex_lock (&areas->lock);
  set = random_set (areas, size);
  pthread_mutex_unlock (&areas->lock);
  if (set == NULL)
    return -1;
  disk->random = &set->areas;
  return 0;
}

int
areas_judge (struct areas *areas, const struct disk *disk, enum op op,
             uint64_t offset, uint32_t count, struct verdict *verdict)
{
  const uint64_t end = offset + count;
  const sector_t begin = sector_of (offset);
  const size_t sectors = sectors_in (offset, end);
  uint64_t position = offset;
  sector_t first, last;
  int r = 0;

  *verdict = (struct verdict) { 0 };
  list_follow (&areas->list);

  pthread_mutex_lock (&areas->lock);
  while (r == 0 && next_bad (areas, disk, position, end, &first, &last)) {
    for (sector_t s = first; r == 0 && s <= last; s++) {
      const uint32_t *value = tries_find (&areas->tries, s);

      if (value && *value == HEALED)
        continue;
      verdict->touched = true;
      if (op == OP_READ || op == OP_CACHE)
        r = judge_read (areas, op, s, value ? *value : 0, verdict);
      else if (op == OP_WRITE || op == OP_ZERO)
        r = judge_write (areas->params, op, s, (size_t) (s - begin), sectors,
                         covers_sector (s, disk->size, offset, end), verdict);
    }
    position = (last + 1) << SECTOR_SHIFT;
  }
  pthread_mutex_unlock (&areas->lock);

  if (r == 0)
    r = judge_heads (areas->params, op, offset, end, verdict);
  if (r != 0) {
    free (verdict->stopped);
    verdict->stopped = NULL;
  }
  return r;
}

void
areas_written (struct areas *areas, const struct disk *disk, uint64_t offset,
               uint32_t count)
{
  const uint64_t end = offset + count;
  uint64_t position = offset;
  sector_t first, last;

  if (!areas->params->heal_write)
    return;
  pthread_mutex_lock (&areas->lock);
  while (next_bad (areas, disk, position, end, &first, &last)) {
    for (sector_t s = first; s <= last; s++) {
      uint32_t *value;

      if (!covers_sector (s, disk->size, offset, end))
        continue;
      value = tries_make (&areas->tries, s);
      if (value)
        *value = HEALED;
      else
        nbdkit_error ("baddisk: out of memory: a sector that was written "
                      "stays bad");
    }
    position = (last + 1) << SECTOR_SHIFT;
  }
  pthread_mutex_unlock (&areas->lock);
}
