/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/copy.h"
#include "engine/errors.h"
#include "engine/events.h"
#include "engine/keep.h"
#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine/merge.h"
#include "engine/settle.h"
#include "engine/states.h"
#include "map/pending.h"

/* A copy that is full is tried again so often. */
#define FULL_MS 1000

enum flight_stage { READING, QUEUED, FAILED };

/* A piece.  It lies in one region, and whole blocks of main are in it. */
struct flight {
  uint64_t start, end;          /* bytes */
  enum flight_stage stage;
  unsigned users;               /* who look at it, beside its list */
  bool listed;
  bool again;                   /* also what is KEPT, see keep.h */
  uint8_t *data;
  struct flight *next;          /* in its list */
  struct flight *link;          /* in the queue */
};

static struct keeping *
keeping_of (const struct engine *e)
{
  return &rescue_of (e)->keeping;
}

static struct flight **
list_of (struct keeping *k, uint64_t offset)
{
  return &k->list[(offset >> FLIGHT_REGION_SHIFT) % NR_FLIGHT_LISTS];
}

static uint64_t
region_end (uint64_t offset)
{
  return ((offset >> FLIGHT_REGION_SHIFT) + 1) << FLIGHT_REGION_SHIFT;
}

void
keep_init (struct keeping *k, uint64_t most_bytes)
{
  pthread_mutex_init (&k->mutex, NULL);
  pthread_cond_init (&k->read, NULL);
  pthread_cond_init (&k->work, NULL);
  k->queue_end = &k->queue;
  k->most_bytes = most_bytes;
}

static void
free_flight (struct keeping *k, struct flight *f)
{
  k->bytes -= f->end - f->start;
  free (f->data);
  free (f);
}

void
keep_destroy (struct keeping *k)
{
  struct flight *f;

  while ((f = k->queue) != NULL) {
    k->queue = f->link;
    free_flight (k, f);
  }
  pthread_cond_destroy (&k->work);
  pthread_cond_destroy (&k->read);
  pthread_mutex_destroy (&k->mutex);
}

/* The rest holds the mutex where it doesn't say otherwise. */

static void
drop_if_unused (struct keeping *k, struct flight *f)
{
  if (!f->listed && f->users == 0)
    free_flight (k, f);
}

static void
unlist (struct keeping *k, struct flight *f)
{
  struct flight **p = list_of (k, f->start);

  while (*p != f)
    p = &(*p)->next;
  *p = f->next;
  f->listed = false;
}

/* The piece that holds START, or else NULL; then *END is lowered to where the
 * next one begins.
 */
static struct flight *
find (struct keeping *k, uint64_t start, uint64_t *end)
{
  struct flight *f;

  for (f = *list_of (k, start); f; f = f->next)
    if (f->start <= start && start < f->end)
      return f;
    else if (f->start > start && f->start < *end)
      *end = f->start;
  return NULL;
}

/* NULL: there is no memory for it. */
static struct flight *
add (struct keeping *k, uint64_t start, uint64_t end)
{
  struct flight **list = list_of (k, start), *f;

  if (k->stop || k->bytes + (end - start) > k->most_bytes)
    return NULL;
  f = calloc (1, sizeof *f);
  if (f == NULL)
    return NULL;
  f->data = malloc (end - start);
  if (f->data == NULL) {
    free (f);
    return NULL;
  }
  f->start = start;
  f->end = end;
  f->listed = true;
  f->next = *list;
  *list = f;
  k->bytes += end - start;
  return f;
}

static void
enqueue (struct keeping *k, struct flight *f)
{
  f->stage = QUEUED;
  f->link = NULL;
  *k->queue_end = f;
  k->queue_end = &f->link;
  pthread_cond_signal (&k->work);
}

/* How far the blocks from START on are DIRECT. */
static uint64_t
direct_end (struct engine *e, uint64_t start, uint64_t end)
{
  struct run run = state_lookup (e, sector_of (start), sectors_in (start, end));

  if (run.state != DIRECT)
    return start;
  if (run_end_byte (&run) >= end)
    return end;
  return block_of (e, run_end_byte (&run));
}

/* Another thread has asked for it: the bytes from START to before END, both
 * within it.  Returns whether they were read.  The mutex is released meanwhile.
 */
static bool
join (struct keeping *k, struct flight *f, uint8_t *buf, uint64_t start,
      uint64_t end)
{
  bool ok;

  f->users++;
  while (f->stage == READING)
    pthread_cond_wait (&k->read, &k->mutex);
  ok = f->stage == QUEUED;
  pthread_mutex_unlock (&k->mutex);
  if (ok)
    memcpy (buf, f->data + (start - f->start), end - start);
  pthread_mutex_lock (&k->mutex);
  f->users--;
  drop_if_unused (k, f);
  return ok;
}

