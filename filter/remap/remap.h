/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The remap filter: what its parts share.
 *
 *   remap.c        parameters and callbacks
 *   server.c       start and end: the spare, its checks, the engine
 *   next.c         the layer below as a device of the core
 */

#ifndef NBDKIT_REMAP_H
#define NBDKIT_REMAP_H

#define NBDKIT_API_VERSION 2
#include <nbdkit-filter.h>

#include "engine.h"
#include "file.h"

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

/* next.c: a connection, and how the layer below it is called. */
struct connection {
  nbdkit_backend *backend;
  struct engine_conn conn;
  struct device_ops ops;
  bool can_flush;
};

/* The context of a device: valid for one call of the filter. */
struct next_device {
  nbdkit_next *next;
  struct connection *c;
};

/* Asks the layer below for everything that will be used of it. */
extern int connection_prepare (struct connection *c, nbdkit_next *next,
                               int readonly);
extern int next_cache (void *ctx, uint32_t count, uint64_t offset);

/* The plugin allows one connection at a time: open no other. */
extern bool one_connection_only;

static inline struct device
device_of (struct next_device *d, struct connection *c, nbdkit_next *next)
{
  d->next = next;
  d->c = c;
  return (struct device) { .ops = &c->ops, .ctx = d };
}

#endif /* NBDKIT_REMAP_H */
