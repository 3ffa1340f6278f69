/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A lane that is a thread, which may be stuck in a system call while
 * whoever asked has given up.
 */

#include <config.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "lane-thread.h"

enum state { IDLE, BUSY, DONE, QUIT };

struct thread_lane {
  struct lane lane;
  pthread_t thread;
  pthread_mutex_t mutex;                /* guards what follows */
  pthread_cond_t cond;                  /* signalled when the state changes */
  enum state state;
  int result;
};

static void *
serve (void *arg)
{
  struct thread_lane *tl = arg;
  int err;

  pthread_mutex_lock (&tl->mutex);
  for (;;) {
    while (tl->state != BUSY && tl->state != QUIT)
      pthread_cond_wait (&tl->cond, &tl->mutex);
    if (tl->state == QUIT)
      break;
    pthread_mutex_unlock (&tl->mutex);
    err = operation_run (&tl->lane.op);
    pthread_mutex_lock (&tl->mutex);
    tl->result = err;
    tl->state = DONE;
    pthread_cond_broadcast (&tl->cond);
  }
  pthread_mutex_unlock (&tl->mutex);
  return NULL;
}

/* nbdkit's own threads handle its signals: this one blocks them all. */
static int
create (struct thread_lane *tl)
{
  sigset_t all, old;
  int err;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  err = pthread_create (&tl->thread, NULL, serve, tl);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  return err;
}

struct lane *
thread_lane_new (void)
{
  struct thread_lane *tl = calloc (1, sizeof *tl);
  pthread_condattr_t attr;

  if (tl == NULL)
    return NULL;
  pthread_mutex_init (&tl->mutex, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&tl->cond, &attr);
  pthread_condattr_destroy (&attr);
  if (create (tl) != 0) {
    pthread_cond_destroy (&tl->cond);
    pthread_mutex_destroy (&tl->mutex);
    free (tl);
    return NULL;
  }
  return &tl->lane;
}

int
thread_lane_run (struct lane *lane, uint64_t deadline)
{
  struct thread_lane *tl = (struct thread_lane *) lane;
  const struct timespec until = {
    .tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000
  };
  int err = 0, result = LATE;

  pthread_mutex_lock (&tl->mutex);
  tl->state = BUSY;
  pthread_cond_broadcast (&tl->cond);
  while (tl->state != DONE && err == 0)
    err = pthread_cond_timedwait (&tl->cond, &tl->mutex, &until);
  if (tl->state == DONE) {
    tl->state = IDLE;
    result = tl->result;
  }
  pthread_mutex_unlock (&tl->mutex);
  return result;
}

bool
thread_lane_is_done (struct lane *lane)
{
  struct thread_lane *tl = (struct thread_lane *) lane;
  bool done;

  pthread_mutex_lock (&tl->mutex);
  done = tl->state == DONE;
  if (done)
    tl->state = IDLE;
  pthread_mutex_unlock (&tl->mutex);
  return done;
}

void
thread_lane_free (struct lane *lane)
{
  struct thread_lane *tl = (struct thread_lane *) lane;

  pthread_mutex_lock (&tl->mutex);
  tl->state = QUIT;
  pthread_cond_broadcast (&tl->cond);
  pthread_mutex_unlock (&tl->mutex);
  pthread_join (tl->thread, NULL);
  pthread_cond_destroy (&tl->cond);
  pthread_mutex_destroy (&tl->mutex);
  free (tl);
}
