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

#include "base/bytes.h"
#include "engine/errors.h"
#include "engine/log.h"
#include "engine/main-dev.h"

#define PROBE_INTERVAL_MS 1000

enum life { ALIVE, DEAD, UNKNOWN };

/* Reads the canaries until one answers.  DEAD if there are some and none
 * does; UNKNOWN if that has other reasons than main.  Those that failed
 * although main is alive are noted in the request, see settle_canaries.
 */
static enum life
ask_canaries (struct request *r)
{
  struct engine *e = r->e;
  const uint32_t block = e->config.main_block;
  uint64_t at[NR_CANARIES];
  enum life life = DEAD;
  unsigned n, i, bad = 0;
  void *buf;
  int err;

  n = canaries_pick (&e->canaries, e->map, r->start, r->end, at);
  if (n == 0)
    return ALIVE;
  if (posix_memalign (&buf, 4096, block) != 0)
    return UNKNOWN;
  for (i = 0; i < n; i++) {
    canaries_touch (&e->canaries, at[i], block);
    err = device_pread (&r->conn->main_dev, buf, block, at[i]);
    if (err == 0) {
      life = ALIVE;
      break;
    }
    stat_add (e, STAT_MAIN_READ_ERRORS, 1);
    if (error_classify (err) == ERROR_MEDIA)
      at[bad++] = at[i];
    else if (error_classify (err) == ERROR_OTHER)
      life = UNKNOWN;
    else {
      /* It said that it is gone.  Even if it is back a moment later, what
       * it held unflushed may be lost.
       */
      life = DEAD;
      break;
    }
  }
  free (buf);
  if (life == ALIVE)
    for (i = 0; i < bad && r->nr_bad_canaries < NR_CANARIES; i++)
      r->bad_canary[r->nr_bad_canaries++] = at[i];
  return life;
}

void
main_went_away (struct engine *e, int err)
{
  bool news;

  pthread_mutex_lock (&e->probe_mutex);
  news = !atomic_load (&e->main_lost);
  if (news) {
    e->last_probe_ms = e->config.now_ms (e->config.opaque);
    atomic_store (&e->main_lost, true);
    atomic_fetch_add (&e->losses, 1);
    /* What was not flushed may be gone: that is a failed flush. */
    if (atomic_exchange (&e->main_dirty, false))
      atomic_fetch_add (&e->flush_failures, 1);
  }
  pthread_mutex_unlock (&e->probe_mutex);
  if (news) {
    stat_add (e, STAT_MAIN_LOST, 1);
    engine_log (e, ENGINE_LOG_WARNING,
                "main is lost (%s): requests that need it fail, nothing is "
                "remapped; service resumes when it answers again",
                strerror (err));
  }
}

/* The probe mutex is held. */
static bool
main_came_back (struct request *r)
{
  const struct device *main_dev = &r->conn->main_dev;
  struct engine *e = r->e;
  uint64_t size = e->config.main_size;
  int err;

  if (main_dev->ops->probe) {
    err = main_dev->ops->probe (main_dev->ctx, &size);
    if (err)
      return false;
    if (size != e->config.main_size) {
      engine_log (e, ENGINE_LOG_WARNING,
                  "main answers again, but its size is %" PRIu64 " bytes and "
                  "was %" PRIu64 ": this is not the same disk, it stays lost",
                  size, e->config.main_size);
      return false;
    }
  }
  return ask_canaries (r) == ALIVE;
}

bool
main_is_still_lost (struct request *r)
{
  struct engine *e = r->e;
  uint64_t now;
  bool back = false;

  /* Somebody else is asking: don't wait for the answer. */
  if (pthread_mutex_trylock (&e->probe_mutex) != 0)
    return true;
  if (!atomic_load (&e->main_lost)) {
    pthread_mutex_unlock (&e->probe_mutex);
    return false;
  }
  now = e->config.now_ms (e->config.opaque);
  if (now - e->last_probe_ms >= PROBE_INTERVAL_MS) {
    back = main_came_back (r);
    e->last_probe_ms = e->config.now_ms (e->config.opaque);
    if (back)
      atomic_store (&e->main_lost, false);
  }
  pthread_mutex_unlock (&e->probe_mutex);
  if (back)
    engine_log (e, ENGINE_LOG_WARNING, "main is back: service resumes");
  return !back;
}

