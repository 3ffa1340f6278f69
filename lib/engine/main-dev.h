/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * All calls to main.  Everything that the engine reads from or writes to main
 * goes through here (canaries aside, see lost.h): requests are split at main's
 * largest size, errors are counted, accesses are noted for the canaries, and
 * while main is lost nothing is asked of it.
 *
 * Functions that return int return 0 or the errno of main.
 */

#ifndef REMAP_ENGINE_MAIN_DEV_H
#define REMAP_ENGINE_MAIN_DEV_H

#include "engine/canaries.h"
#include "engine/in-flight.h"
#include "engine/internal.h"
#include "engine/lost.h"
#include "engine/request.h"
#include "engine/stats.h"
#include "engine/suspects.h"

/* Counts are bytes, aligned to main blocks. */
extern int main_read (struct request *r, void *buf, uint64_t start,
                      uint64_t end);
/* BUF is NULL: zeroes, as R's zero_flags say; NOT_FAST. */
extern int main_write (struct request *r, const void *buf, uint64_t start,
                       uint64_t end);
extern int main_trim (struct request *r, uint64_t start, uint64_t end);
extern int main_cache (struct request *r,
                       int (*cache) (void *ctx, uint32_t count,
                                     uint64_t offset),
                       uint64_t start, uint64_t end);
extern int main_flush (struct request *r);

/* How much of BUF (NULL: zeroes) one call to main takes.  Bytes, whole blocks.
 */
extern uint32_t main_piece (const struct request *r, const void *buf);

/* Notes an error of main, and returns it.  START to END are the bytes that it
 * was asked for; all zeroes of a flush.
 */
extern int main_failed (struct request *r, enum engine_stat stat, int err,
                        uint64_t start, uint64_t end);

/* Main is about to be written. */
static inline void
note_written (struct engine *e)
{
  if (!atomic_load_explicit (&e->main_written, memory_order_relaxed))
    atomic_store (&e->main_written, true);
}

/* A write, zero or trim of bytes that the thread holds is about to begin:
 * canaries and samples take note.
 */
extern void main_will_change (struct engine *e, uint64_t start,
                              uint64_t end);

static inline void
note_change (struct engine *e, uint64_t start, uint32_t count)
{
  if (!canaries_quiet (&e->canaries, start, count))
    main_will_change (e, start, start + count);
  note_written (e);
}

/* Is main lost?  Then it isn't asked, and the request may have to wait.  What
 * the request asked before, and failed, maybe was under way when main went.
 */
static inline bool
main_met_lost (struct request *r)
{
  if (!main_is_lost (r->e))
    return false;
  if (r->unjudged)
    failed_with_main (r);
  r->met_lost = true;
  return true;
}

/* The same, while there are suspects (see suspects.h). */
extern int main_read_carefully (struct request *r, void *buf, uint32_t count,
                                uint64_t start);

/* The same, if something is to be noted of these bytes. */
extern int main_read_noted (struct request *r, void *buf, uint32_t count,
                            uint64_t start, bool may_sample);

/* One call, of at most simple_read_max bytes, by a thread that counts in SHARD:
 * so there were no suspects a moment ago.  MAY_SAMPLE: it is what a client
 * reads, and the thread holds no range.
 */
static inline int
main_read_simply (struct request *r, struct stat_shard *shard, void *buf,
                  uint32_t count, uint64_t start, bool may_sample)
{
  struct engine *e = r->e;
  _Atomic uint32_t *call;
  int err;

  if (main_met_lost (r))
    return ENODEV;
  if (!canaries_quiet (&e->canaries, start, count))
    return main_read_noted (r, buf, count, start, may_sample);
  call = call_begins_in (e, shard);
  err = device_pread (&r->conn->main_dev, buf, count, start);
  call_ended (call);
  return err ? main_failed (r, STAT_MAIN_READ_ERRORS, err, start,
                            start + count) : 0;
}

/* The same, of at most max_call bytes. */
static inline int
main_read_once (struct request *r, struct stat_shard *shard, void *buf,
                uint32_t count, uint64_t start)
{
  return suspects_any (r->e) ? main_read_carefully (r, buf, count, start)
    : main_read_simply (r, shard, buf, count, start, false);
}

#endif /* REMAP_ENGINE_MAIN_DEV_H */
