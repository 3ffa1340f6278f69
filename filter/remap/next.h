/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The layer below, which leads to main, as a device of lib/; and how it is
 * called.  A connection belongs to whoever opened it: a client's to nbdkit's
 * callbacks, the filter's own one to own-connection.
 */

#ifndef REMAP_NEXT_H
#define REMAP_NEXT_H

#include "base/device.h"
#include "engine/engine.h"
#include "clients.h"
#include "remap.h"

struct connection {
  struct client_note note;      /* of a client, if it may be asked for */
  nbdkit_backend *backend;
  nbdkit_context *context;      /* of a client */
  nbdkit_next *next;            /* from prepare to finalize */
  struct device_ops ops;        /* of CONN's main */
  struct engine_conn conn;
  bool can_write, can_flush;
  bool is_only_one;             /* the plugin allows no other beside it */
  pthread_mutex_t *lock;        /* around calls of the layer below, or NULL */
};

/* LOCK: may be NULL.  The engine must be there. */
extern void connection_init (struct connection *c, const struct remap *remap,
                             nbdkit_backend *backend, pthread_mutex_t *lock);

/* Asks the layer below for everything that will be used of it.  Returns 0,
 * or -1 after nbdkit_error.
 */
extern int connection_prepare (struct connection *c, nbdkit_next *next,
                               int readonly);

/* For engine_cache; CTX is a struct connection. */
extern int next_cache (void *ctx, uint32_t count, uint64_t offset);

/* What main says of itself, in bytes.  MAXIMUM is UINT32_MAX if there is none,
 * the others of the three are 0 if it doesn't say.
 */
struct main_facts {
  uint64_t size;
  uint32_t minimum, preferred, maximum;
  bool can_write;                       /* false if READONLY */
};

/* A connection for reading and flushing, when there is no client and no engine;
 * no other connection of ours is open meanwhile.  They return 0, or -1 after
 * nbdkit_error.
 */
struct first_look {
  struct connection connection;
  struct device main_dev;
  struct main_facts facts;
};

extern int next_first_look (nbdkit_backend *backend, bool readonly,
                            struct first_look *look);
extern int next_look_ends (struct first_look *look);

/* The facts alone.  Returns 0, or -1 after nbdkit_error. */
extern int next_look_at_main (nbdkit_backend *backend, bool readonly,
                              struct main_facts *facts);

static inline void
lock_below (pthread_mutex_t *lock)
{
  if (lock)
    pthread_mutex_lock (lock);
}

static inline void
unlock_below (pthread_mutex_t *lock)
{
  if (lock)
    pthread_mutex_unlock (lock);
}

#endif /* REMAP_NEXT_H */
