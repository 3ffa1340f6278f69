/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>

#include <nbdkit-filter.h>

#include "base/clock.h"
#include "log.h"
#include "startup.h"
#include "thread.h"
#include "ticker.h"

#define TICK_MS 1000

struct ticker {
  struct events *events;
  int wake_fd;                  /* an eventfd: there is news, or STOPPING */
  atomic_bool stopping;
  bool runs;
  pthread_t thread;
  uint64_t logged;              /* number of the next event for the log */

  struct engine *engine;
  void (*look) (void *opaque);
  void (*news) (void *opaque);
  void *opaque;
};

/* Never blocks: the counter holds 2^64 - 2. */
static void
wake (void *opaque)
{
  const struct ticker *t = opaque;
  const uint64_t one = 1;

  while (write (t->wake_fd, &one, sizeof one) == -1 && errno == EINTR)
    ;
}

/* A log that is slower than the events come gets the newest, and is told how
 * many it hasn't got.  One that stands still is tried again later: nobody else
 * is to wait for it.
 */
static void
log_news (struct ticker *t)
{
  struct event e;

  while (log_is_ready () && events_next (t->events, t->logged, &e)) {
    if (t->logged > 0 && e.number > t->logged)
      log_missed (e.number - t->logged);
    log_event (&e);
    t->logged = e.number + 1;
  }
}

static void *
run (void *arg)
{
  struct ticker *t = arg;
  struct pollfd fd = { .fd = t->wake_fd, .events = POLLIN };
  uint64_t next = clock_now_ms (), now, n;

  while (!atomic_load (&t->stopping)) {
    now = clock_now_ms ();
    if (now >= next) {
      t->look (t->opaque);
      engine_tick (t->engine);
      next = now + TICK_MS;
    }
    if (poll (&fd, 1, next - now) > 0 &&
        read (t->wake_fd, &n, sizeof n) > 0 && t->news)
      t->news (t->opaque);
    log_news (t);
  }
  return NULL;
}

struct ticker *
ticker_new (void)
{
  struct ticker *t = calloc (1, sizeof *t);
  struct events_config config = { .wake = wake, .opaque = t };

  if (t == NULL)
    goto out_of_memory;
  t->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (t->wake_fd == -1) {
    startup_refuse ("remap: eventfd: %m");
    free (t);
    return NULL;
  }
  t->events = events_new (&config);
  if (t->events)
    return t;
  close (t->wake_fd);
  free (t);

 out_of_memory:
  startup_refuse ("remap: malloc: %s", strerror (ENOMEM));
  return NULL;
}

struct events *
ticker_events (struct ticker *t)
{
  return t->events;
}

int
ticker_start (struct ticker *t, struct engine *engine,
              void (*look) (void *opaque), void (*news) (void *opaque),
              void *opaque)
{
  int err;

  t->engine = engine;
  t->look = look;
  t->news = news;
  t->opaque = opaque;
  err = thread_start (&t->thread, run, t);
  t->runs = err == 0;
  if (err)
    startup_refuse ("remap: pthread_create: %s", strerror (err));
  return err ? -1 : 0;
}

void
ticker_stop (struct ticker *t)
{
  if (t == NULL || !t->runs)
    return;
  atomic_store (&t->stopping, true);
  wake (t);
  pthread_join (t->thread, NULL);
  t->runs = false;
}

void
ticker_free (struct ticker *t)
{
  if (t == NULL)
    return;
  ticker_stop (t);
  events_tick (t->events, true);
  log_news (t);
  events_free (t->events);
  close (t->wake_fd);
  free (t);
}
