/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * All servers for Prometheus, in its text format 0.0.4 or as OpenMetrics, and
 * for programs as JSON.
 */

#ifndef REMAP_MONITOR_METRICS_H
#define REMAP_MONITOR_METRICS_H

#include "watched.h"

#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define OPENMETRICS_TYPE \
  "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* These return new memory. */
extern char *metrics_text (const struct watch_list *list, struct store *store,
                           bool openmetrics);
extern char *metrics_json (const struct watch_list *list);

#endif /* REMAP_MONITOR_METRICS_H */
