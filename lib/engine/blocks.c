/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "engine/blocks.h"

enum block_class
classify (struct engine *e, uint64_t start, uint64_t limit, uint64_t *end)
{
  const uint32_t block = e->config.main_block;
  uint64_t first_end = block_end (e, start);
  uint64_t pos = start;
  struct run run;
  bool direct;

  run = map_lookup (e->map, sector_of (start), sectors_in (start, limit));
  direct = run.state == DIRECT;
  for (;;) {
    pos = min_u64 ((run.start + run.count) << SECTOR_SHIFT, limit);
    if (pos >= limit)
      break;
    run = map_lookup (e->map, sector_of (pos), sectors_in (pos, limit));
    if ((run.state == DIRECT) != direct)
      break;
  }
  if (pos < limit)
    pos = round_down (pos, block);
  if (pos < first_end) {
    *end = first_end;
    return MIXED;
  }
  *end = pos;
  return direct ? ALL_DIRECT : ALL_MAPPED;
}
