/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The remap filter: what its parts share.
 *
 *   remap.c        parameters and callbacks
 *   extents.c      block status
 *   server.c       start and end: the spare, its checks, the engine
 *   next.c         the layer below as a device of the core
 *   background.c   the same for requests that no client has made
 *   control/       the control socket, see control/control.h
 */

#ifndef NBDKIT_REMAP_H
#define NBDKIT_REMAP_H

#define NBDKIT_API_VERSION 2
#include <nbdkit-filter.h>

#include <pthread.h>

#include "host/sparefile.h"
#include "engine/engine.h"

/* Parameters, and what was seen of main's path while they were parsed. */
struct remap_config {
  char *spare_path;
  int64_t spare_size;                   /* bytes, -1: not given */
  uint64_t spare_offset;                /* bytes */
  bool spare_create;
  bool spare_same_disk;
  bool auto_remap;
  unsigned retries;
  bool lost_zero;
  const char *label;                    /* NULL: not given */
  char *control_path;                   /* NULL: no control socket */

  char *main_path;                      /* NULL: not seen */
  bool main_is_direct;                  /* opened with O_DIRECT */
};

/* One per server. */
extern struct remap_config config;
extern struct engine *engine;

/* -D remap.verbose=1 */
extern NBDKIT_DLL_PUBLIC int remap_debug_verbose;

/* server.c.  Each returns 0, or -1 after nbdkit_error. */
extern int server_get_ready (int thread_model);
extern int server_after_fork (nbdkit_backend *backend);
extern void server_stop (void);

/* No layer below is asked for anything any more. */
extern void server_cleanup (void);

/* Enlarges the spare to SIZE bytes, while it is in use.  Any thread.
 * Returns 0, or an errno with MESSAGE set.
 */
extern int server_grow (uint64_t wanted, struct message *message);

/* next.c: a connection, and how the layer below it is called. */
struct connection {
  nbdkit_backend *backend;
  nbdkit_context *context;      /* of a client */
  nbdkit_next *next;            /* from prepare to finalize */
  struct device_ops ops;        /* of CONN's main */
  struct engine_conn conn;
  bool can_write, can_flush;
  pthread_mutex_t *lock;        /* around calls of the layer below, or NULL */
};

/* Before anything else is done with it but filling in BACKEND and LOCK. */
extern void connection_init (struct connection *c);

/* Asks the layer below for everything that will be used of it. */
extern int connection_prepare (struct connection *c, nbdkit_next *next,
                               int readonly);
extern int next_cache (void *ctx, uint32_t count, uint64_t offset);

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

/* extents.c: the callback. */
extern int remap_extents (nbdkit_next *next, void *handle, uint32_t count,
                          uint64_t offset, uint32_t flags,
                          struct nbdkit_extents *extents, int *err);

/* background.c: requests that no client has made share one context of
 * their own, and keep to what the plugin's thread model allows (promise 19
 * of remap-promises(7)).
 */

/* A lock around the calls of all connections, or NULL; it is decided upon
 * by background_get_ready.
 */
extern pthread_mutex_t *all_requests_lock;

extern void background_config_complete (void);
extern void background_get_ready (int thread_model);
extern void background_start (nbdkit_backend *backend);

/* A client's connection begins: waits until the plugin's only connection is
 * free.  And ends, in full.
 */
extern void background_client_comes (bool readonly);
extern void background_client_went (void);

/* Main for one request; see struct control_target. */
extern int background_get_main (void *opaque, bool write,
                                struct engine_conn **conn,
                                struct message *message);
extern void background_put_main (void *opaque);
extern bool background_main_is_wanted (void *opaque);

/* Closes the context.  No request is left. */
extern void background_stop (void);

/* The plugin allows one connection at a time: open no other. */
extern bool one_connection_only;

#endif /* NBDKIT_REMAP_H */
