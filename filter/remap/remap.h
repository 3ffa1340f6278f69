/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The server: what its parts have in common.  There is one, in remap.c;
 * nbdkit's callbacks begin there, and hand it down to everybody else.
 *
 *   remap            nbdkit's callbacks
 *   parameters       what the command line asks for
 *   command-line     what nbdkit doesn't tell of it
 *   listeners        the sockets that nbdkit listens at
 *   main-lock        one server for an image
 *   main-plugin      which plugins can be main
 *   server           start and end
 *   spare-setup      the spare, from opening it to using it
 *   copier           copies main when nobody is in its way
 *   copy-setup       the copy of main, from opening it to its end
 *   next             the layer below, as a device of lib/
 *   own-connection   the same for requests that no client has made
 *   extents          block status
 *   spare-watch      whether the spare still is what it was
 *   ticker           looks after the engine, hands on its events
 *   log              events as lines
 *   thread           how the filter's own threads begin
 *   control/         the control socket
 */

#ifndef NBDKIT_REMAP_H
#define NBDKIT_REMAP_H

#include <nbdkit-filter.h>

#include <pthread.h>

#include "parameters.h"

struct control;
struct copier_thread;
struct copy_setup;
struct engine;
struct own_connection;
struct spare_setup;
struct spare_watch;
struct ticker;

struct remap {
  struct remap_config config;           /* until config_complete */

  /* By the plugin's thread model, from get_ready on. */

  bool one_connection_only;             /* at a time: open no other */

  /* A lock around calls of the layer below by all connections together; NULL
   * if they need none.
   */
  pthread_mutex_t *all_requests_lock;
  pthread_mutex_t all_requests_mutex;

  struct ticker *ticker;                /* from get_ready to unload */
  struct own_connection *own;           /* likewise */
  struct spare_setup *spare;            /* likewise */
  struct copy_setup *copy;              /* likewise, or NULL: no copy */
  struct control *control;              /* from get_ready to cleanup, or NULL */
  struct copier_thread *copier;         /* from after_fork to cleanup, or
                                         * NULL */
  struct spare_watch *watch;            /* from after_fork to cleanup */
  struct engine *engine;                /* from after_fork to unload */
};

/* -D remap.verbose=1 */
extern NBDKIT_DLL_PUBLIC int remap_debug_verbose;

#endif /* NBDKIT_REMAP_H */
