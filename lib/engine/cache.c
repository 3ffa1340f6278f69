/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Prefetching.  A client that sends it is about to read; so what main can't
 * read is handled as a read that fails.
 */

#include <config.h>

#include <stdlib.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/errors.h"
#include "engine/lost.h"
#include "engine/main-dev.h"
#include "engine/read.h"
#include "engine/states.h"
#include "engine/stats.h"

/* Bytes that are prefetched by one call. */
#define CACHE_PIECE (UINT32_C (32) << 20)

/* Reads and forgets.  HAS_FAILED: main couldn't read these blocks. */
static int
cache_by_reading (struct request *r, uint64_t start, uint64_t end,
                  bool has_failed)
{
  const bool alone = end - start <= r->e->config.main_block;
  uint32_t n, len = min_u64 (end - start, PIECE_SIZE);
  void *buf;
  int err = 0;

  if (posix_memalign (&buf, 4096, len) != 0)
    return ENOMEM;
  for (; start < end && err == 0; start += n) {
    n = min_u64 (end - start, len);
    if (has_failed)
      err = isolate (r, buf, start, start + n, alone);
    else
      err = read_range (r, buf, start, start + n);
  }
  free (buf);
  return err;
}

/* What is prefetched goes to the copy: main isn't asked for it again. */
static int
cache_into_copy (struct request *r, uint64_t start, uint64_t end)
{
  uint64_t next;
  struct run run;
  int err = 0;

  for (; start < end && err == 0; start = next) {
    run = state_lookup (r->e, sector_of (start), sectors_in (start, end));
    next = min_u64 (run_end_byte (&run), end);
    if (run.state == DIRECT)
      err = cache_by_reading (r, start, next, false);
  }
  return err;
}

static int
cache_blocks (struct request *r, uint64_t start, uint64_t end,
              int (*cache) (void *ctx, uint32_t count, uint64_t offset))
{
  uint64_t class_end;
  int err = 0;

  if (rescue_of (r->e))
    return cache_into_copy (r, start, end);
  for (; start < end && err == 0; start = class_end) {
    if (classify (r->e, start, end, &class_end) != ALL_DIRECT)
      continue;
    class_end = min_u64 (class_end, start + CACHE_PIECE);
    err = cache ? main_cache (r, cache, start, class_end) : 0;
    if (err == 0 && !cache)
      err = cache_by_reading (r, start, class_end, false);
    else if (err && may_go_on (r, err))
      err = cache_by_reading (r, start, class_end, true);
  }
  return err;
}

int
engine_cache (struct engine_conn *conn, uint32_t count, uint64_t offset,
              int (*cache) (void *ctx, uint32_t count, uint64_t offset))
{
  struct engine *e = conn->engine;
  struct request r;
  int err;

  if (count == 0)
    return 0;
  stat_request (e, STAT_CACHES, count);
  request_init (&r, conn, offset, count);
  do
    err = cache_blocks (&r, block_of (e, offset),
                        block_end (e, offset + count - 1), cache);
  while (lost_again (&r, &err));
  settle_canaries (&r);
  return error_for_nbd (err);
}
