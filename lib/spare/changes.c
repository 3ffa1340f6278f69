/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "spare/changes.h"

int
change_list_add (struct change_list *list, const struct change *change)
{
  struct change *v = array_room (list->v, list->n, &list->cap, sizeof *v, 4);

  if (v == NULL)
    return ENOMEM;
  list->v = v;
  list->v[list->n++] = *change;
  return 0;
}

int
change_list_add_attribute (struct change_list *list,
                           const struct attribute *a)
{
  struct change c = { .kind = CHANGE_ATTRIBUTE, .count = 1, .slot = NO_SLOT };
  int err;

  if (!attribute_tag_ok (a->tag) || a->len > ATTRIBUTE_MAX ||
      (a->flags & ~(ATTRIBUTE_CRITICAL | ATTRIBUTE_TRANSIENT)) != 0)
    return EINVAL;
  c.attribute = attribute_copy (a);
  err = c.attribute == NULL ? ENOMEM : change_list_add (list, &c);
  if (err)
    free (c.attribute);
  return err;
}

void
change_list_free (struct change_list *list)
{
  for (size_t i = 0; i < list->n; i++)
    free (list->v[i].attribute);
  free (list->v);
  memset (list, 0, sizeof *list);
}
