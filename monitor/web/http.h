/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The monitor's web server: /metrics, /healthz, JSON and the pages.  It only
 * shows: GET and HEAD alone are understood, and what it shows is what the
 * monitor has, so that no request waits for a disk's server.  It runs in the
 * monitor's own loop.
 */

#ifndef REMAP_MONITOR_HTTP_H
#define REMAP_MONITOR_HTTP_H

#include <stdint.h>

#include "settings.h"
#include "watched.h"

struct http;

/* NULL after a message.  LIST and STORE stay the caller's. */
extern struct http *http_start (const struct settings *set,
                                const struct watch_list *list,
                                struct store *store);
extern void http_stop (struct http *h);

/* For poll: readable when there is something to do. */
extern int http_fd (const struct http *h);

/* Does it.  CHANGES is a number that differs when the pages do.  Returns when
 * it wants to be called again.
 */
extern uint64_t http_run (struct http *h, uint64_t changes, uint64_t now);

#endif /* REMAP_MONITOR_HTTP_H */
