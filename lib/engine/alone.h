/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Being alone at main: many share it, or one has it for itself.  As a
 * read-write lock, but whoever wants it alone doesn't wait for ever, and not by
 * a clock that people set.
 */

#ifndef REMAP_ENGINE_ALONE_H
#define REMAP_ENGINE_ALONE_H

#include <pthread.h>
#include <stdbool.h>

struct alone {
  pthread_mutex_t mutex;        /* guards what follows */
  pthread_cond_t cond;
  unsigned sharing;             /* threads */
  bool excluded;                /* one is alone, or waits to be */
};

extern void alone_init (struct alone *a);
extern void alone_destroy (struct alone *a);

/* Waits while somebody is alone, or waits for that. */
extern void alone_share (struct alone *a);

/* Waits until nobody shares, but at most MS milliseconds once it is its turn.
 * False: it shares now, too.
 */
extern bool alone_exclude (struct alone *a, unsigned ms);

/* Ends either. */
extern void alone_leave (struct alone *a);

#endif /* REMAP_ENGINE_ALONE_H */
