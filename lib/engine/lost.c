/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/canaries.h"
#include "engine/errors.h"
#include "engine/events.h"
#include "engine/in-flight.h"
#include "engine/lost.h"
#include "engine/marks.h"
#include "engine/returned.h"
#include "engine/stats.h"
#include "engine/suspects.h"

#define PROBE_INTERVAL_MS 1000

/* All canaries of a round together: what a drive may take for one answer. */
#define ROUND_MS 30000

/* A canary that times out after so long hangs, and ends the round. */
#define HANGS_MS 1000

/* How often a request that waits looks whether another one has found main. */
#define WAIT_STEP_MS 100

static uint64_t
now_ms (struct engine *e)
{
  return e->config.now_ms (e->config.opaque);
}

/* A canary that failed although main is alive is a bad block that was found:
 * it is noted in the request, see settle_canaries, and not asked again.
 */
static void
note_bad_canary (struct request *r, uint64_t offset)
{
  struct engine *e = r->e;

  marks_add (&e->bad_canaries, sector_of (offset),
             e->config.main_block >> SECTOR_SHIFT);
  if (r->nr_bad_canaries < ALL_CANARIES)
    r->bad_canary[r->nr_bad_canaries++] = offset;
}

/* Reads one canary, since a call has failed with CAUSE.  UNKNOWN: it failed,
 * too, and that says nothing yet.
 */
static enum life
ask (struct request *r, void *buf, uint64_t offset, int cause, int *err)
{
  struct engine *e = r->e;
  const uint32_t block = e->config.main_block;
  const uint64_t begin = now_ms (e);
  _Atomic uint32_t *call;

  call = call_begins (e);
  *err = device_pread (&r->conn->main_dev, buf, block, offset);
  call_ended (call);
  if (*err == 0) {
    canaries_answered (&e->canaries, offset);
    return MAIN_ALIVE;
  }
  stat_add (e, STAT_MAIN_READ_ERRORS, 1);
  atomic_store (&e->last_error, time (NULL));
  /* It said that it is gone.  Even if it is back a moment later, what it held
   * unflushed may be lost.
   */
  if (error_classify (*err) == ERROR_GONE)
    return MAIN_DEAD;
  /* It hangs, and isn't waited for once more.  If it hung before, all of it
   * does; else it may be this place.
   */
  if (*err == ETIMEDOUT && now_ms (e) - begin >= HANGS_MS)
    return cause == ETIMEDOUT ? MAIN_DEAD : MAIN_SILENT;
  return MAIN_UNKNOWN;
}

/* Reads canaries until one answers.  SETTLE: those that don't are bad blocks,
 * if another one does; else they may have failed with all of a main that is
 * just coming back.
 */
static enum life
ask_canaries (struct request *r, int cause, bool settle)
{
  struct engine *e = r->e;
  const uint64_t begin = now_ms (e);
  struct canary_choice choice = {
    .map = e->map, .failed = e->bad_canaries.set,
    .avoid_start = r->start, .avoid_end = r->end,
  };
  enum life life = MAIN_UNKNOWN;
  unsigned nr_bad = 0;
  uint64_t bad[ALL_CANARIES];
  bool other = false;
  void *buf;
  int err;

  if (posix_memalign (&buf, 4096, e->config.main_block) != 0)
    return MAIN_UNKNOWN;
  while (life == MAIN_UNKNOWN &&
         (choice.n < NR_CANARIES || now_ms (e) - begin < ROUND_MS) &&
         canaries_pick (&e->canaries, &choice)) {
    life = ask (r, buf, choice.picked[choice.n - 1], cause, &err);
    if (life == MAIN_UNKNOWN && error_classify (err) == ERROR_MEDIA)
      bad[nr_bad++] = choice.picked[choice.n - 1];
    else if (life == MAIN_UNKNOWN)
      other = true;
    /* An error that isn't about the medium says nothing, and so will more of
     * them.
     */
    if (other && choice.n >= NR_CANARIES)
      break;
  }
  free (buf);

  if (life == MAIN_ALIVE && settle)
    for (unsigned i = 0; i < nr_bad; i++)
      note_bad_canary (r, bad[i]);
  atomic_store (&e->main_silent, choice.n == 0);
  if (life != MAIN_UNKNOWN || other)
    return life;
  /* All that could be asked have failed.  A few blocks of the request itself
   * prove nothing: they may be what is bad.
   */
  if (choice.n > 0 && (!choice.inside || choice.n >= NR_CANARIES))
    return MAIN_DEAD;
  return MAIN_SILENT;
}

