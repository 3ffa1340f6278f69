/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Threads of the filter's own.
 */

#ifndef REMAP_THREAD_H
#define REMAP_THREAD_H

#include <pthread.h>

/* pthread_create, for a thread that gets no signals but those that are about
 * itself: all others are nbdkit's.  Returns 0 or an errno.
 */
extern int thread_start (pthread_t *thread, void *(*run) (void *), void *arg);

#endif /* REMAP_THREAD_H */
