/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * In which state is a sector?  Without a copy the map alone says it.  With one,
 * what is pending (map/pending.h) goes before what the map says of sectors that
 * are DIRECT, LOST, ZERO or KEPT there.
 *
 * Pending states are looked up first.  They are cleared only after the map
 * shows what they became: so whoever finds nothing pending, and looks at the
 * map after that, misses nothing.
 */

#ifndef REMAP_ENGINE_STATES_H
#define REMAP_ENGINE_STATES_H

#include "engine/internal.h"

static inline struct rescue *
rescue_of (const struct engine *e)
{
  return atomic_load_explicit (&e->rescue, memory_order_acquire);
}

extern struct run states_with_pending (const struct engine *e,
                                       const struct rescue *rescue,
                                       sector_t start, uint64_t count);

/* As map_lookup. */
static inline struct run
state_lookup (const struct engine *e, sector_t start, uint64_t count)
{
  const struct rescue *rescue = rescue_of (e);

  return rescue ? states_with_pending (e, rescue, start, count)
    : map_lookup (e->map, start, count);
}

/* Are all of them DIRECT? */
static inline bool
all_direct (const struct engine *e, sector_t start, uint64_t count)
{
  struct run run;

  if (rescue_of (e) == NULL)
    return map_all_direct (e->map, start, count);
  run = state_lookup (e, start, count);
  return run.state == DIRECT && run.count == count;
}

/* Is the state of all these sectors, one and the same, in the spare?  Not if
 * any of it is pending.
 */
extern bool state_is_recorded (const struct engine *e,
                               const struct rescue *rescue, sector_t start,
                               uint64_t count);

#endif /* REMAP_ENGINE_STATES_H */
