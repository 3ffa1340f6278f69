/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "spare-growth.h"
#include "startup.h"
#include "thread.h"

/* After it couldn't be enlarged: not at each commit again. */
#define PAUSE_MS 60000U

struct growth {
  const struct spare_file *file;
  struct spare *spare;
  uint64_t max;
  struct events *events;
  int told;                     /* errno; 0: nothing since it was enlarged */
  growth_function *grow;
  void *opaque;
  pthread_t thread;

  pthread_mutex_t mutex;        /* guards what follows */
  pthread_cond_t cond;
  bool low, stop;
  uint64_t not_before;          /* clock_now_ms */
};

/* How large it may become, in bytes. */
static int
limit (const struct growth *g, uint64_t *max, struct message *why)
{
  struct spare_room room;
  uint64_t keep, can;
  int err;

  err = spare_file_room (g->file, &room);
  if (err) {
    message_set (why, "its filesystem: %s", strerror (err));
    return err;
  }
  /* What is left of the filesystem can't all be the spare's. */
  keep = room.total / 10;
  can = room.allocated + room.free;
  *max = can > keep ? can - keep : 0;
  if (g->max != 0)
    *max = g->max;
  return 0;
}

static int
double_it (struct growth *g, struct message *why)
{
  struct spare_status st;
  uint64_t max, size;
  int err;

  spare_get_status (g->spare, &st);
  err = limit (g, &max, why);
  if (err)
    return err;
  size = round_down (min_u64 (2 * st.size, min_u64 (max, SPARE_MAX_SIZE)),
                     4096);
  /* Each step takes one of 32 segments. */
  if (size < st.size + st.size / 8) {
    message_set (why, "it has %" PRIu64 " bytes, and may have %" PRIu64
                 " (spare-max)", st.size, max);
    return ENOSPC;
  }
  err = g->grow (g->opaque, size, why);
  if (err == 0)
    nbdkit_debug ("remap: spare %s: enlarged from %" PRIu64 " to %" PRIu64
                  " bytes", g->file->path, st.size, size);
  return err;
}

static void *
run (void *opaque)
{
  struct growth *g = opaque;
  struct message why;

  pthread_mutex_lock (&g->mutex);
  while (!g->stop) {
    if (!g->low) {
      pthread_cond_wait (&g->cond, &g->mutex);
      continue;
    }
    pthread_mutex_unlock (&g->mutex);
    const int err = double_it (g, &why);

    if (err && err != g->told)
      events_tell (g->events, EVENT_SPARE_WARNING, "spare %s: is nearly full, "
                   "and isn't enlarged: %s", g->file->path, why.text);
    g->told = err;
    pthread_mutex_lock (&g->mutex);
    g->low = false;
    g->not_before = err ? clock_now_ms () + PAUSE_MS : 0;
  }
  pthread_mutex_unlock (&g->mutex);
  return NULL;
}

static void
free_growth (struct growth *g)
{
  pthread_mutex_destroy (&g->mutex);
  pthread_cond_destroy (&g->cond);
  free (g);
}

struct growth *
growth_start (const struct spare_file *file, struct spare *spare, uint64_t max,
              struct events *events, growth_function *grow, void *opaque)
{
  struct growth *g = calloc (1, sizeof *g);
  int err;

  if (g == NULL) {
    startup_refuse ("remap: calloc: %m");
    return NULL;
  }
  g->file = file;
  g->spare = spare;
  g->max = max;
  g->events = events;
  g->grow = grow;
  g->opaque = opaque;
  pthread_mutex_init (&g->mutex, NULL);
  pthread_cond_init (&g->cond, NULL);
  err = thread_start (&g->thread, run, g);
  if (err) {
    startup_refuse ("remap: pthread_create: %s", strerror (err));
    free_growth (g);
    return NULL;
  }
  return g;
}

void
growth_wake (struct growth *g)
{
  pthread_mutex_lock (&g->mutex);
  if (!g->low && (g->not_before == 0 || clock_now_ms () >= g->not_before)) {
    g->low = true;
    pthread_cond_signal (&g->cond);
  }
  pthread_mutex_unlock (&g->mutex);
}

void
growth_stop (struct growth *g)
{
  if (g == NULL)
    return;
  pthread_mutex_lock (&g->mutex);
  g->stop = true;
  pthread_cond_signal (&g->cond);
  pthread_mutex_unlock (&g->mutex);
  pthread_join (g->thread, NULL);
  free_growth (g);
}
