/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Whether the disk is there.
 */

#include <config.h>

#include <time.h>
#include <unistd.h>

#include "away.h"

static uint64_t
now_ns (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (uint64_t) t.tv_sec * 1000000000 + (uint64_t) t.tv_nsec;
}

/* Whether the disk is away, and this request fails therefore.  Under lock. */
static bool
still_away (struct away *away)
{
  if (away->left > 0) {
    away->left--;
    return true;
  }
  return away->until > 0 && now_ns () < away->until;
}

/* Whether an operation makes it vanish.  Under lock. */
static bool
vanishes (struct away *away, enum op op, uint64_t offset, uint32_t count)
{
  if ((op != OP_READ && op != OP_CACHE) ||
      area_list_find (&away->list.areas, offset, count) == NULL)
    return false;
  away->vanished++;
  away->left = away->requests;
  away->until = now_ns () + away->time;
  return true;
}

int
away_start (struct away *away, const char *gone, const char *list,
            uint32_t block, uint64_t time, uint32_t requests)
{
  *away = (struct away) {
    .gone = gone, .time = time, .requests = requests,
    .list = {
      .path = list, .parameter = "baddisk-vanish", .kind = "vanishing",
      .block = block, .lock = &away->lock,
    },
  };
  pthread_mutex_init (&away->lock, NULL);
  return list_load (&away->list);
}

enum presence
away_look (struct away *away, enum op op, uint64_t offset, uint32_t count,
           uint64_t *vanished)
{
  enum presence r = HERE;

  *vanished = 0;
  if (away->gone && access (away->gone, F_OK) == 0)
    return GONE;
  if (away->list.path == NULL)
    return HERE;

  list_follow (&away->list);
  pthread_mutex_lock (&away->lock);
  if (still_away (away))
    r = GONE;
  else if (vanishes (away, op, offset, count))
    r = VANISHES;
  *vanished = away->vanished;
  pthread_mutex_unlock (&away->lock);
  return r;
}

bool
away_since (struct away *away, uint64_t vanished)
{
  bool r;

  if (away->list.path == NULL)
    return false;
  pthread_mutex_lock (&away->lock);
  r = away->vanished != vanished;
  pthread_mutex_unlock (&away->lock);
  return r;
}

void
away_free (struct away *away)
{
  list_free (&away->list);
}
