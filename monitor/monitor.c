/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * remap-monitor: watches servers with the remap filter, and tells people what
 * is wrong.  One thread and one loop: whatever is waited for is a descriptor
 * in it, or a time.
 */

#include <config.h>

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "ctl/text.h"
#include "compose.h"
#include "finder.h"
#include "follow.h"
#include "hooks.h"
#include "judge.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "web/http.h"

#define FIND_MS 2000
#define PRUNE_MS (3600 * 1000)

/* Signals; the web server; programs that run; two for each server. */
#define MAX_FDS (2 + MAX_HOOKS_RUNNING + 2 * MAX_WATCHED)

struct monitor {
  struct settings set;
  struct store *store;
  struct hooks *hooks;
  struct http *http;                    /* NULL: nobody can look at it */
  uint64_t gone;                        /* servers that were forgotten */
  struct watch_list list;
  int signals;
  bool looked;                          /* for servers, once */
  uint64_t find_ms, prune_ms, notify_ms;
  char status[128];                     /* what systemd was told last */

  struct pollfd fds[MAX_FDS];
  unsigned first[MAX_WATCHED], count[MAX_WATCHED];      /* in fds */
  uint64_t due_ms[MAX_WATCHED];
};

/* Those that nobody misses: their socket has gone, and nothing says that they
 * should be there.
 */
static void
forget_gone (struct monitor *m)
{
  size_t kept = 0;

  for (size_t i = 0; i < m->list.n; i++) {
    struct watched *w = m->list.v[i];

    if (w->configured || w->present || w->up) {
      m->list.v[kept++] = w;
      continue;
    }
    judge_leaves (w, m->store, &m->set);
    follow_free (w);
    m->gone++;
  }
  m->list.n = kept;
}

static void
find (struct monitor *m, uint64_t now)
{
  if (now < m->find_ms)
    return;
  m->find_ms = now + FIND_MS;
  find_servers (&m->set, &m->list);
  if (!m->looked)
    judge_missing (&m->list, m->store, &m->set);
  m->looked = true;
  forget_gone (m);
  /* The places in the list may be others': all are looked at. */
  memset (m->due_ms, 0, sizeof m->due_ms);
}

/* Waits for what comes first.  False: the program is to end. */
static bool
await (struct monitor *m, uint64_t until)
{
  unsigned n = 0;
  uint64_t now;
  int r;

  m->fds[n++] = (struct pollfd) { .fd = m->signals, .events = POLLIN };
  if (m->http)
    m->fds[n++] = (struct pollfd) { .fd = http_fd (m->http),
                                    .events = POLLIN };
  n += hooks_fds (m->hooks, m->fds + n);
  for (size_t i = 0; i < m->list.n; i++) {
    m->first[i] = n;
    m->count[i] = follow_fds (m->list.v[i], m->fds + n);
    n += m->count[i];
  }
  now = clock_now_ms ();
  r = poll (m->fds, n, now < until ? min_u64 (until - now, INT32_MAX) : 0);
  if (r == -1 && errno != EINTR) {
    log_line (LOG_IS_ERROR, "poll: %s", strerror (errno));
    return false;
  }
  if (r <= 0)
    for (unsigned i = 0; i < n; i++)
      m->fds[i].revents = 0;
  return m->fds[0].revents == 0;
}

static bool
has_something (const struct monitor *m, size_t i)
{
  for (unsigned j = 0; j < m->count[i]; j++)
    if (m->fds[m->first[i] + j].revents)
      return true;
  return false;
}

/* Returns when the first of them wants to be looked at again. */
static uint64_t
serve_all (struct monitor *m, uint64_t now)
{
  uint64_t next = UINT64_MAX;

  for (size_t i = 0; i < m->list.n; i++) {
    struct watched *w = m->list.v[i];

    if (now >= m->due_ms[i] || has_something (m, i)) {
      const uint64_t due = follow (w, m->store, &m->set, now);

      m->due_ms[i] = min_u64 (due, judge (w, m->store, &m->set, now));
    }
    next = min_u64 (next, m->due_ms[i]);
  }
  return next;
}

