/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "simdisk.h"

/* A test that waits longer than this for another thread has failed. */
#define PATIENCE 60     /* seconds */

static unsigned
sim_index (unsigned op)
{
  return __builtin_ctz (op);
}

static void
at_gate (struct simdisk *s, enum sim_op op, uint64_t start, uint64_t end,
         bool after)
{
  pthread_mutex_lock (&s->lock);
  for (unsigned i = 0; i < NR_SIM_GATES; i++) {
    struct sim_gate *g = &s->gate[i];

    if (!(g->ops & op) || g->after != after ||
        (start < end && (start >= g->end || end <= g->start)))
      continue;
    if (g->quota > 0 && g->waiting >= g->quota)
      continue;
    g->waiting++;
    pthread_cond_broadcast (&s->cond);
    while (g->ops & op)
      pthread_cond_wait (&s->cond, &s->lock);
    g->waiting--;
  }
  pthread_mutex_unlock (&s->lock);
}

static void
begin (struct simdisk *s, enum sim_op op, uint64_t count, uint64_t offset)
{
  void (*hook) (void *, enum sim_op, uint64_t, uint64_t);
  void *opaque;

  pthread_mutex_lock (&s->lock);
  s->under_way++;
  pthread_mutex_unlock (&s->lock);
  at_gate (s, op, offset, offset + count, false);
  pthread_mutex_lock (&s->lock);
  hook = s->hook;
  opaque = s->hook_opaque;
  pthread_mutex_unlock (&s->lock);
  if (hook)
    hook (opaque, op, offset, count);
}

static void
end (struct simdisk *s, enum sim_op op, uint64_t count, uint64_t offset)
{
  at_gate (s, op, offset, offset + count, true);
  pthread_mutex_lock (&s->lock);
  s->under_way--;
  pthread_mutex_unlock (&s->lock);
}

/* The lock is held.  Counts; returns how the operation ends. */
static int
verdict (struct simdisk *s, enum sim_op op, uint64_t count, uint64_t offset)
{
  bool failed = false;
  int err = 0;

  s->calls[sim_index (op)]++;
  if (offset > s->size || count > s->size - offset ||
      (s->max_call && count > s->max_call) ||
      offset % s->block != 0 ||
      ((offset + count) % s->block != 0 && offset + count != s->size)) {
    s->violations++;
    return EINVAL;
  }
  if (s->gone)
    return s->gone;
  if ((s->fail_ops & op) && s->fail_after > 0 && --s->fail_after == 0)
    return s->fail_err;

  for (sector_t i = offset / SECTOR_SIZE;
       count > 0 && i <= (offset + count - 1) / SECTOR_SIZE; i++) {
    struct sim_sector *sec = &s->sector[i];

    if (op == SIM_READ)
      sec->reads++;
    else
      sec->writes++;
    if (sec->vanish & op) {
      s->gone = s->vanish_err;
      s->vanished++;
      s->company = s->under_way - 1;
      return s->gone;
    }
    if (!(sec->bad & op))
      continue;
    if (!failed)
      err = sec->err;
    failed = true;
    if (op == SIM_READ) {
      sec->failed_reads++;
      if (sec->recover > 0 && --sec->recover == 0)
        sec->bad &= ~SIM_READ;
    }
  }
  return err;
}

static int
sim_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  struct simdisk *s = ctx;
  int err;

  begin (s, SIM_READ, count, offset);
  pthread_mutex_lock (&s->lock);
  err = verdict (s, SIM_READ, count, offset);
  if (err)
    s->failed[sim_index (SIM_READ)]++;
  else
    memcpy (buf, s->data + offset, count);
  pthread_mutex_unlock (&s->lock);
  /* What a failing read leaves in the buffer is anything. */
  if (err && err != EINVAL)
    memset (buf, 0xee, count);
  end (s, SIM_READ, count, offset);
  return err;
}

/* BUF may be NULL: zeroes. */
static int
modify (struct simdisk *s, enum sim_op op, const uint8_t *buf, uint32_t count,
        uint64_t offset)
{
  bool touched;
  int err;

  begin (s, op, count, offset);
  pthread_mutex_lock (&s->lock);
  err = verdict (s, op, count, offset);
  touched = err == 0 || (err != EINVAL && !s->gone);
  for (uint64_t i = 0; i < count && touched; i++) {
    uint8_t new = buf ? buf[i] : 0;

    if (err == 0)
      s->data[offset + i] = new;
    else if (s->partial == SIM_GARBAGE)
      s->data[offset + i] = 0xdd;
    else if (s->partial == SIM_GOOD &&
             !(s->sector[(offset + i) / SECTOR_SIZE].bad & op))
      s->data[offset + i] = new;
  }
  if (err)
    s->failed[sim_index (op)]++;
  pthread_mutex_unlock (&s->lock);
  end (s, op, count, offset);
  return err;
}

static int
sim_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  return modify (ctx, SIM_WRITE, buf, count, offset);
}

static int
sim_zero (void *ctx, uint32_t count, uint64_t offset, unsigned flags)
{
  return modify (ctx, SIM_ZERO, NULL, count, offset);
}

