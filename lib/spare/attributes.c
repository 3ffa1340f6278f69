/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "spare/attributes.h"
#include "spare/sample.h"

/* The index of A among N that are sorted, or of where it would be. */
static size_t
find_among (const struct attribute *const *v, size_t n,
            const struct attribute *a, bool *found)
{
  size_t low = 0, high = n;

  *found = false;
  while (low < high) {
    const size_t mid = low + (high - low) / 2;
    const int r = attribute_compare (v[mid], a);

    if (r == 0) {
      *found = true;
      return mid;
    }
    if (r < 0)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static size_t
find (const struct spare *s, const struct attribute *a, bool *found)
{
  return find_among ((const struct attribute *const *) s->attributes,
                     s->nattributes, a, found);
}

/* How much content A's place has had until now; none has 0. */
static uint32_t
length_of (const struct spare *s, const struct attribute *a)
{
  bool found;
  const size_t i = find (s, a, &found);

  return found ? s->attributes[i]->len : 0;
}

static void
replace (struct attribute_sum *sum, uint32_t was, uint32_t is)
{
  sum->n += (is > 0) - (was > 0);
  sum->bytes += (int64_t) is - was;
}

int
attributes_reserve (struct spare *s, size_t n)
{
  struct attribute **v;

  if (n == 0)
    return 0;
  v = realloc (s->attributes, (s->nattributes + n) * sizeof *v);
  if (v == NULL)
    return ENOMEM;
  s->attributes = v;
  return 0;
}

void
attributes_put (struct spare *s, struct attribute *a)
{
  struct attribute **v = s->attributes;
  bool found;
  const size_t i = find (s, a, &found);

  if (found) {
    s->attribute_bytes -= v[i]->len;
    free (v[i]);
  }
  if (a->len > 0) {
    s->attribute_bytes += a->len;
    if (!found) {
      memmove (v + i + 1, v + i, (s->nattributes - i) * sizeof *v);
      s->nattributes++;
    }
    v[i] = a;
    return;
  }
  free (a);
  if (found) {
    s->nattributes--;
    memmove (v + i, v + i + 1, (s->nattributes - i) * sizeof *v);
  }
}

int
attributes_count (const struct spare *s, const struct attribute *a,
                  struct attribute_sum *sum)
{
  const struct attribute **v = array_room (sum->latest, sum->nlatest,
                                           &sum->cap, sizeof *v, 16);
  bool found;
  size_t i;

  if (v == NULL)
    return ENOMEM;
  sum->latest = v;
  i = find_among (v, sum->nlatest, a, &found);
  replace (sum, found ? v[i]->len : length_of (s, a), a->len);
  if (!found) {
    memmove (v + i + 1, v + i, (sum->nlatest - i) * sizeof *v);
    sum->nlatest++;
  }
  v[i] = a;
  return 0;
}

void
attribute_sum_free (struct attribute_sum *sum)
{
  free (sum->latest);
}

bool
attributes_too_many (const struct spare *s, const struct attribute_sum *sum)
{
  return (int64_t) s->nattributes + sum->n > ATTRIBUTES_MAX ||
         (int64_t) s->attribute_bytes + sum->bytes > ATTRIBUTES_MAX_BYTES;
}

const char *
attributes_load (struct spare *s, const struct attribute *a, int *err)
{
  struct attribute_sum sum = { 0 };
  struct attribute *copy;
  const char *wrong;

  *err = ENOTSUP;
  if ((a->flags & ATTRIBUTE_CRITICAL) && !attribute_is_known (a->tag))
    return "an attribute that this program would have to know";
  *err = EINVAL;
  wrong = sample_problem (a, s->hdr.main_size);
  if (wrong)
    return wrong;
  replace (&sum, length_of (s, a), a->len);
  if (attributes_too_many (s, &sum))
    return "more attributes than a spare may have";
  *err = ENOMEM;
  copy = attribute_copy (a);
  if (copy == NULL || attributes_reserve (s, 1) != 0) {
    free (copy);
    return "out of memory";
  }
  attributes_put (s, copy);
  *err = 0;
  return NULL;
}

void
attributes_free (struct spare *s)
{
  for (size_t i = 0; i < s->nattributes; i++)
    free (s->attributes[i]);
  free (s->attributes);
}

bool
spare_next_attribute (struct spare *s, const char *tag, uint32_t key,
                      struct attribute **copy)
{
  struct attribute from = { .key = key };
  bool found;
  size_t i;

  *copy = NULL;
  strncpy (from.tag, tag, ATTRIBUTE_TAG);
  pthread_mutex_lock (&s->lock);
  i = find (s, &from, &found);
  found = i < s->nattributes;
  if (found)
    *copy = attribute_copy (s->attributes[i]);
  pthread_mutex_unlock (&s->lock);
  return found;
}
