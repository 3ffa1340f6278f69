/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The layer below the filter as a device of lib/: a flush reaches it (promise
 * 14 of remap-promises(7)).
 *
 * nbdkit's plugins set *err only if it is 0, and some fail without setting
 * it: so it is cleared before each call, and an error without a number is
 * an EIO.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "next.h"

static inline int
result (int r, int err)
{
  return r == 0 ? 0 : err > 0 ? err : EIO;
}

static int
next_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  struct connection *c = ctx;
  int err = 0, r;

  r = c->next->pread (c->next, buf, count, offset, 0, &err);
  return result (r, err);
}

static int
next_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  struct connection *c = ctx;
  int err = 0, r;

  r = c->next->pwrite (c->next, buf, count, offset, 0, &err);
  return result (r, err);
}

static int
next_flush (void *ctx)
{
  struct connection *c = ctx;
  int err = 0, r;

  if (!c->can_flush)
    return 0;
  r = c->next->flush (c->next, 0, &err);
  return result (r, err);
}

static int
next_zero (void *ctx, uint32_t count, uint64_t offset, unsigned flags)
{
  struct connection *c = ctx;
  uint32_t f = 0;
  int err = 0, r;

  if (flags & DEVICE_MAY_TRIM)
    f |= NBDKIT_FLAG_MAY_TRIM;
  if (flags & DEVICE_FAST_ZERO)
    f |= NBDKIT_FLAG_FAST_ZERO;
  r = c->next->zero (c->next, count, offset, f, &err);
  if (r == -1 && err == EOPNOTSUPP)
    err = ENOTSUP;
  return result (r, err);
}

static int
next_trim (void *ctx, uint32_t count, uint64_t offset)
{
  struct connection *c = ctx;
  int err = 0, r;

  r = c->next->trim (c->next, count, offset, 0, &err);
  return result (r, err);
}

/* A connection of our own sees the size that main has now; the client's
 * one remembers the size that it had.  Where there is no other to be had (a
 * plugin that serves one connection at a time, a limit below the filter) the
 * client's own has to do: canaries are read through it in any case.
 */
static int
next_probe (void *ctx, uint64_t *size)
{
  struct connection *c = ctx;
  struct main_facts facts;

  if (c->is_only_one)
    return 0;
  if (next_look_at_main (c->backend, true, &facts) == 0)
    *size = facts.size;
  return 0;
}

static const struct device_ops next_ops = {
  .pread = next_pread,
  .pwrite = next_pwrite,
  .flush = next_flush,
  .zero = next_zero,
  .trim = next_trim,
  .probe = next_probe,
};

/* The same under the connection's lock: over a plugin that isn't fully
 * parallel.  Apart, so that others don't pay for it.
 */
static int
locked_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  struct connection *c = ctx;
  int r;

  lock_below (c->lock);
  r = next_pread (ctx, buf, count, offset);
  unlock_below (c->lock);
  return r;
}

static int
locked_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  struct connection *c = ctx;
  int r;

  lock_below (c->lock);
  r = next_pwrite (ctx, buf, count, offset);
  unlock_below (c->lock);
  return r;
}

static int
locked_flush (void *ctx)
{
  struct connection *c = ctx;
  int r;

  lock_below (c->lock);
  r = next_flush (ctx);
  unlock_below (c->lock);
  return r;
}

static int
locked_zero (void *ctx, uint32_t count, uint64_t offset, unsigned flags)
{
  struct connection *c = ctx;
  int r;

  lock_below (c->lock);
  r = next_zero (ctx, count, offset, flags);
  unlock_below (c->lock);
  return r;
}

static int
locked_trim (void *ctx, uint32_t count, uint64_t offset)
{
  struct connection *c = ctx;
  int r;

  lock_below (c->lock);
  r = next_trim (ctx, count, offset);
  unlock_below (c->lock);
  return r;
}

static int
locked_probe (void *ctx, uint64_t *size)
{
  struct connection *c = ctx;
  int r;

  lock_below (c->lock);
  r = next_probe (ctx, size);
  unlock_below (c->lock);
  return r;
}

