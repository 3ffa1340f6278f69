/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Start and end of a server, in the order in which nbdkit asks for them.
 * What fails has printed why, with nbdkit_error, and leaves nothing that has
 * to be undone.
 */

#ifndef REMAP_SERVER_H
#define REMAP_SERVER_H

#include "remap.h"

/* Each returns 0 or -1. */
extern int server_get_ready (struct remap *remap, int thread_model);
extern int server_after_fork (struct remap *remap, nbdkit_backend *backend);

/* The layers below are about to be closed: nothing asks them for anything
 * more.
 */
extern void server_cleanup (struct remap *remap);

/* The end; may come at any time, and more than once. */
extern void server_stop (struct remap *remap);

#endif /* REMAP_SERVER_H */
