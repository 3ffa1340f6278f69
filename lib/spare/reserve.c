/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>

#include "base/bytes.h"
#include "spare/checkpoint.h"
#include "spare/leader.h"
#include "spare/reserve.h"
#include "spare/room.h"
#include "spare/state.h"

/* How many entries the state may have with what is reserved: then there is
 * room for a checkpoint of it in either area, and behind that for a commit of
 * all that is reserved, of which no page but the last is partly empty.
 */
static uint64_t
most_entries (const struct spare *s)
{
  const uint64_t pages = min_u64 (room_area (s, 0).pages,
                                  room_area (s, 1).pages);
  const uint64_t unused = pages / 64 + 3;

  return (pages - min_u64 (unused, pages)) * ENTRIES_PER_PAGE;
}

static void
set_limit (struct spare *s, uint64_t growth)
{
  const uint64_t most = most_entries (s);
  const uint64_t state = state_entries_at_most (s) + growth;

  atomic_store (&s->reservable, most - min_u64 (state, most));
}

uint64_t
reserve_limit (struct spare *s, uint64_t growth)
{
  if (!atomic_load (&s->reserving))
    return 0;
  set_limit (s, growth);
  /* Only now: whoever reserves has seen that limit, or is counted here. */
  return atomic_load (&s->reserved);
}

static bool
take (struct spare *s, uint64_t runs)
{
  if (atomic_fetch_add (&s->reserved, runs) + runs <=
      atomic_load (&s->reservable))
    return true;
  atomic_fetch_sub (&s->reserved, runs);
  return false;
}

int
spare_reserve (struct spare *s, uint64_t runs)
{
  uint64_t want;
  int err = 0;

  if (runs == 0 || take (s, runs))
    return 0;
  if (s->read_only)
    return EROFS;
  spare_lead (s);
  if (atomic_load (&s->failed))
    err = EIO;
  else {
    atomic_store (&s->reserving, true);
    /* Storage may be all that is missing. */
    want = state_entries_at_most (s) + atomic_load (&s->reserved) + runs;
    want = state_pages (want) + 4;
    room_for_high_water (s, max_u64 (want + want / 32, s->hdr.high_water));
    set_limit (s, 0);
    err = take (s, runs) ? 0 : ENOSPC;
  }
  spare_unlead (s);
  if (err == ENOSPC && s->env.low != NULL)
    s->env.low (s->env.opaque);
  return err;
}

void
spare_unreserve (struct spare *s, uint64_t runs)
{
  atomic_fetch_sub (&s->reserved, runs);
}
