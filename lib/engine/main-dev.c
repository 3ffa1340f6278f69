/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Calls to main.  Everything that the engine reads from or writes to main
 * goes through here: requests are split at main's largest size, errors are
 * counted, accesses are noted for the canaries, and while main is lost
 * nothing is asked of it but, once a second, whether it is back.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/errors.h"
#include "engine/events.h"
#include "engine/in-flight.h"
#include "engine/lost.h"
#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine/samples.h"

/* A disk that has turned read-only refuses all writes: said once.  As long as
 * it does, none is a simple one, so that the first that succeeds is noticed.
 */
static void
main_refuses (struct request *r, int err)
{
  struct engine *e = r->e;

  stat_add (e, STAT_MAIN_REFUSED, 1);
  if (atomic_exchange (&e->main_refuses, err) != 0)
    return;
  allow_simple_requests (e);
  if (!atomic_exchange (&e->told.readonly, true))
    events_tell (e->config.events, EVENT_MAIN_READONLY,
                 "main refuses to be written (%s): %s", strerror (err),
                 e->config.readonly_to_spare
                 ? "what clients write goes to the spare"
                 : "writes that need it fail until it takes one again");
}

static void
main_was_written (struct engine *e)
{
  if (atomic_load_explicit (&e->main_refuses, memory_order_relaxed) == 0 ||
      atomic_exchange (&e->main_refuses, 0) == 0)
    return;
  allow_simple_requests (e);
}

int
main_failed (struct request *r, enum engine_stat stat, int err,
             uint64_t start, uint64_t end)
{
  stat_add (r->e, stat, 1);
  atomic_store (&r->e->last_error, time (NULL));
  switch (error_classify (err)) {
  case ERROR_GONE:
    r->met_lost = true;
    main_went_away (r->e, err);
    if (start < end)
      suspects_add (r->e, start, end);
    break;
  case ERROR_OTHER:
    if (stat == STAT_MAIN_WRITE_ERRORS && error_is_refusal (err))
      main_refuses (r, err);
    else {
      stat_add (r->e, STAT_MAIN_OTHER_ERRORS, 1);
      events_tell (r->e->config.events, EVENT_MAIN_ERROR, "main fails to %s "
                   "(%s), which says nothing of a sector: passed on",
                   stat == STAT_MAIN_READ_ERRORS ? "read"
                   : stat == STAT_MAIN_FLUSH_ERRORS ? "flush" : "write",
                   strerror (err));
    }
    break;
  case ERROR_MEDIA:
    r->unjudged = true;
    break;
  }
  return err;
}

/* Calls to main while there are suspects.  A call asks main, whether or not
 * that is lost; it returns 0, an errno, or NOT_FAST.
 */
typedef int main_call (struct request *r, void *buf, uint32_t count,
                       uint64_t start);

/* A call that isn't looked at for suspects; false: there are none, and nobody
 * wants to be alone.
 */
static bool
calls_share (struct engine *e)
{
  const bool share = suspects_any (e);

  if (share)
    alone_share (&e->suspects.alone);
  return share;
}

static void
calls_leave (struct engine *e, bool shared)
{
  if (shared)
    alone_leave (&e->suspects.alone);
}

static int
call_shared (struct request *r, main_call *call, void *buf, uint32_t count,
             uint64_t start)
{
  struct engine *e = r->e;
  int err;

  alone_share (&e->suspects.alone);
  err = main_met_lost (r) ? ENODEV : call (r, buf, count, start);
  alone_leave (&e->suspects.alone);
  return err;
}

/* Nothing else is asked of main meanwhile, as far as that is to be had: if
 * something hangs, a loss doesn't count.
 */
