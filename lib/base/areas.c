/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Areas of a disk.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "base/areas.h"
#include "base/array.h"

static int
compare_areas (const void *a, const void *b)
{
  const uint64_t x = ((const struct area *) a)->offset;
  const uint64_t y = ((const struct area *) b)->offset;

  return x < y ? -1 : x > y;
}

/* Lets an area reach as far as one that begins within it, or at its end. */
static void
extend (struct area *a, uint64_t offset, uint64_t count)
{
  const uint64_t skip = offset - a->offset;

  if (count > a->count - skip)
    a->count = skip + count;
}

static bool
touches (const struct area *a, uint64_t offset)
{
  return a->offset <= offset && offset - a->offset <= a->count;
}

/* An area that continues the last one extends it: a list in ascending order,
 * which is what programs write, takes no more memory than its result.
 */
int
area_list_add (struct area_list *list, uint64_t offset, uint64_t count)
{
  struct area *last = list->n ? &list->v[list->n - 1] : NULL, *v;

  if (count == 0)
    return 0;
  if (last && touches (last, offset)) {
    extend (last, offset, count);
    return 0;
  }
  v = array_room (list->v, list->n, &list->cap, sizeof *v, 64);
  if (v == NULL)
    return ENOMEM;
  if (list->n > 0 && offset < v[list->n - 1].offset)
    list->unsorted = true;
  list->v = v;
  list->v[list->n++] = (struct area) { .offset = offset, .count = count };
  return 0;
}

void
area_list_finish (struct area_list *list)
{
  size_t n = 0;

  if (!list->unsorted)
    return;
  qsort (list->v, list->n, sizeof *list->v, compare_areas);
  for (size_t i = 0; i < list->n; i++) {
    const struct area a = list->v[i];

    if (n > 0 && touches (&list->v[n-1], a.offset))
      extend (&list->v[n-1], a.offset, a.count);
    else
      list->v[n++] = a;
  }
  list->n = n;
  list->unsorted = false;
}

void
area_list_free (struct area_list *list)
{
  free (list->v);
  *list = (struct area_list) { 0 };
}

const struct area *
area_list_find (const struct area_list *list, uint64_t offset, uint64_t count)
{
  size_t low = 0, high = list->n;

  /* The first area that ends after OFFSET. */
  while (low < high) {
    const size_t mid = low + (high - low) / 2;
    const struct area *a = &list->v[mid];

    if (a->offset + a->count > offset)
      high = mid;
    else
      low = mid + 1;
  }
  if (low == list->n || count == 0)
    return NULL;
  if (list->v[low].offset > offset && list->v[low].offset - offset >= count)
    return NULL;
  return &list->v[low];
}
