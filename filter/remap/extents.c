/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "extents.h"
#include "next.h"

/* For DIRECT sectors main's own answer is passed on.  All others are data:
 * main may have a hole where a sector was that is REMAPPED now, and a copy that
 * trusts it would have zeroes there (promise 1 of remap-promises(7)).  Main is
 * asked about whole blocks, since a plugin that serves nothing smaller would
 * refuse the question.
 */
static int
add_direct_extents (const struct remap *remap, nbdkit_next *next,
                    uint32_t count, uint64_t offset, uint32_t flags,
                    struct nbdkit_extents *extents)
{
  const uint32_t block = engine_main_block (remap->engine);
  const uint64_t size = engine_main_size (remap->engine);
  const uint64_t end = offset + count;
  uint64_t first = round_down (offset, block);
  uint64_t last = min_u64 (round_up (end, block), size);
  struct nbdkit_extents *below;
  int err = 0, r = 0;

  if (last - first > UINT32_MAX) {
    first = offset;
    last = end;
  }
  lock_below (remap->all_requests_lock);
  below = nbdkit_extents_full (next, last - first, first,
                               flags & ~NBDKIT_FLAG_REQ_ONE, &err);
  unlock_below (remap->all_requests_lock);
  if (below == NULL)
    return nbdkit_add_extent (extents, offset, count, 0);
  for (size_t i = 0; i < nbdkit_extents_count (below) && r == 0; i++) {
    struct nbdkit_extent e = nbdkit_get_extent (below, i);

    first = max_u64 (e.offset, offset);
    last = min_u64 (e.offset + e.length, end);
    if (first < last)
      r = nbdkit_add_extent (extents, first, last - first, e.type);
  }
  nbdkit_extents_free (below);
  return r;
}

int
extents_get (const struct remap *remap, nbdkit_next *next, uint32_t count,
             uint64_t offset, uint32_t flags, struct nbdkit_extents *extents,
             int *err)
{
  uint32_t len;
  int r = 0;

  while (count > 0 && r == 0) {
    if (engine_extent (remap->engine, count, offset, &len) == DIRECT)
      r = add_direct_extents (remap, next, len, offset, flags, extents);
    else
      r = nbdkit_add_extent (extents, offset, len, 0);
    if (r == -1 && err)
      *err = errno;
    offset += len;
    count -= len;
    /* One extent is wanted, and the first run has given at least one. */
    if (flags & NBDKIT_FLAG_REQ_ONE)
      break;
  }
  return r;
}
