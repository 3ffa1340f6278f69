/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <time.h>

#include "engine/alone.h"

void
alone_init (struct alone *a)
{
  pthread_condattr_t attr;

  a->sharing = 0;
  a->excluded = false;
  pthread_mutex_init (&a->mutex, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&a->cond, &attr);
  pthread_condattr_destroy (&attr);
}

void
alone_destroy (struct alone *a)
{
  pthread_mutex_destroy (&a->mutex);
  pthread_cond_destroy (&a->cond);
}

void
alone_share (struct alone *a)
{
  pthread_mutex_lock (&a->mutex);
  while (a->excluded)
    pthread_cond_wait (&a->cond, &a->mutex);
  a->sharing++;
  pthread_mutex_unlock (&a->mutex);
}

bool
alone_exclude (struct alone *a, unsigned ms)
{
  struct timespec until;
  bool is_alone;

  pthread_mutex_lock (&a->mutex);
  while (a->excluded)
    pthread_cond_wait (&a->cond, &a->mutex);
  a->excluded = true;
  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec += ms / 1000;
  until.tv_nsec += ms % 1000 * 1000000L;
  if (until.tv_nsec >= 1000000000L) {
    until.tv_nsec -= 1000000000L;
    until.tv_sec++;
  }
  while (a->sharing > 0 &&
         pthread_cond_timedwait (&a->cond, &a->mutex, &until) == 0)
    ;
  is_alone = a->sharing == 0;
  if (!is_alone) {
    a->excluded = false;
    a->sharing++;
    pthread_cond_broadcast (&a->cond);
  }
  pthread_mutex_unlock (&a->mutex);
  return is_alone;
}

void
alone_leave (struct alone *a)
{
  pthread_mutex_lock (&a->mutex);
  if (a->sharing > 0)
    a->sharing--;
  else
    a->excluded = false;
  pthread_cond_broadcast (&a->cond);
  pthread_mutex_unlock (&a->mutex);
}