bool
may_act_on (struct request *r, int err)
{
  struct engine *e = r->e;
  enum life life;

  if (error_classify (err) != ERROR_MEDIA || atomic_load (&e->main_lost))
    return false;
  if (!r->canaries_asked) {
    life = ask_canaries (r);
    if (life == DEAD)
      main_went_away (e, err);
    if (life != ALIVE)
      return false;
    r->canaries_asked = true;
  }
  return atomic_load (&e->auto_remap);
}

bool
may_move (struct request *r)
{
  return atomic_load (&r->e->auto_remap) && !main_is_lost (r);
}

bool
may_move_late (struct request *r)
{
  return may_move (r) && may_act_on (r, ETIMEDOUT);
}

void
set_dirty (struct engine *e)
{
  atomic_store (&e->main_written, true);
  atomic_store (&e->main_dirty, true);
}

int
main_failed (struct engine *e, enum engine_stat stat, int err)
{
  stat_add (e, stat, 1);
  if (error_classify (err) == ERROR_GONE)
    main_went_away (e, err);
  return err;
}

int
main_read (struct request *r, void *buf, uint64_t start, uint64_t end)
{
  uint8_t *p = buf;
  uint32_t n;
  int err = 0;

  for (; start < end && err == 0; start += n, p += n) {
    n = min_u64 (end - start, r->e->max_call);
    err = main_read_once (r, p, n, start);
  }
  return err;
}

/* Noted before each write, so that a disk that goes away during it is known
 * to have lost something, and after it (finish_write), since a flush may
 * have begun meanwhile.
 */
static void
will_write (struct request *r)
{
  if (!r->wrote_main)
    r->losses = atomic_load (&r->e->losses);
  r->wrote_main = true;
  note_dirty (r->e);
}

/* Without an operation of main's own zeroes are written, from here. */
static uint8_t zeroes[PIECE_SIZE] __attribute__ ((aligned (4096)));

uint32_t
main_piece (const struct request *r, const void *buf)
{
  const bool emulated = buf == NULL && r->conn->main_dev.ops->zero == NULL;

  return min_u64 (r->e->max_call, emulated ? sizeof zeroes : MAIN_PIECE);
}

/* One call, of at most main_piece bytes. */
static int
main_write_once (struct request *r, const void *buf, uint32_t count,
                 uint64_t start)
{
  const struct device *main_dev = &r->conn->main_dev;
  struct engine *e = r->e;
  int err;

  if (buf == NULL && main_dev->ops->zero == NULL) {
    if (r->zero_flags & DEVICE_FAST_ZERO)
      return ENOTSUP;
    buf = zeroes;
  }
  if (main_is_lost (r))
    return ENODEV;
  canaries_touch (&e->canaries, start, count);
  will_write (r);
  if (buf)
    err = device_pwrite (main_dev, buf, count, start);
  else
    err = main_dev->ops->zero (main_dev->ctx, count, start, r->zero_flags);
  return err ? main_failed (e, STAT_MAIN_WRITE_ERRORS, err) : 0;
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

int
main_trim (struct request *r, uint64_t start, uint64_t end)
{
  const struct device *main_dev = &r->conn->main_dev;
  struct engine *e = r->e;
  uint32_t n;
  int err;

  if (main_dev->ops->trim == NULL)
    return 0;
  for (; start < end; start += n) {
    n = min_u64 (end - start, e->max_call);
    if (main_is_lost (r))
      return ENODEV;
    /* A hole is read without asking the disk. */
    canaries_touch (&e->canaries, start, n);
    will_write (r);
    err = main_dev->ops->trim (main_dev->ctx, n, start);
    if (err)
      return main_failed (e, STAT_MAIN_WRITE_ERRORS, err);
  }
  return 0;
}

int
main_cache (struct request *r,
            int (*cache) (void *ctx, uint32_t count, uint64_t offset),
            uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  uint32_t n;
  int err;

  for (; start < end; start += n) {
    n = min_u64 (end - start, e->max_call);
    if (main_is_lost (r))
      return ENODEV;
    canaries_touch (&e->canaries, start, n);
    err = cache (r->conn->main_dev.ctx, n, start);
    if (err)
      return main_failed (e, STAT_MAIN_READ_ERRORS, err);
  }
  return 0;
}

int
main_flush (struct request *r)
{
  int err;

  if (main_is_lost (r))
    return ENODEV;
  err = device_flush (&r->conn->main_dev);
  return err ? main_failed (r->e, STAT_MAIN_FLUSH_ERRORS, err) : 0;
}

