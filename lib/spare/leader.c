/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * When a flush fails the spare has failed for good (promise 16 of
 * remap-promises(7)): what was to become durable may be lost, and a second
 * flush that says OK knows nothing of that.  Slots that were written before
 * a flush begins are durable when it ends (promise 14).
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "spare/leader.h"

/* The caller holds flush_lock. */
static int
flush_locked (struct spare *s)
{
  int err;

  if (atomic_load (&s->failed))
    return EIO;
  /* Slots that are written from now on need another flush. */
  atomic_store (&s->slots_dirty, false);
  atomic_fetch_add (&s->flushes, 1);
  err = device_flush (s->dev);
  if (err == 0)
    return 0;
  spare_set_failed (s);
  spare_warn (s, "flushing the spare failed (%s): nothing is remapped until "
              "the server has been restarted", strerror (err));
  return EIO;
}

void
spare_warn (struct spare *s, const char *fs, ...)
{
  char text[512];
  va_list args;

  if (s->env.warn == NULL)
    return;
  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  s->env.warn (s->env.opaque, text);
}

uint64_t
spare_now (struct spare *s)
{
  return s->env.now ? s->env.now (s->env.opaque) : (uint64_t) time (NULL);
}

void
spare_random (struct spare *s, void *buf, size_t len)
{
  size_t done = 0;
  ssize_t r;

  if (s->env.random) {
    s->env.random (s->env.opaque, buf, len);
    return;
  }
  while (done < len) {
    r = getrandom ((char *) buf + done, len - done, 0);
    if (r == -1 && errno != EINTR)
      abort ();                 /* not on any kernel since 3.17 */
    if (r > 0)
      done += r;
  }
}

void
spare_new_nonce (struct spare *s)
{
  const uint64_t old = s->nonce;

  do
    spare_random (s, &s->nonce, sizeof s->nonce);
  while (s->nonce == old);
}

void
spare_lead (struct spare *s)
{
  pthread_mutex_lock (&s->lock);
  while (s->busy)
    pthread_cond_wait (&s->cond, &s->lock);
  s->busy = true;
  pthread_mutex_unlock (&s->lock);
}

void
spare_unlead (struct spare *s)
{
  pthread_mutex_lock (&s->lock);
  s->busy = false;
  s->turns++;
  pthread_cond_broadcast (&s->cond);
  pthread_mutex_unlock (&s->lock);
}

void
spare_give_way (struct spare *s)
{
  uint64_t turns;

  pthread_mutex_lock (&s->lock);
  s->busy = false;
  turns = ++s->turns;
  pthread_cond_broadcast (&s->cond);
  while (s->busy || (s->queue != NULL && s->turns == turns))
    pthread_cond_wait (&s->cond, &s->lock);
  s->busy = true;
  pthread_mutex_unlock (&s->lock);
}

int
spare_flush_device (struct spare *s)
{
  int err;

  pthread_mutex_lock (&s->flush_lock);
  err = flush_locked (s);
  pthread_mutex_unlock (&s->flush_lock);
  return err;
}

int
spare_flush (struct spare *s)
{
  int err = 0;

  pthread_mutex_lock (&s->flush_lock);
  if (atomic_load (&s->failed))
    err = EIO;
  else if (atomic_load (&s->slots_dirty))
    err = flush_locked (s);
  pthread_mutex_unlock (&s->flush_lock);
  return err;
}

void
spare_fail (struct spare *s)
{
  spare_set_failed (s);
}

bool
spare_failed (const struct spare *s)
{
  return atomic_load (&s->failed);
}
