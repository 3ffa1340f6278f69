/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "control/background.h"

/* With the mutex held. */
static bool
is_there (const struct background_holder *h, uint64_t now)
{
  return h->name[0] != '\0' && now < h->until_ms;
}

/* With the mutex held.  NULL: NAME doesn't hold it. */
static struct background_holder *
find (struct background *b, const char *name, uint64_t now)
{
  for (unsigned i = 0; i < BACKGROUND_HOLDERS; i++)
    if (is_there (&b->holder[i], now) &&
        strcmp (b->holder[i].name, name) == 0)
      return &b->holder[i];
  return NULL;
}

/* With the mutex held.  NULL: all places are taken. */
static struct background_holder *
find_free (struct background *b, uint64_t now)
{
  for (unsigned i = 0; i < BACKGROUND_HOLDERS; i++)
    if (!is_there (&b->holder[i], now))
      return &b->holder[i];
  return NULL;
}

void
background_init (struct background *b)
{
  memset (b, 0, sizeof *b);
  pthread_mutex_init (&b->mutex, NULL);
}

void
background_destroy (struct background *b)
{
  pthread_mutex_destroy (&b->mutex);
}

bool
background_hold (struct background *b, const char *name, uint64_t now,
                 bool *news)
{
  struct background_holder *h;

  pthread_mutex_lock (&b->mutex);
  h = find (b, name, now);
  *news = h == NULL;
  if (h == NULL)
    h = find_free (b, now);
  if (h) {
    snprintf (h->name, sizeof h->name, "%s", name);
    h->until_ms = now + BACKGROUND_HOLD_MS;
  }
  pthread_mutex_unlock (&b->mutex);
  return h != NULL;
}

bool
background_release (struct background *b, const char *name, uint64_t now)
{
  struct background_holder *h;

  pthread_mutex_lock (&b->mutex);
  h = find (b, name, now);
  if (h)
    h->name[0] = '\0';
  pthread_mutex_unlock (&b->mutex);
  return h != NULL;
}

bool
background_held (struct background *b, uint64_t now)
{
  struct background_holder holders[BACKGROUND_HOLDERS];

  return background_holders (b, now, holders) > 0;
}

unsigned
background_holders (struct background *b, uint64_t now,
                    struct background_holder holders[BACKGROUND_HOLDERS])
{
  unsigned n = 0;

  pthread_mutex_lock (&b->mutex);
  for (unsigned i = 0; i < BACKGROUND_HOLDERS; i++)
    if (is_there (&b->holder[i], now))
      holders[n++] = b->holder[i];
  pthread_mutex_unlock (&b->mutex);
  return n;
}
