/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "advice.h"
#include "compose.h"
#include "hooks.h"
#include "judge.h"
#include "log.h"

/* The message, what it was about, and what was told by it: all or nothing. */
static bool
tell (struct watched *w, struct store *store, const struct settings *set,
      enum message_kind kind)
{
  struct stored_server stored = w->stored;
  struct composed c;
  size_t n;
  char **hooks;
  bool ok;

  stored.told = kind == MESSAGE_GONE ? LEVEL_OK : w->stored.level;
  stored.told_at = time (NULL);
  if (!store_begin (store))
    return false;
  hooks = hooks_names (set, &n);
  ok = compose (&c, kind, w, store) &&
    store_add_alert (store, &c.alert, (const char *const *) hooks, n) &&
    store_mark_told (store, w->stored.id) &&
    store_write_server (store, &stored);
  if (store_end (store, ok)) {
    w->stored = stored;
    w->news_ms = 0;
    log_line (c.alert.severity[0] == 'e' ? LOG_IS_ERROR
              : c.alert.severity[0] == 'w' ? LOG_IS_WARNING : LOG_IS_INFO,
              "%s", c.subject);
    if (n == 0)
      log_line (LOG_IS_WARNING, "nobody is told: there is no program in "
                "%s/events.d", set->config);
  }
  compose_free (&c);
  hooks_free_names (hooks);
  return ok;
}

/* How it is now.  False: that isn't known, since it may come back. */
static bool
level_now (const struct watched *w, const struct settings *set, uint64_t now,
           enum level *level)
{
  if (w->up)
    *level = level_of_health (health_of (w));
  else if (now - w->down_ms >= set->grace * UINT64_C (1000))
    *level = LEVEL_ERROR;
  else
    return false;
  return true;
}

static void
note_level (struct watched *w, struct store *store, enum level level)
{
  struct stored_server stored = w->stored;

  if (level == stored.level && stored.level_since != 0)
    return;
  stored.level = level;
  stored.level_since = time (NULL);
  if (store_write_server (store, &stored))
    w->stored = stored;
}

/* The clock may have been set back: then what was told is of now. */
static uint64_t
seconds_since (uint64_t then)
{
  const uint64_t now = time (NULL);

  return now > then ? now - then : 0;
}

/* When another message about something that isn't worse may be sent, in
 * seconds from now.
 */
static uint64_t
still_quiet (const struct watched *w, unsigned quiet)
{
  const uint64_t since = seconds_since (w->stored.told_at);

  return w->stored.told_at == 0 || since >= quiet ? 0 : quiet - since;
}

/* Something is worse, or has happened: in how many ms it is told; 0: it was,
 * or couldn't be.
 */
static uint64_t
news (struct watched *w, struct store *store, const struct settings *set,
      uint64_t now, uint64_t count, enum level worst)
{
  const bool worse = w->stored.level > w->stored.told;
  const uint64_t gather = set->gather * UINT64_C (1000);
  uint64_t wait;

  if (w->news_ms == 0)
    w->news_ms = max_u64 (now, 1);
  if (now - w->news_ms < gather)
    return gather - (now - w->news_ms);
  wait = worse || worst > w->stored.told ? 0 : still_quiet (w, set->quiet);
  if (wait > 0)
    return wait * 1000;
  tell (w, store, set, worse ? MESSAGE_PROBLEM : MESSAGE_EVENT);
  return 0;
}

/* All is well, and it was said that it isn't. */
static uint64_t
recovery (struct watched *w, struct store *store, const struct settings *set,
          uint64_t now)
{
  const uint64_t settle = set->settle * UINT64_C (1000);

  if (w->well_ms == 0)
    w->well_ms = now;
  if (now - w->well_ms < settle)
    return settle - (now - w->well_ms);
  tell (w, store, set, MESSAGE_RECOVERY);
  return 0;
}

uint64_t
judge (struct watched *w, struct store *store, const struct settings *set,
       uint64_t now)
{
  const uint64_t later = now + 60000;
  enum level level, worst = LEVEL_OK;
  uint64_t count = 0, wait = 0;

  if (!w->known)
    return now + 1000;
  if (!level_now (w, set, now, &level))
    return w->down_ms + set->grace * UINT64_C (1000);
  note_level (w, store, level);
  if (level != LEVEL_OK)
    w->well_ms = 0;
  if (w->looked || w->news_ms != 0) {
    if (!store_untold (store, w->stored.id, 0, NULL, NULL, &count, &worst))
      return now + 5000;
    w->looked = false;
  }
  if (count > 0 || level > w->stored.told)
    wait = news (w, store, set, now, count, worst);
  else
    w->news_ms = 0;
  if (w->news_ms != 0)
    return wait > 0 ? min_u64 (later, now + wait) : now + 1000;
  if (level == LEVEL_OK && w->stored.told != LEVEL_OK)
    wait = recovery (w, store, set, now);
  else if (level != LEVEL_OK &&
           seconds_since (w->stored.told_at) >= set->reminder)
    tell (w, store, set, MESSAGE_REMINDER);
  else
    return later;
  return wait > 0 ? min_u64 (later, now + wait) : now + 1000;
}

void
judge_leaves (struct watched *w, struct store *store,
              const struct settings *set)
{
  if (w->known && w->stored.told != LEVEL_OK)
    tell (w, store, set, MESSAGE_GONE);
}

void
judge_missing (const struct watch_list *list, struct store *store,
               const struct settings *set)
{
  int64_t id = 0;
  char *name;

  while ((name = store_next_told (store, id, &id)) != NULL) {
    struct watched w = { .name = name };
    size_t i = 0;

    while (i < list->n && strcmp (list->v[i]->name, name) != 0)
      i++;
    w.known = i == list->n && store_read_server (store, name, &w.stored);
    judge_leaves (&w, store, set);
    free (name);
  }
}
