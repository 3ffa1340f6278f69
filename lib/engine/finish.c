/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/complete.h"
#include "engine/copy.h"
#include "engine/errors.h"
#include "engine/events.h"
#include "engine/finish.h"
#include "engine/fold.h"
#include "engine/lost.h"
#include "engine/main-dev.h"
#include "engine/settle.h"
#include "engine/states.h"
#include "engine/touched.h"

/* Places of the disk at which kept sectors are compared, if not all are. */
#define SAMPLES 64
#define SAMPLE_BYTES UINT64_C (4096)

struct finish {
  struct engine *e;
  struct engine_conn *conn;
  const struct engine_watch *watch;
  struct finish_result *res;
  struct fold fold;
  uint8_t *main_buf;            /* FOLD_PIECE bytes */
};

void
finish_marker (sector_t sector, uint8_t text[SECTOR_SIZE])
{
  memset (text, 0, SECTOR_SIZE);
  snprintf ((char *) text, SECTOR_SIZE, "nbdkit-remap: sector %" PRIu64 " of "
            "the disk could not be read: its content is lost\n", sector);
}

static bool
is_stopped (const struct finish *f)
{
  return f->watch && f->watch->stop && f->watch->stop (f->watch->opaque);
}

static bool
is_wanted (enum sector_state state, unsigned states)
{
  return states & 1U << state;
}

/* Calls DO_IT for pieces of main in which there are sectors that the map has in
 * one of these STATES.
 */
typedef int piece_function (struct finish *f, uint64_t start, uint64_t end,
                            void *opaque);

static int
for_pieces (struct finish *f, sector_t from, sector_t to, unsigned states,
            piece_function *do_it, void *opaque)
{
  const struct engine *e = f->e;
  sector_t at = from;
  uint64_t start, end;
  struct run run;
  int err = 0;

  while (at < to && err == 0) {
    run = map_lookup (e->map, at, to - at);
    if (!is_wanted (run.state, states)) {
      at += run.count;
      continue;
    }
    if (is_stopped (f))
      return ECANCELED;
    start = at << SECTOR_SHIFT;
    end = min_u64 (round_down (start, FOLD_PIECE) + FOLD_PIECE,
                   min_u64 (to << SECTOR_SHIFT, e->config.main_size));
    err = do_it (f, start, end, opaque);
    at = bytes_to_sectors (end);
  }
  return err;
}

static int
give_up (struct finish *f, uint64_t start, uint64_t end, void *opaque)
{
  return fold_give_up (&f->fold, start, end, &f->res->given_up);
}

static int
fold (struct finish *f, uint64_t start, uint64_t end, void *opaque)
{
  return fold_piece (&f->fold, start, end);
}

static int
fill (struct finish *f, uint64_t start, uint64_t end, void *opaque)
{
  const struct finish_options *o = opaque;

  return fold_fill (&f->fold, start, end, o->marker ? finish_marker : NULL);
}

/* ---- comparing --------------------------------------------------------- */

/* Under a lock, so that it is KEPT from the look at its state until it was
 * read: what main returned was the same all the time.
 */
static void
compare_kept (struct finish *f, uint64_t start, uint64_t end)
{
  struct engine *e = f->e;
  struct copy *copy = &rescue_of (e)->copy;
  uint8_t *copy_buf = f->fold.buf, *main_buf = f->main_buf;
  struct exclusive_hold hold;
  struct run run;
  uint64_t next, got;

  for (; start < end; start = next) {
    next = min_u64 (start + SAMPLE_BYTES, end);
    got = range_lock_exclusive (e->ranges, &hold, start, next);
    run = state_lookup (e, sector_of (start), sectors_in (start, got));
    next = min_u64 (run_end_byte (&run), got);
    if (run.state == KEPT && !touched_stale (e, run.start, run.count) &&
        copy_read (copy, copy_buf, start, next) == 0) {
      f->res->compared += run.count;
      if (memcmp (copy_buf, main_buf, next - start) != 0) {
        if (f->res->different == 0)
          f->res->first_different = run.start;
        f->res->different += run.count;
      }
    }
    range_unlock_exclusive (e->ranges, &hold);
    main_buf += next - start;
  }
}

/* Sectors that the map has as KEPT, within FOLD_PIECE bytes.  What main can't
 * read is counted; it isn't asked where that says nothing about it.
 */
static void
compare_run (struct finish *f, const struct run *run)
{
  struct engine *e = f->e;
  const uint64_t start = block_of (e, run->start << SECTOR_SHIFT);
  const uint64_t end = block_end (e, run_end_byte (run) - 1);
  struct request r;
  int err;

  if (touched_stale (e, run->start, run->count))
    return;
  request_init (&r, f->conn, start, end - start);
  r.background = true;
  err = main_is_lost (e) ? ENODEV : main_read (&r, f->main_buf, start, end);
  if (err)
    f->res->unread += run->count;
  else
    compare_kept (f, start, end);
}

