/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "spare/attribute.h"

bool
attribute_tag_ok (const char *tag)
{
  const size_t len = strspn (tag, "abcdefghijklmnopqrstuvwxyz0123456789-");

  return len > 0 && len <= ATTRIBUTE_TAG && tag[len] == 0;
}

bool
attribute_is_known (const char *tag)
{
  return strcmp (tag, "copy") == 0;
}

struct attribute *
attribute_copy (const struct attribute *a)
{
  struct attribute *copy = malloc (sizeof *copy + a->len);

  if (copy == NULL)
    return NULL;
  *copy = *a;
  copy->data = (uint8_t *) (copy + 1);
  if (a->len > 0)
    memcpy (copy + 1, a->data, a->len);
  return copy;
}

int
attribute_compare (const struct attribute *a, const struct attribute *b)
{
  const int r = strcmp (a->tag, b->tag);

  return r ? r : a->key < b->key ? -1 : a->key > b->key;
}