static const struct device_ops locked_ops = {
  .pread = locked_pread,
  .pwrite = locked_pwrite,
  .flush = locked_flush,
  .zero = locked_zero,
  .trim = locked_trim,
  .probe = locked_probe,
};

void
connection_init (struct connection *c, const struct remap *remap,
                 nbdkit_backend *backend, pthread_mutex_t *lock)
{
  const struct device main_dev = { .ops = &c->ops, .ctx = c };

  c->backend = backend;
  c->is_only_one = remap->one_connection_only;
  c->lock = lock;
  engine_conn_init (&c->conn, remap->engine, &main_dev);
}

int
connection_prepare (struct connection *c, nbdkit_next *next, int readonly)
{
  int r;

  c->next = next;
  c->ops = c->lock ? locked_ops : next_ops;
  c->can_write = false;

  r = next->can_flush (next);
  if (r == -1)
    return -1;
  c->can_flush = r;

  /* nbdkit wants these to have been asked before the operations are used,
   * whatever the answers are.
   */
  if (next->can_extents (next) == -1 || next->can_cache (next) == -1)
    return -1;
  r = next->can_write (next);
  if (r == -1)
    return -1;
  if (!r || readonly)
    return 0;
  c->can_write = true;
  r = next->can_multi_conn (next);
  if (r == -1)
    return -1;
  if (!r)
    engine_flush_is_per_conn (c->conn.engine);
  if (next->can_fua (next) == -1 || next->can_fast_zero (next) == -1)
    return -1;
  r = next->can_zero (next);
  if (r == -1)
    return -1;
  if (r == NBDKIT_ZERO_NONE)
    c->ops.zero = NULL;
  r = next->can_trim (next);
  if (r == -1)
    return -1;
  if (!r)
    c->ops.trim = NULL;
  return 0;
}

int
next_cache (void *ctx, uint32_t count, uint64_t offset)
{
  struct connection *c = ctx;
  int err = 0, r;

  lock_below (c->lock);
  r = c->next->cache (c->next, count, offset, 0, &err);
  unlock_below (c->lock);
  return result (r, err);
}

static nbdkit_next *
open_to_look (nbdkit_backend *backend, bool readonly,
              struct main_facts *facts)
{
  nbdkit_next *next = nbdkit_next_context_open (backend, readonly, "", 1);
  int64_t size;
  int can_write = 0;

  if (next == NULL)
    return NULL;
  if (next->prepare (next) == 0) {
    size = next->get_size (next);
    if (!readonly)
      can_write = next->can_write (next);
    facts->size = size;
    facts->can_write = can_write == 1;
    if (size != -1 && can_write != -1 &&
        next->block_size (next, &facts->minimum, &facts->preferred,
                          &facts->maximum) == 0)
      return next;
    next->finalize (next);
  }
  nbdkit_next_context_close (next);
  return NULL;
}

static int
close_look (nbdkit_next *next)
{
  int r = next->finalize (next);

  nbdkit_next_context_close (next);
  return r;
}

int
next_look_at_main (nbdkit_backend *backend, bool readonly,
                   struct main_facts *facts)
{
  nbdkit_next *next = open_to_look (backend, readonly, facts);

  return next == NULL ? -1 : close_look (next);
}

int
next_first_look (nbdkit_backend *backend, bool readonly,
                 struct first_look *look)
{
  struct connection *c = &look->connection;
  int r;

  memset (c, 0, sizeof *c);
  c->next = open_to_look (backend, readonly, &look->facts);
  if (c->next == NULL)
    return -1;
  r = c->next->can_flush (c->next);
  if (r == -1) {
    close_look (c->next);
    return -1;
  }
  c->can_flush = r;
  c->ops = next_ops;
  look->main_dev = (struct device) { .ops = &c->ops, .ctx = c };
  return 0;
}

int
next_look_ends (struct first_look *look)
{
  return close_look (look->connection.next);
}
