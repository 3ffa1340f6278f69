/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "engine/copy.h"
#include "engine/states.h"
#include "map/pending.h"

/* Does what is pending go before this state of the map? */
static bool
yields (enum sector_state state)
{
  return state != REMAPPED && state != WRITTEN;
}

struct run
states_with_pending (const struct engine *e, const struct rescue *rescue,
                     sector_t start, uint64_t count)
{
  const enum sector_state state = pending_get (rescue->pending, start,
                                               &count);
  struct run run;

  /* Before the map, also to the processor. */
  atomic_thread_fence (memory_order_seq_cst);
  run = map_lookup (e->map, start, count);
  if (state == DIRECT || !yields (run.state))
    return run;
  /* What was kept and not recorded may be lost with the copy; main has it
   * (promise 28 of remap-promises(7)).
   */
  if (state == KEPT && copy_has_failed (&rescue->copy))
    return run;
  run.state = state;
  run.slot = NO_SLOT;
  return run;
}

bool
state_is_recorded (const struct engine *e, const struct rescue *rescue,
                   sector_t start, uint64_t count)
{
  uint64_t n = count;
  struct run run;

  run = map_lookup (e->map, start, count);
  if (run.count < count)
    return false;
  return !yields (run.state) ||
    (pending_get (rescue->pending, start, &n) == DIRECT && n == count);
}
