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

void
change_list_free (struct change_list *list)
{
  free (list->v);
  memset (list, 0, sizeof *list);
}
