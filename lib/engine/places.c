/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "engine/places.h"

int
places_add (struct engine *e, enum sector_state state,
            const struct device *dev)
{
  struct place *place;

  if (place_of (e, state) != NULL)
    return EEXIST;
  if (e->nr_places == MAX_PLACES)
    return ENOSPC;
  place = &e->place[e->nr_places++];
  place->state = state;
  place->dev = *dev;
  return 0;
}

struct place *
place_of (struct engine *e, enum sector_state state)
{
  for (unsigned i = 0; i < e->nr_places; i++)
    if (e->place[i].state == state)
      return &e->place[i];
  return NULL;
}

int
place_read (struct place *place, void *buf, uint32_t count, uint64_t offset)
{
  return device_pread (&place->dev, buf, count, offset);
}

int
place_write (struct place *place, const void *buf, uint32_t count,
             uint64_t offset)
{
  int err = device_pwrite (&place->dev, buf, count, offset);

  /* After the call, and whatever it says: a flush that began before it ended
   * doesn't cover it, and a failed one may have written a part.
   */
  atomic_store (&place->dirty, true);
  return err;
}

static bool
flush (struct place *place)
{
  if (atomic_load (&place->failed))
    return false;
  if (!atomic_exchange (&place->dirty, false))
    return true;
  if (device_flush (&place->dev) == 0)
    return true;
  atomic_store (&place->failed, true);
  return false;
}

int
places_flush (struct engine *e)
{
  bool good = true;

  for (unsigned i = 0; i < e->nr_places; i++)
    good &= flush (&e->place[i]);
  return good ? 0 : EIO;
}
