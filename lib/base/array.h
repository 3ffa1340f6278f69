/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Arrays that grow by one element at a time.
 *
 * The array, the number of its elements and the room for them are the
 * caller's.  Whoever appends asks for room first:
 *
 *   p = array_room (list->v, list->n, &list->cap, sizeof *p, 16);
 *   if (p == NULL)
 *     return ENOMEM;
 *   list->v = p;
 *   list->v[list->n++] = element;
 */

#ifndef REMAP_ARRAY_H
#define REMAP_ARRAY_H

#include <stddef.h>
#include <stdlib.h>

/* V has N elements of SIZE bytes, and room for *CAP.  Makes sure that there
 * is room for one more, and returns the array, which may have moved: FIRST
 * elements to begin with, twice as many whenever they are used up.  NULL:
 * out of memory, V and *CAP are as they were.
 */
static inline void *
array_room (void *v, size_t n, size_t *cap, size_t size, size_t first)
{
  const size_t wanted = *cap > 0 ? 2 * *cap : first;
  size_t bytes;
  void *p;

  if (n < *cap)
    return v;
  if (__builtin_mul_overflow (wanted, size, &bytes))
    return NULL;
  p = realloc (v, bytes);
  if (p != NULL)
    *cap = wanted;
  return p;
}

#endif /* REMAP_ARRAY_H */