/* Asks main, and notes when a client has done so; without the mutex. */
static int
ask_main (struct request *r, uint8_t *buf, uint64_t start, uint64_t end)
{
  struct keeping *k = keeping_of (r->e);
  int err;

  if (r->background)
    return main_read (r, buf, start, end);
  pthread_mutex_lock (&k->mutex);
  k->clients++;
  pthread_mutex_unlock (&k->mutex);
  err = main_read (r, buf, start, end);
  pthread_mutex_lock (&k->mutex);
  k->clients--;
  k->client_ms = r->e->config.now_ms (r->e->config.opaque);
  pthread_mutex_unlock (&k->mutex);
  return err;
}

/* Asks main, without the mutex, for a piece that is listed. */
static int
read_flight (struct request *r, struct flight *f, uint8_t *buf)
{
  struct keeping *k = keeping_of (r->e);
  int err;

  err = ask_main (r, buf, f->start, f->end);
  if (err == 0)
    memcpy (f->data, buf, f->end - f->start);
  pthread_mutex_lock (&k->mutex);
  if (err == 0)
    enqueue (k, f);
  else {
    f->stage = FAILED;
    unlist (k, f);
    drop_if_unused (k, f);
  }
  pthread_cond_broadcast (&k->read);
  pthread_mutex_unlock (&k->mutex);
  return err;
}

/* From START to *END, a piece or a part of one; the mutex is held, and
 * released. *END is lowered to what was read.
 */
static int
read_or_join (struct request *r, uint8_t *buf, uint64_t start, uint64_t *end)
{
  struct keeping *k = keeping_of (r->e);
  struct flight *f = find (k, start, end);
  bool joined;

  if (f) {
    *end = min_u64 (*end, f->end);
    joined = join (k, f, buf, start, *end);
    f = NULL;                   /* its own blocks, then */
  }
  else {
    joined = false;
    f = add (k, start, *end);
  }
  pthread_mutex_unlock (&k->mutex);
  if (joined)
    return 0;
  if (f)
    return read_flight (r, f, buf);
  stat_add (r->e, STAT_NOT_KEPT, sectors_in (start, *end));
  return ask_main (r, buf, start, *end);
}

int
keep_read (struct request *r, uint8_t *buf, uint64_t start, uint64_t end,
           uint64_t *done)
{
  struct keeping *k = keeping_of (r->e);

  pthread_mutex_lock (&k->mutex);
  *done = direct_end (r->e, start, min_u64 (end, region_end (start)));
  if (*done > start)
    return read_or_join (r, buf, start, done);
  pthread_mutex_unlock (&k->mutex);
  return LOOK_AGAIN;
}

int
keep_read_block (struct request *r, uint8_t *buf, uint64_t block,
                 uint64_t start, uint64_t end)
{
  struct keeping *k = keeping_of (r->e);
  uint64_t bend = block_end (r->e, block);

  pthread_mutex_lock (&k->mutex);
  if (all_direct (r->e, sector_of (start), sectors_in (start, end)))
    return read_or_join (r, buf, block, &bend);
  pthread_mutex_unlock (&k->mutex);
  return LOOK_AGAIN;
}

bool
keep_content (struct engine *e, const uint8_t *buf, uint64_t start,
              uint64_t end, bool again)
{
  struct keeping *k = keeping_of (e);
  uint64_t next, limit;
  struct flight *f;
  bool all = true;

  for (; start < end; buf += next - start, start = next) {
    next = min_u64 (end, region_end (start));
    pthread_mutex_lock (&k->mutex);
    limit = next;
    f = find (k, start, &limit) || limit < next ? NULL : add (k, start, next);
    if (f) {
      memcpy (f->data, buf, next - start);
      f->again = again;
      enqueue (k, f);
    }
    pthread_mutex_unlock (&k->mutex);
    all &= f != NULL;
  }
  return all;
}

/* From here on without the mutex. */

static bool
is_paused (struct engine *e)
{
  struct keeping *k = keeping_of (e);
  struct copy *copy = &rescue_of (e)->copy;

  return copy_has_failed (copy) ||
    (atomic_load (&copy->full) &&
     e->config.now_ms (e->config.opaque) - k->full_ms < FULL_MS);
}

static void
not_kept (struct engine *e, int err, uint64_t start, uint64_t end)
{
  struct copy *copy = &rescue_of (e)->copy;

  stat_add (e, STAT_NOT_KEPT, sectors_in (start, end));
  if (err == ETIMEDOUT)
    copy_write_is_late (e, copy, start, end);
  if (error_for_nbd (err) != ENOSPC)
    return;
  keeping_of (e)->full_ms = e->config.now_ms (e->config.opaque);
  if (!atomic_exchange (&copy->full, true))
    events_tell (e->config.events, EVENT_COPY_FULL, "there is no room for the "
                 "copy: nothing more is kept until there is some, and writes "
                 "that need it fail with ENOSPC");
}

/* Sectors that are DIRECT, held exclusively in whole blocks of the copy, and in
 * one page of pending states.
 */
