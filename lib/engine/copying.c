/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/copy.h"
#include "engine/copying.h"
#include "engine/errors.h"
#include "engine/keep.h"
#include "engine/lost.h"
#include "engine/read.h"
#include "engine/settle.h"
#include "engine/states.h"

static uint64_t
now_ms (const struct engine *e)
{
  return e->config.now_ms (e->config.opaque);
}

void
copier_begin (struct copier *c, struct engine *e, sector_t start,
              uint64_t count)
{
  *c = (struct copier) {
    .at = start, .end = min_u64 (start + count, e->nr_sectors),
    .rate = c->rate, .began_ms = now_ms (e), .bad_at = UINT64_MAX,
  };
}

static bool
is_risky (const struct copier *c)
{
  const uint64_t at = c->at << SECTOR_SHIFT;

  return c->bad_at != UINT64_MAX && at + COPYING_NEAR > c->bad_at &&
    at < c->bad_at + COPYING_NEAR;
}

/* How long it takes until as much as the last piece has had its time. */
static uint64_t
until_paced (const struct copier *c, uint64_t now, uint64_t bytes_a_second)
{
  const uint64_t due = c->piece_ms + c->piece_bytes * 1000 / bytes_a_second;

  return due > now ? due - now : 0;
}

uint64_t
copier_wait_ms (const struct copier *c, struct engine *e)
{
  const uint64_t now = now_ms (e), idle = keep_idle_ms (e);
  uint64_t wait, until_idle;

  if (c->rate > 0 && (wait = until_paced (c, now, c->rate)) > 0)
    return wait;
  if (!is_risky (c)) {
    if (idle >= COPYING_IDLE_MS)
      return 0;
    return min_u64 (until_paced (c, now, COPYING_FLOOR),
                    COPYING_IDLE_MS - idle);
  }
  until_idle = idle < COPYING_RISKY_IDLE_MS ? COPYING_RISKY_IDLE_MS - idle : 0;
  wait = c->risky_ms * COPYING_RISKY_PART;
  wait = wait > now - c->began_ms ? wait - (now - c->began_ms) : 0;
  return min_u64 (wait, until_idle);
}

/* The next DIRECT sectors at or after where it is, at most 1 MiB, and no
 * others: where one of a block is LOST the whole block is refused, before main
 * is asked.  False: there are none.
 */
static bool
next_piece (struct copier *c, struct engine *e, uint64_t *start, uint64_t *end)
{
  struct run run;

  for (; c->at < c->end; c->at += run.count) {
    run = state_lookup (e, c->at, c->end - c->at);
    if (run.state == DIRECT)
      break;
  }
  if (c->at >= c->end)
    return false;
  *start = c->at << SECTOR_SHIFT;
  *end = min_u64 (round_down (*start, PIECE_SIZE) + PIECE_SIZE,
                  min_u64 (run_end_byte (&run), e->config.main_size));
  return true;
}

/* The first byte from there on that is DIRECT; END if none is.  *N sectors
 * before it are in the copy.
 */
static uint64_t
first_direct (struct engine *e, uint64_t start, uint64_t end, uint64_t *n)
{
  struct run run;

  *n = 0;
  for (; start < end; start = min_u64 (run_end_byte (&run), end)) {
    run = state_lookup (e, sector_of (start), sectors_in (start, end));
    if (run.state == DIRECT)
      break;
    *n += state_is_rescued (run.state) ? run.count : 0;
  }
  return start;
}

/* What has become of a piece that was read, or not.  What is DIRECT still can't
 * be kept where it is, or couldn't be read and isn't taken for bad: there is no
 * use in asking for it once more now.
 */
static int
piece_ends (struct copier *c, struct engine *e, uint64_t start, uint64_t end,
            int err)
{
  const struct copy *copy = &rescue_of (e)->copy;
  uint64_t n;
  const uint64_t left = first_direct (e, start, end, &n);

  if (err && main_is_lost (e))
    return ENODEV;
  if (copy_has_failed (copy))
    return EIO;
  if (left < end &&
      (atomic_load (&copy->full) || atomic_load (&e->spare_short)))
    return ENOSPC;
  c->copied += n;
  /* The last sector may be short. */
  c->at = bytes_to_sectors (err ? left : end);
  if (err == 0)
    return 0;
  if (err != EIO)
    return err == ENOMEM ? ENOMEM : ENODEV;
  c->bad++;
  c->bad_at = left;
  if (left == start)
    c->at = bytes_to_sectors (block_end (e, start));
  return 0;
}

int
copier_step (struct copier *c, struct engine_conn *conn, bool *done)
{
  struct engine *e = conn->engine;
  const bool risky = is_risky (c);
  uint64_t start, end;
  struct request r;
  void *buf;
  int err;

  *done = !next_piece (c, e, &start, &end);
  if (*done)
    return 0;
  if (main_is_lost (e))
    return ENODEV;
  if (posix_memalign (&buf, 4096, end - start) != 0)
    return ENOMEM;
  c->piece_ms = now_ms (e);
  c->piece_bytes = end - start;
  request_init (&r, conn, start, end - start);
  r.background = true;
  err = read_range (&r, buf, start, end);
  settle_canaries (&r);
  free (buf);
  while (keep_one (conn))
    ;
  if (risky || err)
    c->risky_ms += now_ms (e) - c->piece_ms;
  return piece_ends (c, e, start, end, err);
}

static uint64_t
count_lost (struct engine *e, const struct sector_range *range,
            const struct engine_watch *watch, struct engine_result *res)
{
  const sector_t end = range->start + range->count;
  struct run run;
  uint64_t n = 0;

  for (sector_t at = range->start; at < end; at += run.count) {
    run = state_lookup (e, at, end - at);
    if (run.state != LOST)
      continue;
    n += run.count;
    if (res && res->bad == 0)
      res->first_bad = run.start;
    if (watch && watch->bad)
      watch->bad (watch->opaque, run.start, run.count);
  }
  return n;
}

static int
keep_range (struct engine_conn *conn, const struct sector_range *range,
            const struct engine_watch *watch, struct engine_result *res)
{
  struct engine *e = conn->engine;
  const uint64_t lost = count_lost (e, range, NULL, NULL);
  struct copier c = { 0 };
  uint64_t bad;
  bool done = false;
  int err = 0;

  copier_begin (&c, e, range->start, range->count);
  while (!done && err == 0) {
    if (watch && watch->stop && watch->stop (watch->opaque))
      err = ECANCELED;
    else
      err = copier_step (&c, conn, &done);
  }
  bad = c.bad > 0 ? count_lost (e, range, watch, res) - lost : 0;
  res->bad += bad;
  res->done += c.copied + bad;
  res->left += range->count - min_u64 (c.copied + bad, range->count);
  return err;
}

int
engine_keep_ranges (struct engine_conn *conn,
                    const struct sector_range *ranges, size_t n,
                    const struct engine_watch *watch,
                    struct engine_result *res)
{
  struct engine *e = conn->engine;
  int err = 0, err2;

  memset (res, 0, sizeof *res);
  for (size_t i = 0; i < n; i++)
    if (ranges[i].count == 0 || ranges[i].start >= e->nr_sectors ||
        ranges[i].count > e->nr_sectors - ranges[i].start)
      return EINVAL;
  for (size_t i = 0; i < n && err == 0; i++)
    err = keep_range (conn, &ranges[i], watch, res);
  err2 = settle_all (e);
  err = err ? err : err2;
  return err == ECANCELED ? err : err ? error_for_nbd (err) : 0;
}
