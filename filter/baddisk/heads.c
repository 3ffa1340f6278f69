/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Dead heads.
 */

#include <config.h>

#include "base/bytes.h"
#include "heads.h"

bool
heads_next_dead (const struct heads *heads, uint64_t offset, uint64_t end,
                 uint64_t *from, uint64_t *to)
{
  if (heads->dead == 0)
    return false;
  /* At most once for each head. */
  while (offset < end) {
    const uint64_t run = offset / heads->run;
    const uint64_t run_end = (run + 1) * heads->run;

    if (heads->dead >> (run % heads->count) & 1) {
      *from = offset;
      *to = min_u64 (run_end, end);
      return true;
    }
    offset = run_end;
  }
  return false;
}