void
main_went_away (struct engine *e, int err)
{
  bool news;

  pthread_mutex_lock (&e->probe_mutex);
  news = !atomic_load (&e->main_lost);
  if (news) {
    e->lost_ms = e->last_probe_ms = now_ms (e);
    e->told_other = false;
    atomic_store (&e->main_lost, true);
    atomic_fetch_add (&e->losses, 1);
    /* What was not flushed may be gone: that is a failed flush. */
    if (atomic_exchange (&e->main_dirty, false))
      atomic_fetch_add (&e->flush_failures, 1);
  }
  pthread_mutex_unlock (&e->probe_mutex);
  if (!news)
    return;
  stat_add (e, STAT_MAIN_LOST, 1);
  if (e->config.lost_wait_ms > 0)
    events_tell (e->config.events, EVENT_MAIN_LOST, "main is lost (%s): "
                 "requests that need it wait for it until %" PRIu64 " s from "
                 "now, later ones fail, nothing is remapped; service resumes "
                 "when it answers again", strerror (err),
                 e->config.lost_wait_ms / 1000);
  else
    events_tell (e->config.events, EVENT_MAIN_LOST, "main is lost (%s): "
                 "requests that need it fail, nothing is remapped; service "
                 "resumes when it answers again", strerror (err));
}

void
failed_with_main (struct request *r)
{
  r->met_lost = true;
  /* Of a larger request it isn't known here which part it was. */
  if (r->start < r->end && r->end - r->start <= MAIN_PIECE)
    suspects_add (r->e, r->start, r->end);
}

/* Only one request asks at a time, and those that have failed before it began
 * to ask take its answer.
 */
static enum life
life_of_main (struct request *r, int err)
{
  struct engine *e = r->e;
  const uint64_t failed_at = atomic_fetch_add (&e->tick, 1);
  enum life life;

  pthread_mutex_lock (&e->ask_mutex);
  if (main_is_lost (e))
    life = MAIN_DEAD;
  else if (e->asked_at > failed_at)
    life = e->life;
  else {
    e->asked_at = atomic_fetch_add (&e->tick, 1);
    life = e->life = ask_canaries (r, err, true);
    if (life == MAIN_DEAD)
      main_went_away (e, err);
  }
  pthread_mutex_unlock (&e->ask_mutex);
  if (life == MAIN_DEAD)
    failed_with_main (r);
  else if (life == MAIN_ALIVE)
    r->unjudged = false;
  return life;
}

static enum life
judge (struct request *r, int err)
{
  if (error_classify (err) != ERROR_MEDIA)
    return MAIN_UNKNOWN;
  r->judged_ms = now_ms (r->e);
  return life_of_main (r, err);
}

bool
main_is_alive (struct request *r, int err)
{
  return judge (r, err) == MAIN_ALIVE;
}

bool
main_seems_alive (struct request *r, int err)
{
  const enum life life = judge (r, err);

  return life == MAIN_ALIVE || life == MAIN_SILENT;
}

bool
may_move_refused (const struct engine *e, int err)
{
  return e->config.readonly_to_spare && error_is_refusal (err) &&
    atomic_load (&e->auto_remap);
}

bool
may_move_data (struct request *r, int err)
{
  return may_move_refused (r->e, err) ||
    (main_seems_alive (r, err) && atomic_load (&r->e->auto_remap));
}

bool
may_act_on (struct request *r, int err)
{
  return main_is_alive (r, err) && atomic_load (&r->e->auto_remap);
}

bool
may_go_on (struct request *r, int err)
{
  const uint64_t now = now_ms (r->e);

  if (error_classify (err) != ERROR_MEDIA ||
      !atomic_load (&r->e->auto_remap))
    return false;
  if (main_is_lost (r->e)) {
    failed_with_main (r);
    return false;
  }
  if (r->judged_ms == 0)
    r->judged_ms = now;
  if (err != ETIMEDOUT && now - r->judged_ms < PROBE_INTERVAL_MS)
    return true;
  return main_seems_alive (r, err);
}

bool
may_move (struct request *r)
{
  if (main_is_lost (r->e)) {
    r->met_lost = true;
    return false;
  }
  return atomic_load (&r->e->auto_remap);
}

bool
may_move_late (struct request *r)
{
  return may_move (r) && may_move_data (r, ETIMEDOUT);
}

/* Asks for a block that may be what makes main vanish: alone, as main-dev.c
 * asks suspects.
 */
static bool
answers_alone (struct request *r, void *buf, uint64_t block, uint64_t end)
{
  struct engine *e = r->e;
  const bool is_alone = suspects_exclude (e);
  int err;
  const enum life life = ask (r, buf, block, ETIMEDOUT, &err);

  if (error_classify (err) == ERROR_GONE && is_alone)
    suspects_lost (e, block, end);
  alone_leave (&e->suspects.alone);
  return life == MAIN_ALIVE;
}

