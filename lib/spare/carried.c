/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spare/carried.h"

int
carried_put (struct carried *c, const struct attribute *a)
{
  struct attribute **v = realloc (c->v, (c->n + 1) * sizeof *v);
  struct attribute *copy;
  size_t i = c->n;

  if (v == NULL)
    return ENOMEM;
  c->v = v;
  while (i > 0 && attribute_compare (v[i-1], a) >= 0)
    i--;
  if (i < c->n && attribute_compare (v[i], a) == 0) {
    free (v[i]);
    c->n--;
    memmove (v + i, v + i + 1, (c->n - i) * sizeof *v);
  }
  if (a->len == 0)
    return 0;
  copy = attribute_copy (a);
  if (copy == NULL)
    return ENOMEM;
  memmove (v + i + 1, v + i, (c->n - i) * sizeof *v);
  v[i] = copy;
  c->n++;
  return 0;
}

int
carried_copy (struct carried *c, const struct spare *s)
{
  if (s->nattributes == 0)
    return 0;
  c->v = malloc (s->nattributes * sizeof *c->v);
  if (c->v == NULL)
    return ENOMEM;
  for (; c->n < s->nattributes; c->n++) {
    c->v[c->n] = attribute_copy (s->attributes[c->n]);
    if (c->v[c->n] == NULL)
      return ENOMEM;
  }
  return 0;
}

int
carried_add_page (struct carried *c, const void *page,
                  const struct log_page *info)
{
  struct attribute a;
  struct log_entry e;
  int err = 0;

  for (unsigned i = 0; i < info->count && err == 0;
       i = log_page_next (i, &e)) {
    log_page_get (page, i, &e);
    if (e.kind != CHANGE_ATTRIBUTE)
      continue;
    log_page_get_attribute (page, i, &a);
    err = carried_put (c, &a);
  }
  return err;
}

void
carried_drop_transient (struct carried *c)
{
  size_t n = 0;

  for (size_t i = 0; i < c->n; i++) {
    if (c->v[i]->flags & ATTRIBUTE_TRANSIENT)
      free (c->v[i]);
    else
      c->v[n++] = c->v[i];
  }
  c->n = n;
}

void
carried_free (struct carried *c)
{
  for (size_t i = 0; i < c->n; i++)
    free (c->v[i]);
  free (c->v);
  c->v = NULL;
  c->n = 0;
}