static int
simple (struct simdisk *s, enum sim_op op, uint32_t count, uint64_t offset,
        uint64_t *size)
{
  int err;

  begin (s, op, count, offset);
  pthread_mutex_lock (&s->lock);
  err = verdict (s, op, count, offset);
  if (err)
    s->failed[sim_index (op)]++;
  else if (size)
    *size = s->probed_size;
  pthread_mutex_unlock (&s->lock);
  end (s, op, count, offset);
  return err;
}

static int
sim_trim (void *ctx, uint32_t count, uint64_t offset)
{
  return simple (ctx, SIM_TRIM, count, offset, NULL);
}

static int
sim_flush (void *ctx)
{
  return simple (ctx, SIM_FLUSH, 0, 0, NULL);
}

static int
sim_probe (void *ctx, uint64_t *size)
{
  return simple (ctx, SIM_PROBE, 0, 0, size);
}

static const struct device_ops sim_ops = {
  .pread = sim_pread, .pwrite = sim_pwrite, .flush = sim_flush,
  .zero = sim_zero, .trim = sim_trim, .probe = sim_probe,
};

struct simdisk *
sim_new (uint64_t size, uint32_t block)
{
  struct simdisk *s = calloc (1, sizeof *s);

  assert (s != NULL);
  s->dev.ops = &sim_ops;
  s->dev.ctx = s;
  s->size = s->probed_size = size;
  s->block = block;
  s->data = calloc (1, size);
  s->sector = calloc (bytes_to_sectors (size), sizeof *s->sector);
  assert (s->data != NULL && s->sector != NULL);
  pthread_mutex_init (&s->lock, NULL);
  pthread_cond_init (&s->cond, NULL);
  return s;
}

void
sim_free (struct simdisk *s)
{
  pthread_cond_destroy (&s->cond);
  pthread_mutex_destroy (&s->lock);
  free (s->sector);
  free (s->data);
  free (s);
}

void
sim_bad (struct simdisk *s, unsigned ops, sector_t start, uint64_t count,
         int err)
{
  pthread_mutex_lock (&s->lock);
  for (sector_t i = start; i < start + count; i++) {
    s->sector[i].bad = ops;
    s->sector[i].err = err;
    s->sector[i].recover = 0;
  }
  pthread_mutex_unlock (&s->lock);
}

void
sim_recover (struct simdisk *s, sector_t sector, unsigned tries)
{
  pthread_mutex_lock (&s->lock);
  s->sector[sector].recover = tries;
  pthread_mutex_unlock (&s->lock);
}

void
sim_fail (struct simdisk *s, unsigned ops, uint64_t n, int err)
{
  pthread_mutex_lock (&s->lock);
  s->fail_ops = ops;
  s->fail_after = n;
  s->fail_err = err;
  pthread_mutex_unlock (&s->lock);
}

void
sim_gone (struct simdisk *s, int err)
{
  pthread_mutex_lock (&s->lock);
  s->gone = err;
  pthread_mutex_unlock (&s->lock);
}

void
sim_vanish (struct simdisk *s, unsigned ops, sector_t start, uint64_t count,
            int err)
{
  pthread_mutex_lock (&s->lock);
  for (sector_t i = start; i < start + count; i++)
    s->sector[i].vanish = ops;
  s->vanish_err = err;
  pthread_mutex_unlock (&s->lock);
}

void
sim_close (struct simdisk *s, unsigned i, unsigned ops, uint64_t offset,
           uint64_t count, bool after)
{
  pthread_mutex_lock (&s->lock);
  s->gate[i] = (struct sim_gate) {
    .ops = ops, .after = after, .start = offset, .end = offset + count
  };
  pthread_mutex_unlock (&s->lock);
}

void
sim_wait (struct simdisk *s, unsigned i, unsigned n)
{
  struct timespec until;

  clock_gettime (CLOCK_REALTIME, &until);
  until.tv_sec += PATIENCE;
  pthread_mutex_lock (&s->lock);
  while (s->gate[i].waiting < n)
    if (pthread_cond_timedwait (&s->cond, &s->lock, &until) == ETIMEDOUT)
      abort ();                 /* nobody came to the gate */
  pthread_mutex_unlock (&s->lock);
}

void
sim_open (struct simdisk *s, unsigned i)
{
  pthread_mutex_lock (&s->lock);
  s->gate[i].ops = 0;
  pthread_cond_broadcast (&s->cond);
  pthread_mutex_unlock (&s->lock);
}

static uint64_t
sum (struct simdisk *s, const uint64_t v[NR_SIM_OPS], unsigned ops)
{
  uint64_t n = 0;

  pthread_mutex_lock (&s->lock);
  for (unsigned i = 0; i < NR_SIM_OPS; i++)
    if (ops & (1U << i))
      n += v[i];
  pthread_mutex_unlock (&s->lock);
  return n;
}

uint64_t
sim_calls (struct simdisk *s, unsigned ops)
{
  return sum (s, s->calls, ops);
}

uint64_t
sim_failed (struct simdisk *s, unsigned ops)
{
  return sum (s, s->failed, ops);
}

void
sim_reset (struct simdisk *s)
{
  pthread_mutex_lock (&s->lock);
  memset (s->calls, 0, sizeof s->calls);
  memset (s->failed, 0, sizeof s->failed);
  for (uint64_t i = 0; i < bytes_to_sectors (s->size); i++)
    s->sector[i].reads = s->sector[i].failed_reads = s->sector[i].writes = 0;
  pthread_mutex_unlock (&s->lock);
}