/* A word for systemd: that it lives, and how all are. */
static uint64_t
tell_systemd (struct monitor *m, uint64_t now)
{
  const uint64_t every = notify_watchdog_ms ();
  char status[sizeof m->status];
  size_t wrong = 0;

  for (size_t i = 0; i < m->list.n; i++)
    wrong += m->list.v[i]->stored.level != LEVEL_OK;
  snprintf (status, sizeof status, "STATUS=%zu servers, %zu not ok",
            m->list.n, wrong);
  if (strcmp (status, m->status) != 0) {
    strcpy (m->status, status);
    notify (status);
  }
  if (every == 0)
    return UINT64_MAX;
  if (now >= m->notify_ms) {
    notify ("WATCHDOG=1");
    m->notify_ms = now + every;
  }
  return m->notify_ms;
}

static uint64_t
serve_http (struct monitor *m, uint64_t now)
{
  uint64_t changes = m->gone * UINT64_C (1000000007) + m->list.n;

  if (m->http == NULL)
    return UINT64_MAX;
  for (size_t i = 0; i < m->list.n; i++)
    changes += m->list.v[i]->changes;
  return http_run (m->http, changes, now);
}

static uint64_t
prune (struct monitor *m, uint64_t now)
{
  if (now >= m->prune_ms) {
    store_prune_alerts (m->store);
    m->prune_ms = now + PRUNE_MS;
  }
  return m->prune_ms;
}

static void
run (struct monitor *m)
{
  uint64_t now, next;

  log_line (LOG_IS_INFO, "version " PACKAGE_VERSION ", history in %s",
            m->set.state);
  notify ("READY=1");
  for (size_t i = 0; i < MAX_WATCHED; i++)
    m->count[i] = 0;
  do {
    now = clock_now_ms ();
    find (m, now);
    next = min_u64 (m->find_ms, serve_all (m, now));
    next = min_u64 (next, hooks_run (m->hooks, now));
    next = min_u64 (next, serve_http (m, now));
    next = min_u64 (next, prune (m, now));
    next = min_u64 (next, tell_systemd (m, now));
  } while (await (m, next));
  notify ("STOPPING=1");
}

static int
test (const struct settings *set)
{
  struct composed c;
  bool ok = compose (&c, MESSAGE_TEST, NULL, NULL) &&
    hooks_test (set, &c.alert);

  compose_free (&c);
  return finish_output (ok ? EXIT_SUCCESS : EXIT_FAILURE);
}

static int
catch_signals (void)
{
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGINT);
  sigaddset (&set, SIGHUP);
  sigprocmask (SIG_BLOCK, &set, NULL);
  signal (SIGPIPE, SIG_IGN);
  return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
main (int argc, char **argv)
{
  static struct monitor m;
  int status;

  setlocale (LC_ALL, "");
  set_program ("remap-monitor");
  if (!options_parse (&m.set, argc, argv, &status))
    return status;
  if (m.set.test)
    return test (&m.set);
  umask (0077);
  m.store = store_open (m.set.state);
  if (m.store == NULL)
    return EXIT_FAILURE;
  if (m.set.listen) {
    m.http = http_start (&m.set, &m.list, m.store);
    if (m.http == NULL)
      return EXIT_FAILURE;
  }
  m.signals = catch_signals ();
  m.hooks = hooks_new (&m.set, m.store);
  /* What a server says wrong is its own `why', and isn't printed. */
  set_program (NULL);
  run (&m);
  http_stop (m.http);
  hooks_free (m.hooks);
  for (size_t i = 0; i < m.list.n; i++)
    follow_free (m.list.v[i]);
  store_close (m.store);
  free (m.set.servers);
  return EXIT_SUCCESS;
}