static void
keep_run (struct request *r, const uint8_t *data, uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  struct rescue *rescue = rescue_of (e);
  const sector_t sector = sector_of (start);
  const uint64_t count = sectors_in (start, end);
  int err;

  if (is_paused (e) || marks_overlap (&rescue->copy.late, sector, count)) {
    stat_add (e, STAT_NOT_KEPT, count);
    return;
  }
  err = settle_reserve (e, 2);
  if (err) {
    stat_add (e, STAT_NOT_KEPT, count);
    return;
  }
  err = pending_pin (rescue->pending, sector, count);
  if (err == 0) {
    err = merge_write (r, data, start, end);
    if (err)
      not_kept (e, err, start, end);
    else if (pending_set (rescue->pending, sector, count, KEPT, 2)) {
      copy_has_room (&rescue->copy);
      stat_add (e, STAT_KEPT, count);
      pthread_mutex_lock (&rescue->keeping.mutex);
      rescue->keeping.unrecorded += end - start;
      pthread_mutex_unlock (&rescue->keeping.mutex);
    }
    else
      err = EEXIST;
    pending_unpin (rescue->pending, sector, count);
  }
  if (err)
    spare_unreserve (e->spare, 2);
}

/* Sectors that are KEPT already, held as above, which the copy couldn't read: a
 * drive replaces a bad sector when it is written.
 */
static void
keep_again (struct request *r, const uint8_t *data, uint64_t start,
            uint64_t end)
{
  struct copy *copy = &rescue_of (r->e)->copy;
  int err;

  if (is_paused (r->e) ||
      marks_overlap (&copy->late, sector_of (start), sectors_in (start, end)))
    return;
  err = merge_write (r, data, start, end);
  if (err == ETIMEDOUT)
    copy_write_is_late (r->e, copy, start, end);
}

static void
keep_flight (struct request *r, const struct flight *f)
{
  struct engine *e = r->e;
  const uint64_t limit = merge_block_end (e, f->end - 1);
  struct exclusive_hold hold;
  uint64_t pos = f->start, got, next;
  struct run run;

  while (pos < f->end) {
    got = range_lock_exclusive (e->ranges, &hold, merge_block_of (e, pos),
                                limit);
    got = min_u64 (got == limit ? got : merge_block_of (e, got), f->end);
    for (; pos < got; pos = next) {
      run = state_lookup (e, sector_of (pos), sectors_in (pos, got));
      next = min_u64 (min_u64 (run_end_byte (&run), got),
                      pending_page_end (sector_of (pos)) << SECTOR_SHIFT);
      if (run.state == DIRECT)
        keep_run (r, f->data + (pos - f->start), pos, next);
      else if (run.state == KEPT && f->again)
        keep_again (r, f->data + (pos - f->start), pos, next);
    }
    range_unlock_exclusive (e->ranges, &hold);
  }
}

bool
keep_one (struct engine_conn *conn)
{
  struct keeping *k = keeping_of (conn->engine);
  struct flight *f;
  struct request r;

  pthread_mutex_lock (&k->mutex);
  f = k->queue;
  if (f) {
    k->queue = f->link;
    if (k->queue == NULL)
      k->queue_end = &k->queue;
  }
  pthread_mutex_unlock (&k->mutex);
  if (f == NULL)
    return false;

  request_init (&r, conn, f->start, f->end - f->start);
  keep_flight (&r, f);
  pthread_mutex_lock (&k->mutex);
  unlist (k, f);
  drop_if_unused (k, f);
  pthread_mutex_unlock (&k->mutex);
  return true;
}

bool
keep_wait (struct engine *e, unsigned ms)
{
  struct keeping *k = keeping_of (e);
  struct timespec until;
  bool go_on;

  clock_gettime (CLOCK_REALTIME, &until);
  until.tv_sec += ms / 1000;
  until.tv_nsec += ms % 1000 * 1000000L;
  if (until.tv_nsec >= 1000000000L) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000L;
  }
  pthread_mutex_lock (&k->mutex);
  if (k->queue == NULL && !k->stop)
    pthread_cond_timedwait (&k->work, &k->mutex, &until);
  go_on = !k->stop;
  pthread_mutex_unlock (&k->mutex);
  return go_on;
}

void
keep_stop (struct engine *e)
{
  struct keeping *k = keeping_of (e);

  pthread_mutex_lock (&k->mutex);
  k->stop = true;
  pthread_cond_broadcast (&k->work);
  pthread_mutex_unlock (&k->mutex);
}

uint64_t
keep_idle_ms (struct engine *e)
{
  struct keeping *k = keeping_of (e);
  uint64_t idle;

  pthread_mutex_lock (&k->mutex);
  idle = k->clients > 0 ? 0
    : e->config.now_ms (e->config.opaque) - k->client_ms;
  pthread_mutex_unlock (&k->mutex);
  return idle;
}

uint64_t
keep_unrecorded (struct engine *e, bool reset)
{
  struct keeping *k = keeping_of (e);
  uint64_t n;

  pthread_mutex_lock (&k->mutex);
  n = k->unrecorded;
  if (reset)
    k->unrecorded = 0;
  pthread_mutex_unlock (&k->mutex);
  return n;
}
