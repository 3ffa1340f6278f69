/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nbdkit-filter.h>

#include "base/bytes.h"
#include "engine/copying.h"
#include "copier.h"
#include "own-connection.h"
#include "thread.h"

/* What keeps it from going on is looked at so often. */
#define LOOK_MS 1000

struct copier_thread {
  struct engine *engine;
  struct own_connection *own;
  bool (*held) (void *opaque);
  void *opaque;
  pthread_t thread;

  pthread_mutex_t mutex;        /* guards what follows */
  pthread_cond_t cond;          /* any of it has changed; of CLOCK_MONOTONIC */
  bool stop, wanted, paused;
  unsigned order;               /* copier_copy was called so often */
  struct copier copier;         /* changed by the thread alone, while WANTED */
  char why[128];
};

/* The mutex is held: at most so long, or until something has changed. */
static void
wait_ms (struct copier_thread *c, uint64_t ms)
{
  struct timespec until;

  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec += ms / 1000;
  until.tv_nsec += ms % 1000 * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  pthread_cond_timedwait (&c->cond, &c->mutex, &until);
}

static const char *
why_not (int err)
{
  switch (err) {
  case ENOSPC:
    return "there is no room in the copy or the spare";
  case ENODEV:
    return "main is lost";
  case ENOMEM:
    return "out of memory";
  case EIO:
    return "the copy has failed: the server has to be restarted";
  default:
    return strerror (err);
  }
}

/* Without the mutex.  Returns 0 or an errno, with WHY. */
static int
step (struct copier_thread *c, struct copier *copier, bool *done,
      struct message *why)
{
  struct engine_conn *conn;
  int err;

  *done = false;
  err = own_get_main (c->own, false, &conn, why);
  if (err)
    return err;
  err = copier_step (copier, conn, done);
  own_put_main (c->own);
  if (err)
    message_set (why, "%s", why_not (err));
  return err;
}

/* The mutex is held, and released meanwhile. */
static void
go_on (struct copier_thread *c)
{
  struct copier copier = c->copier;
  const unsigned order = c->order;
  struct message why = { .text = "" };
  bool done;
  int err;

  pthread_mutex_unlock (&c->mutex);
  err = step (c, &copier, &done, &why);
  pthread_mutex_lock (&c->mutex);
  if (order != c->order)
    return;
  c->copier = copier;
  c->wanted = !done;
  snprintf (c->why, sizeof c->why, "%.127s", err ? why.text : "");
  if (err && !c->stop)
    wait_ms (c, LOOK_MS);
}

static void *
run (void *arg)
{
  struct copier_thread *c = arg;
  uint64_t ms;

  pthread_mutex_lock (&c->mutex);
  while (!c->stop) {
    if (!c->wanted || c->paused) {
      pthread_cond_wait (&c->cond, &c->mutex);
      continue;
    }
    if (c->held && c->held (c->opaque)) {
      snprintf (c->why, sizeof c->why, "background work is held");
      wait_ms (c, LOOK_MS);
      continue;
    }
    ms = copier_wait_ms (&c->copier, c->engine);
    if (ms > 0)
      wait_ms (c, min_u64 (ms, LOOK_MS));
    else
      go_on (c);
  }
  pthread_mutex_unlock (&c->mutex);
  return NULL;
}

struct copier_thread *
copier_start (struct engine *engine, struct own_connection *own,
              uint64_t rate, bool (*held) (void *opaque), void *opaque)
{
  struct copier_thread *c = calloc (1, sizeof *c);
  pthread_condattr_t attr;
  int err;

  if (c == NULL) {
    nbdkit_error ("remap: calloc: %m");
    return NULL;
  }
  c->engine = engine;
  c->own = own;
  c->held = held;
  c->opaque = opaque;
  c->copier.rate = rate;
  pthread_mutex_init (&c->mutex, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&c->cond, &attr);
  pthread_condattr_destroy (&attr);
  err = thread_start (&c->thread, run, c);
  if (err == 0)
    return c;
  nbdkit_error ("remap: pthread_create: %s", strerror (err));
  pthread_cond_destroy (&c->cond);
  pthread_mutex_destroy (&c->mutex);
  free (c);
  return NULL;
}

void
copier_copy (struct copier_thread *c, sector_t start, uint64_t count)
{
  pthread_mutex_lock (&c->mutex);
  copier_begin (&c->copier, c->engine, start, count);
  c->order++;
  c->wanted = true;
  c->paused = false;
  c->why[0] = '\0';
  pthread_cond_broadcast (&c->cond);
  pthread_mutex_unlock (&c->mutex);
}

void
copier_pause (struct copier_thread *c, bool pause)
{
  pthread_mutex_lock (&c->mutex);
  c->paused = pause;
  pthread_cond_broadcast (&c->cond);
  pthread_mutex_unlock (&c->mutex);
}

void
copier_get_status (struct copier_thread *c, struct control_copier *st)
{
  pthread_mutex_lock (&c->mutex);
  if (!c->wanted)
    st->state = CONTROL_COPIER_IDLE;
  else if (c->paused)
    st->state = CONTROL_COPIER_PAUSED;
  else
    st->state = c->why[0] ? CONTROL_COPIER_WAITS : CONTROL_COPIER_RUNS;
  st->at = c->copier.at;
  st->end = c->copier.end;
  st->copied = c->copier.copied;
  st->bad = c->copier.bad;
  memcpy (st->why, c->why, sizeof st->why);
  pthread_mutex_unlock (&c->mutex);
}

void
copier_stop (struct copier_thread *c)
{
  bool runs;

  if (c == NULL)
    return;
  pthread_mutex_lock (&c->mutex);
  runs = !c->stop;
  c->stop = true;
  pthread_cond_broadcast (&c->cond);
  pthread_mutex_unlock (&c->mutex);
  if (runs)
    pthread_join (c->thread, NULL);
}

void
copier_free (struct copier_thread *c)
{
  if (c == NULL)
    return;
  copier_stop (c);
  pthread_cond_destroy (&c->cond);
  pthread_mutex_destroy (&c->mutex);
  free (c);
}