static int
compare (struct finish *f, uint64_t start, uint64_t end, void *opaque)
{
  struct run run;

  for (; start < end; start = min_u64 (run_end_byte (&run), end)) {
    run = map_lookup (f->e->map, sector_of (start), sectors_in (start, end));
    if (run.state == KEPT)
      compare_run (f, &run);
  }
  return 0;
}

/* A few places, in each the first that is kept. */
static int
compare_some (struct finish *f)
{
  const uint64_t n = f->e->nr_sectors, step = max_u64 (n / SAMPLES, 1);
  const uint64_t block = max_u64 (SAMPLE_BYTES, f->e->config.main_block);
  struct run run;
  uint64_t start, end;
  int err = 0;

  for (sector_t at = 0; at < n && err == 0; at += step) {
    run = map_lookup (f->e->map, at, min_u64 (step, n - at));
    if (run.state != KEPT)
      continue;
    start = round_down (run.start << SECTOR_SHIFT, block);
    end = min_u64 (start + block, f->e->config.main_size);
    err = is_stopped (f) ? ECANCELED : compare (f, start, end, NULL);
  }
  return err;
}

/* ---- all of it --------------------------------------------------------- */

static uint64_t
recorded_direct (const struct engine *e, struct map_totals *t)
{
  map_get_totals (e->map, t);
  return e->nr_sectors - t->remapped - t->lost - t->zero - t->kept -
    t->written;
}

static void
say (struct finish *f)
{
  const struct finish_result *res = f->res;

  if (res->main_not_needed)
    events_tell (f->e->config.events, EVENT_MAIN_NOT_NEEDED, "main isn't "
                 "needed any more: it can be unplugged, and clients go on");
  if (res->copy_alone)
    events_tell (f->e->config.events, EVENT_COPY_ALONE, "the copy alone is the "
                 "disk, but for %" PRIu64 " sectors that are lost", res->lost);
}

static int
finish (struct finish *f, const struct finish_options *o)
{
  struct engine *e = f->e;
  struct finish_result *res = f->res;
  struct map_totals t;
  int err = settle_all (e);

  res->direct = recorded_direct (e, &t);
  if (err == 0 && res->direct > 0 && !o->give_up)
    return EBUSY;
  if (err == 0 && res->direct > 0)
    err = for_pieces (f, 0, e->nr_sectors, 1U << DIRECT, give_up, NULL);
  if (err == 0)
    err = for_pieces (f, 0, e->nr_sectors, 1U << REMAPPED | 1U << ZERO, fold,
                      NULL);
  if (err == 0)
    err = for_pieces (f, 0, e->nr_sectors, 1U << LOST, fill, (void *) o);
  if (err == 0)
    err = o->verify
      ? for_pieces (f, 0, e->nr_sectors, 1U << KEPT, compare, NULL)
      : compare_some (f);
  if (err == 0)
    err = complete_say (e, &res->copy_alone);
  if (err == 0) {
    res->main_not_needed = recorded_direct (e, &t) == 0;
    res->lost = t.lost;
  }
  res->moved = f->fold.moved;
  res->stayed = f->fold.stayed;
  res->first_stayed = f->fold.first_stayed;
  return err;
}

static int
with_memory (struct finish *f, struct engine_conn *conn)
{
  f->e = conn->engine;
  f->conn = f->fold.conn = conn;
  if (posix_memalign ((void **) &f->fold.buf, 4096, FOLD_PIECE) != 0)
    return ENOMEM;
  if (posix_memalign ((void **) &f->main_buf, 4096, FOLD_PIECE) == 0)
    return 0;
  free (f->fold.buf);
  return ENOMEM;
}

int
engine_rescue_finish (struct engine_conn *conn,
                      const struct finish_options *options,
                      const struct engine_watch *watch,
                      struct finish_result *res)
{
  struct finish f = { .watch = watch, .res = res };
  int err;

  memset (res, 0, sizeof *res);
  if (rescue_of (conn->engine) == NULL)
    return ENOTSUP;
  err = with_memory (&f, conn);
  if (err)
    return err;
  err = finish (&f, options);
  free (f.fold.buf);
  free (f.main_buf);
  if (err == 0)
    say (&f);
  return err == ECANCELED || err == EBUSY ? err : err ? error_for_nbd (err) : 0;
}

int
engine_unmap_to_copy (struct engine_conn *conn, sector_t start, uint64_t count,
                      const struct engine_watch *watch,
                      struct engine_result *res)
{
  struct finish_result unused = { 0 };
  struct finish f = { .watch = watch, .res = &unused };
  int err;

  memset (res, 0, sizeof *res);
  if (count == 0 || start >= conn->engine->nr_sectors ||
      count > conn->engine->nr_sectors - start)
    return EINVAL;
  err = with_memory (&f, conn);
  if (err)
    return err;
  err = for_pieces (&f, start, start + count, 1U << REMAPPED | 1U << ZERO, fold,
                    NULL);
  free (f.fold.buf);
  free (f.main_buf);
  res->done = f.fold.moved;
  res->bad = f.fold.stayed;
  res->first_bad = f.fold.first_stayed;
  res->left = count - res->done - res->bad;
  return err == ECANCELED ? err : err ? error_for_nbd (err) : 0;
}
