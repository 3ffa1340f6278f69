/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A number for each sector that somebody touched.
 *
 * Bad sectors are often few and far apart, and sometimes a whole disk:
 * so numbers are kept in chunks of 64 sectors, found by hashing.  Chunks
 * are never given back before the end; they are few, or the disk is small.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "tries.h"

#define CHUNK_SHIFT 6
#define CHUNK_SECTORS (1U << CHUNK_SHIFT)

struct tries_chunk {
  uint64_t number;              /* sector >> CHUNK_SHIFT */
  uint32_t value[CHUNK_SECTORS];
};

/* Where the chunk is, or would be. */
static size_t
chunk_place (const struct tries *tries, uint64_t number)
{
  const size_t mask = tries->size - 1;
  size_t i = (size_t) ((number * UINT64_C (0x9e3779b97f4a7c15)) >> 32) & mask;

  while (tries->v[i] && tries->v[i]->number != number)
    i = (i + 1) & mask;
  return i;
}

static int
enlarge (struct tries *tries)
{
  struct tries bigger = {
    .size = tries->size ? tries->size * 2 : 64, .used = tries->used,
  };

  bigger.v = calloc (bigger.size, sizeof *bigger.v);
  if (bigger.v == NULL)
    return -1;
  for (size_t i = 0; i < tries->size; i++)
    if (tries->v[i])
      bigger.v[chunk_place (&bigger, tries->v[i]->number)] = tries->v[i];
  free (tries->v);
  *tries = bigger;
  return 0;
}

static int
compare_chunks (const void *a, const void *b)
{
  const uint64_t x = (*(struct tries_chunk *const *) a)->number;
  const uint64_t y = (*(struct tries_chunk *const *) b)->number;

  return x < y ? -1 : x > y;
}

uint32_t *
tries_find (const struct tries *tries, sector_t sector)
{
  struct tries_chunk *chunk;

  if (tries->size == 0)
    return NULL;
  chunk = tries->v[chunk_place (tries, sector >> CHUNK_SHIFT)];
  return chunk ? &chunk->value[sector % CHUNK_SECTORS] : NULL;
}

uint32_t *
tries_make (struct tries *tries, sector_t sector)
{
  uint32_t *value = tries_find (tries, sector);
  struct tries_chunk *chunk;

  if (value)
    return value;
  if (tries->used >= tries->size / 2 && enlarge (tries) == -1)
    return NULL;
  chunk = calloc (1, sizeof *chunk);
  if (chunk == NULL)
    return NULL;
  chunk->number = sector >> CHUNK_SHIFT;
  tries->v[chunk_place (tries, chunk->number)] = chunk;
  tries->used++;
  return &chunk->value[sector % CHUNK_SECTORS];
}

void
tries_forget (struct tries *tries,
              bool (*keep) (const void *opaque, sector_t sector),
              const void *opaque)
{
  for (size_t i = 0; i < tries->size; i++) {
    struct tries_chunk *chunk = tries->v[i];

    for (unsigned j = 0; chunk && j < CHUNK_SECTORS; j++)
      if (chunk->value[j] &&
          !keep (opaque, (chunk->number << CHUNK_SHIFT) + j))
        chunk->value[j] = 0;
  }
}

int
tries_each (const struct tries *tries,
            void (*fn) (void *opaque, sector_t sector, uint32_t number),
            void *opaque)
{
  struct tries_chunk **sorted;
  size_t n = 0;

  if (tries->used == 0)
    return 0;
  sorted = calloc (tries->used, sizeof *sorted);
  if (sorted == NULL)
    return -1;
  for (size_t i = 0; i < tries->size; i++)
    if (tries->v[i])
      sorted[n++] = tries->v[i];
  qsort (sorted, n, sizeof *sorted, compare_chunks);
  for (size_t i = 0; i < n; i++)
    for (unsigned j = 0; j < CHUNK_SECTORS; j++)
      if (sorted[i]->value[j])
        fn (opaque, (sorted[i]->number << CHUNK_SHIFT) + j,
            sorted[i]->value[j]);
  free (sorted);
  return 0;
}

void
tries_free (struct tries *tries)
{
  for (size_t i = 0; i < tries->size; i++)
    free (tries->v[i]);
  free (tries->v);
  *tries = (struct tries) { 0 };
}