/* Nothing is left that could be asked for a sign of life, see ask_canaries.
 * Then a main that is there counts as back if the first block that the request
 * needs can be read, or it needs no whole one, or none that may be asked: were
 * it dead all the same, nothing would become LOST for that, since nobody could
 * say that it is alive.
 */
static bool
block_answers (struct request *r)
{
  struct engine *e = r->e;
  const uint64_t block = block_of (e, r->start);
  const uint64_t end = block + e->config.main_block;
  uint64_t done;
  bool answers;
  void *buf;

  if (r->start == r->end || end > e->config.main_size ||
      !map_all_direct (e->map, sector_of (block), sectors_in (block, end)) ||
      suspects_look (e, block, end, &done) == CONDEMNED)
    return true;
  if (posix_memalign (&buf, 4096, e->config.main_block) != 0)
    return false;
  answers = answers_alone (r, buf, block, end);
  free (buf);
  return answers;
}

/* Told once, until it is found or lost anew. */
static void
tell_other (struct engine *e, const struct message *why)
{
  if (!e->told_other)
    events_tell (e->config.events, EVENT_MAIN_OTHER, "main answers again, but "
                 "%s: this is not the same disk, it stays lost", why->text);
  e->told_other = true;
}

static bool
is_same_disk (struct request *r)
{
  struct message why;
  uint64_t where;

  switch (returned_main (r, &where)) {
  case RETURNED_SAME:
    return true;
  case RETURNED_OTHER:
    message_set (&why, "holds something else at 0x%" PRIx64 " than before",
                 where);
    tell_other (r->e, &why);
    return false;
  default:
    return false;
  }
}

static bool
main_came_back (struct request *r)
{
  const struct device *main_dev = &r->conn->main_dev;
  struct engine *e = r->e;
  uint64_t size = e->config.main_size;
  struct message why;
  enum life life;

  if (main_dev->ops->probe && main_dev->ops->probe (main_dev->ctx, &size))
    return false;
  if (size != e->config.main_size) {
    message_set (&why, "its size is %" PRIu64 " bytes and was %" PRIu64, size,
                 e->config.main_size);
    tell_other (e, &why);
    return false;
  }
  life = ask_canaries (r, ETIMEDOUT, false);
  if (life != MAIN_ALIVE &&
      (life != MAIN_SILENT || !atomic_load (&e->main_silent) ||
       !block_answers (r)))
    return false;
  return is_same_disk (r);
}

/* The probe mutex is held, and released while main is asked. */
static void
probe (struct request *r)
{
  struct engine *e = r->e;
  bool back;

  e->probing = true;
  pthread_mutex_unlock (&e->probe_mutex);
  back = main_came_back (r);
  pthread_mutex_lock (&e->probe_mutex);
  e->probing = false;
  e->last_probe_ms = now_ms (e);
  if (back) {
    atomic_store (&e->main_lost, false);
    events_tell (e->config.events, EVENT_MAIN_BACK,
                 "main is back: service resumes");
  }
}

/* False: the server or the client is about to go. */
static bool
sleep_a_while (struct engine *e)
{
  const struct timespec step = { .tv_nsec = WAIT_STEP_MS * 1000000L };

  if (e->config.sleep_ms)
    return e->config.sleep_ms (e->config.opaque, WAIT_STEP_MS);
  nanosleep (&step, NULL);
  return true;
}

bool
main_wait (struct request *r, uint64_t wait_ms)
{
  struct engine *e = r->e;
  uint64_t now;
  bool go_on = true, back;

  pthread_mutex_lock (&e->probe_mutex);
  while (atomic_load (&e->main_lost) && go_on) {
    now = now_ms (e);
    if (!e->probing && now - e->last_probe_ms >= PROBE_INTERVAL_MS)
      probe (r);
    else if (now - e->lost_ms >= wait_ms)
      break;
    else {
      pthread_mutex_unlock (&e->probe_mutex);
      go_on = sleep_a_while (e);
      pthread_mutex_lock (&e->probe_mutex);
    }
  }
  /* A client that has gone may have sent the request again elsewhere. */
  back = go_on && !atomic_load (&e->main_lost);
  pthread_mutex_unlock (&e->probe_mutex);
  return back;
}

bool
lost_again_slowly (struct request *r, int *err)
{
  const uint64_t wait_ms = r->e->config.lost_wait_ms;

  r->met_lost = false;
  if (r->times_lost++ == 0)
    r->first_lost_ms = now_ms (r->e);
  /* A main that is lost at each try isn't tried for ever. */
  else if (now_ms (r->e) - r->first_lost_ms >= wait_ms) {
    *err = ESHUTDOWN;
    return false;
  }
  if (!main_wait (r, wait_ms)) {
    *err = ESHUTDOWN;
    return false;
  }
  /* What it asked before main was lost is asked again. */
  r->wrote_main = r->unjudged = false;
  return true;
}