static int
call_alone (struct request *r, main_call *call, void *buf, uint32_t count,
            uint64_t start)
{
  struct engine *e = r->e;
  const bool is_alone = suspects_exclude (e);
  bool is_lost;
  int err;

  if (main_met_lost (r)) {
    alone_leave (&e->suspects.alone);
    return ENODEV;
  }
  err = call (r, buf, count, start);
  is_lost = err > 0 &&
    (error_classify (err) == ERROR_GONE ||
     (error_classify (err) == ERROR_MEDIA && !main_is_alive (r, err) &&
      main_is_lost (e)));
  /* A zero that wasn't fast hasn't touched anything. */
  if (!is_lost && err != NOT_FAST)
    suspects_clear (e, start, start + count);
  else if (is_lost && is_alone)
    suspects_lost (e, start, start + count);
  alone_leave (&e->suspects.alone);
  return err;
}

static int
call_carefully (struct request *r, main_call *call, void *buf, uint32_t count,
                uint64_t start)
{
  const uint64_t end = start + count;
  struct engine *e = r->e;
  uint8_t *p = buf;
  uint64_t done;
  int err = 0;

  for (; start < end && err == 0; p = p ? p + (done - start) : NULL,
       start = done) {
    switch (suspects_look (e, start, end, &done)) {
    case NO_SUSPECT:
      err = call_shared (r, call, p, done - start, start);
      break;
    case GUILTY:
      done = min_u64 (done, block_end (e, start));
      err = call_alone (r, call, p, done - start, start);
      break;
    case SUSPECT:
      err = call_alone (r, call, p, done - start, start);
      break;
    case CONDEMNED:
      return main_met_lost (r) ? ENODEV : EIO;
    }
  }
  return err;
}

static int
read_once (struct request *r, void *buf, uint32_t count, uint64_t start)
{
  _Atomic uint32_t *call;
  int err;

  canaries_touch (&r->e->canaries, start, count);
  call = call_begins (r->e);
  err = device_pread (&r->conn->main_dev, buf, count, start);
  call_ended (call);
  return err ? main_failed (r, STAT_MAIN_READ_ERRORS, err, start,
                            start + count) : 0;
}

int
main_read_noted (struct request *r, void *buf, uint32_t count, uint64_t start,
                 bool may_sample)
{
  struct sampling sampling;
  int err;

  may_sample = may_sample && samples_begin (r->e, &sampling, start, count);
  err = read_once (r, buf, count, start);
  if (may_sample)
    samples_end (r->e, &sampling, err ? NULL
                 : (uint8_t *) buf + (sampling.start - start));
  return err;
}

int
main_read_carefully (struct request *r, void *buf, uint32_t count,
                     uint64_t start)
{
  return call_carefully (r, read_once, buf, count, start);
}

int
main_read (struct request *r, void *buf, uint64_t start, uint64_t end)
{
  uint8_t *p = buf;
  uint32_t n;
  int err = 0;

  for (; start < end && err == 0; start += n, p += n) {
    n = min_u64 (end - start, r->e->max_call);
    err = main_read_once (r, stat_shard (r->e), p, n, start);
  }
  return err;
}

void
main_will_change (struct engine *e, uint64_t start, uint64_t end)
{
  if (canaries_touch (&e->canaries, start, end - start) & REGION_SAMPLED)
    samples_strike (e, start, end);
}

/* A request that sees another number of losses when it ends has met a main
 * that went away meanwhile, and maybe took along what it wrote (finish_write).
 */
static void
will_write (struct request *r, uint64_t start, uint32_t count)
{
  if (!r->wrote_main)
    r->losses = atomic_load (&r->e->losses);
  r->wrote_main = true;
  note_change (r->e, start, count);
}

/* Without an operation of main's own zeroes are written, from here. */
static uint8_t zeroes[PIECE_SIZE] __attribute__ ((aligned (4096)));

uint32_t
main_piece (const struct request *r, const void *buf)
{
  const bool emulated = buf == NULL && r->conn->main_dev.ops->zero == NULL;

  return min_u64 (r->e->max_call, emulated ? sizeof zeroes : MAIN_PIECE);
}

