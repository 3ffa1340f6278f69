/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "engine/complete.h"
#include "engine/settle.h"
#include "map/pending.h"
#include "spare/copy-id.h"

int
complete_init (struct engine *e, struct complete *c)
{
  struct copy_id id;
  bool there;
  int err;

  pthread_mutex_init (&c->mutex, NULL);
  err = copy_id_read (e->spare, &id, &there);
  c->durable = err == 0 && id.is_alone;
  atomic_init (&c->said, c->durable);
  return err;
}

void
complete_destroy (struct complete *c)
{
  pthread_mutex_destroy (&c->mutex);
}

/* The mutex is held. */
static int
write_down (struct engine *e, struct complete *c, bool said)
{
  struct copy_id id;
  bool there;
  int err = copy_id_read (e->spare, &id, &there);

  if (err == 0) {
    id.is_alone = said;
    err = copy_id_write (e->spare, &id);
  }
  if (err == 0)
    c->durable = said;
  return err;
}

int
complete_withdraw_it (struct engine *e)
{
  struct complete *c = &rescue_of (e)->complete;
  int err = 0;

  pthread_mutex_lock (&c->mutex);
  if (c->durable)
    err = write_down (e, c, false);
  if (err == 0)
    atomic_store (&c->said, false);
  pthread_mutex_unlock (&c->mutex);
  return err;
}

static bool
is_complete (struct engine *e)
{
  struct pending_totals pending;
  struct map_totals totals;

  pending_get_totals (rescue_of (e)->pending, &pending);
  map_get_totals (e->map, &totals);
  return pending.zero == 0 &&
    totals.kept + totals.written + totals.lost == e->nr_sectors;
}

/* The word first, then the look: so a change that isn't seen sees the word.  A
 * batch begins when all records that were being made are visible.
 */
int
complete_say (struct engine *e, bool *said)
{
  struct complete *c = &rescue_of (e)->complete;
  int err;

  atomic_store (&c->said, true);
  err = settle_all (e);
  pthread_mutex_lock (&c->mutex);
  if (err == 0 && atomic_load (&c->said) && is_complete (e)) {
    if (!c->durable)
      err = write_down (e, c, true);
  }
  else if (!c->durable)
    atomic_store (&c->said, false);
  if (err && !c->durable)
    atomic_store (&c->said, false);
  *said = err == 0 && atomic_load (&c->said);
  pthread_mutex_unlock (&c->mutex);
  return err;
}
