/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/states.h"
#include "engine/touched.h"

#define GIB_SHIFT (30 - SECTOR_SHIFT)

/* What a byte of struct touched says. */
#define NOW 1U                  /* marked by this run */
#define STALE 2U                /* marked by an earlier one */

/* The keys of the attributes: so many bits each, from these numbers on. */
#define BITS_PER_KEY (ATTRIBUTE_MAX * 8)
#define KEY_NOW UINT32_C (0x10000)
#define KEY_STALE UINT32_C (0x20000)
#define KEYS UINT32_C (0x10000)

static uint32_t
first_key (unsigned which)
{
  return which == NOW ? KEY_NOW : KEY_STALE;
}

/* The attribute with the bits WHICH of those from FIRST on; empty ones at the
 * end are left out, and so is one that is empty.
 */
static int
add_attribute (struct change_list *list, const struct touched *t,
               uint64_t first, unsigned which, const uint8_t *gib)
{
  uint8_t bits[ATTRIBUTE_MAX] = { 0 };
  struct attribute a = {
    .tag = "copy", .key = first_key (which) + first / BITS_PER_KEY,
    .flags = ATTRIBUTE_CRITICAL, .data = bits,
  };
  const uint64_t n = min_u64 (t->n - first, BITS_PER_KEY);

  for (uint64_t i = 0; i < n; i++)
    if (gib[first + i] & which) {
      bits[i / 8] |= 1U << i % 8;
      a.len = i / 8 + 1;
    }
  return change_list_add_attribute (list, &a);
}

/* Commits what GIB has of WHICH, of the GiBs FIRST to LAST. */
static int
commit (struct engine *e, struct touched *t, uint64_t first, uint64_t last,
        unsigned which, const uint8_t *gib)
{
  struct change_list list = { 0 };
  int err = 0;

  for (uint64_t i = first - first % BITS_PER_KEY; i <= last && err == 0;
       i += BITS_PER_KEY)
    err = add_attribute (&list, t, i, which, gib);
  if (err == 0)
    err = spare_commit (e->spare, &list, NULL);
  change_list_free (&list);
  return err;
}

/* A copy of the bytes, for the caller to change. */
static uint8_t *
copy_of (const struct touched *t)
{
  uint8_t *gib = malloc (t->n);

  for (uint64_t i = 0; gib && i < t->n; i++)
    gib[i] = atomic_load (&t->gib[i]);
  return gib;
}

/* Both kinds of an earlier run are STALE for this one. */
static int
load (struct touched *t, const struct attribute *a)
{
  const uint32_t n = a->key % KEYS;
  uint64_t gib;

  for (uint64_t i = 0; i < a->len * UINT64_C (8); i++) {
    if (!(a->data[i / 8] >> i % 8 & 1))
      continue;
    gib = (uint64_t) n * BITS_PER_KEY + i;
    if (gib >= t->n)
      return EINVAL;
    atomic_fetch_or (&t->gib[gib], STALE);
  }
  return 0;
}

int
touched_init (struct engine *e, struct touched *t)
{
  struct attribute *a;
  uint32_t key = KEY_NOW;
  int err = 0;

  pthread_mutex_init (&t->mutex, NULL);
  t->n = ((e->nr_sectors - 1) >> GIB_SHIFT) + 1;
  t->gib = calloc (t->n, sizeof *t->gib);
  if (t->gib == NULL)
    return ENOMEM;
  while (err == 0 && spare_next_attribute (e->spare, "copy", key, &a)) {
    if (a == NULL)
      return ENOMEM;
    if (strcmp (a->tag, "copy") != 0 || a->key >= KEY_STALE + KEYS) {
      free (a);
      break;
    }
    err = load (t, a);
    key = a->key + 1;
    free (a);
  }
  return err;
}

void
touched_destroy (struct touched *t)
{
  free (t->gib);
  pthread_mutex_destroy (&t->mutex);
}

static bool
all_marked (const struct touched *t, uint64_t first, uint64_t last)
{
  for (uint64_t i = first; i <= last; i++)
    if (!(atomic_load (&t->gib[i]) & NOW))
      return false;
  return true;
}

int
touched_mark (struct engine *e, sector_t start, uint64_t count)
{
  struct touched *t = &rescue_of (e)->touched;
  const uint64_t first = start >> GIB_SHIFT;
  const uint64_t last = (start + count - 1) >> GIB_SHIFT;
  uint8_t *gib;
  int err = 0;

  if (all_marked (t, first, last))
    return 0;
  pthread_mutex_lock (&t->mutex);
  if (!all_marked (t, first, last)) {
    gib = copy_of (t);
    for (uint64_t i = 0; gib && i < t->n; i++)
      /* Takes the place of what an earlier run may have left there. */
      if (gib[i] != 0 || (i >= first && i <= last))
        gib[i] |= NOW;
    err = gib ? commit (e, t, first, last, NOW, gib) : ENOMEM;
    for (uint64_t i = first; err == 0 && i <= last; i++)
      atomic_fetch_or (&t->gib[i], NOW);
    free (gib);
  }
  pthread_mutex_unlock (&t->mutex);
  return err;
}

bool
touched_stale (struct engine *e, sector_t start, uint64_t count)
{
  struct touched *t = &rescue_of (e)->touched;

  for (uint64_t i = start >> GIB_SHIFT; i <= (start + count - 1) >> GIB_SHIFT;
       i++)
    if (atomic_load (&t->gib[i]) & STALE)
      return true;
  return false;
}

int
touched_end (struct engine *e)
{
  struct touched *t = &rescue_of (e)->touched;
  uint8_t *gib = copy_of (t);
  int err;

  if (gib == NULL)
    return ENOMEM;
  /* First what stays for ever, then what was this run's. */
  err = commit (e, t, 0, t->n - 1, STALE, gib);
  memset (gib, 0, t->n);
  if (err == 0)
    err = commit (e, t, 0, t->n - 1, NOW, gib);
  free (gib);
  return err;
}