/* BUF is NULL: zeroes, by main's own operation. */
static int
write_once (struct request *r, void *buf, uint32_t count, uint64_t start)
{
  const struct device *main_dev = &r->conn->main_dev;
  struct engine *e = r->e;
  _Atomic uint32_t *call;
  int err;

  will_write (r, start, count);
  call = call_begins (e);
  if (buf)
    err = device_pwrite (main_dev, buf, count, start);
  else
    err = main_dev->ops->zero (main_dev->ctx, count, start, r->zero_flags);
  call_ended (call);
  if (err == ENOTSUP && buf == NULL && (r->zero_flags & DEVICE_FAST_ZERO))
    return NOT_FAST;
  if (err)
    return main_failed (r, STAT_MAIN_WRITE_ERRORS, err, start, start + count);
  main_was_written (e);
  return 0;
}

/* One call, of at most main_piece bytes. */
static int
main_write_once (struct request *r, const void *buf, uint32_t count,
                 uint64_t start)
{
  if (buf == NULL && r->conn->main_dev.ops->zero == NULL) {
    if (r->zero_flags & DEVICE_FAST_ZERO)
      return NOT_FAST;
    buf = zeroes;
  }
  /* What is written isn't changed. */
  if (suspects_any (r->e))
    return call_carefully (r, write_once, (void *) buf, count, start);
  if (main_met_lost (r))
    return ENODEV;
  return write_once (r, (void *) buf, count, start);
}

int
main_write (struct request *r, const void *buf, uint64_t start, uint64_t end)
{
  const uint8_t *p = buf;
  uint32_t n;
  int err = 0;

  for (; start < end && err == 0; start += n, p = p ? p + n : NULL) {
    n = min_u64 (end - start, main_piece (r, buf));
    err = main_write_once (r, p, n, start);
  }
  return err;
}

/* Trims and prefetches are hints, and not worth losing main for: what may make
 * it vanish is left out.  *DONE: how far what is said of START goes, at most
 * what one call takes.
 */
static bool
may_hint (const struct engine *e, uint64_t start, uint64_t end,
          uint64_t *done)
{
  *done = min_u64 (end, start + e->max_call);
  return !suspects_any (e) ||
    suspects_look (e, start, *done, done) == NO_SUSPECT;
}

int
main_trim (struct request *r, uint64_t start, uint64_t end)
{
  const struct device *main_dev = &r->conn->main_dev;
  struct engine *e = r->e;
  _Atomic uint32_t *call;
  uint64_t done;
  bool shared;
  int err;

  if (main_dev->ops->trim == NULL)
    return 0;
  for (; start < end; start = done) {
    if (main_met_lost (r))
      return ENODEV;
    if (!may_hint (e, start, end, &done))
      continue;
    /* A hole is read without asking the disk. */
    canaries_trim (&e->canaries, start, done - start);
    will_write (r, start, done - start);
    shared = calls_share (e);
    call = call_begins (e);
    err = main_dev->ops->trim (main_dev->ctx, done - start, start);
    call_ended (call);
    calls_leave (e, shared);
    if (err)
      return main_failed (r, STAT_MAIN_WRITE_ERRORS, err, start, done);
  }
  return 0;
}

int
main_cache (struct request *r,
            int (*cache) (void *ctx, uint32_t count, uint64_t offset),
            uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  _Atomic uint32_t *call;
  uint64_t done;
  bool shared;
  int err;

  for (; start < end; start = done) {
    if (main_met_lost (r))
      return ENODEV;
    if (!may_hint (e, start, end, &done))
      continue;
    canaries_touch (&e->canaries, start, done - start);
    shared = calls_share (e);
    call = call_begins (e);
    err = cache (r->conn->main_dev.ctx, done - start, start);
    call_ended (call);
    calls_leave (e, shared);
    if (err)
      return main_failed (r, STAT_MAIN_READ_ERRORS, err, start, done);
  }
  return 0;
}

int
main_flush (struct request *r)
{
  _Atomic uint32_t *call;
  bool shared;
  int err;

  if (main_met_lost (r))
    return ENODEV;
  shared = calls_share (r->e);
  call = call_begins (r->e);
  err = device_flush (&r->conn->main_dev);
  call_ended (call);
  calls_leave (r->e, shared);
  return err ? main_failed (r, STAT_MAIN_FLUSH_ERRORS, err, 0, 0) : 0;
}
