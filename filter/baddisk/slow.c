/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Areas that take their time.
 */

#include <config.h>

#include "slow.h"

/* Whether the data of an operation passes the head. */
static bool
moves_data (enum op op)
{
  return op == OP_READ || op == OP_WRITE || op == OP_ZERO || op == OP_CACHE;
}

int
slow_start (struct slow_areas *slow, const char *path, uint32_t block,
            uint64_t time)
{
  slow->time = time;
  pthread_mutex_init (&slow->lock, NULL);
  slow->list = (struct list_file) {
    .path = path, .parameter = "baddisk-slow", .kind = "slow",
    .block = block, .lock = &slow->lock,
  };
  return list_load (&slow->list);
}

uint64_t
slow_time (struct slow_areas *slow, enum op op, uint64_t offset,
           uint32_t count)
{
  bool touched;

  if (slow->list.path == NULL || !moves_data (op))
    return 0;
  list_follow (&slow->list);
  pthread_mutex_lock (&slow->lock);
  touched = area_list_find (&slow->list.areas, offset, count) != NULL;
  pthread_mutex_unlock (&slow->lock);
  return touched ? slow->time : 0;
}

void
slow_free (struct slow_areas *slow)
{
  list_free (&slow->list);
}
