/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nbdkit-filter.h>

#include "engine/engine.h"
#include "spare-setup.h"
#include "spare-watch.h"
#include "thread.h"

struct spare_watch {
  struct spare_setup *setup;
  struct engine *engine;
  pthread_t thread;
  pthread_mutex_t mutex;        /* guards STOPPING */
  pthread_cond_t cond;          /* of CLOCK_MONOTONIC */
  bool stopping;
};

/* A second, or until it is to end: then false. */
static bool
wait_a_second (struct spare_watch *w)
{
  struct timespec end;
  bool go_on;

  clock_gettime (CLOCK_MONOTONIC, &end);
  end.tv_sec++;
  pthread_mutex_lock (&w->mutex);
  while (!w->stopping &&
         pthread_cond_timedwait (&w->cond, &w->mutex, &end) == 0)
    ;
  go_on = !w->stopping;
  pthread_mutex_unlock (&w->mutex);
  return go_on;
}

static void *
run (void *arg)
{
  struct spare_watch *w = arg;
  struct message message;

  while (wait_a_second (w)) {
    spare_setup_renew (w->setup);
    engine_note_place (w->engine, spare_setup_is_in_place (w->setup, &message)
                       ? NULL : message.text);
    engine_tick_spare (w->engine);
  }
  return NULL;
}

struct spare_watch *
spare_watch_start (struct spare_setup *setup, struct engine *engine)
{
  struct spare_watch *w = calloc (1, sizeof *w);
  pthread_condattr_t attr;
  int err;

  if (w == NULL) {
    nbdkit_error ("remap: calloc: %m");
    return NULL;
  }
  w->setup = setup;
  w->engine = engine;
  pthread_mutex_init (&w->mutex, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&w->cond, &attr);
  pthread_condattr_destroy (&attr);
  err = thread_start (&w->thread, run, w);
  if (err == 0)
    return w;
  nbdkit_error ("remap: pthread_create: %s", strerror (err));
  pthread_mutex_destroy (&w->mutex);
  pthread_cond_destroy (&w->cond);
  free (w);
  return NULL;
}

void
spare_watch_stop (struct spare_watch *w)
{
  if (w == NULL)
    return;
  pthread_mutex_lock (&w->mutex);
  w->stopping = true;
  pthread_cond_signal (&w->cond);
  pthread_mutex_unlock (&w->mutex);
  pthread_join (w->thread, NULL);
  pthread_mutex_destroy (&w->mutex);
  pthread_cond_destroy (&w->cond);
  free (w);
}
