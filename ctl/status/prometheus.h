/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Status in the text exposition format of Prometheus: base units in the
 * names, _total for what only counts up, all samples of a metric together,
 * whatever the number of servers.
 *
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */

#ifndef REMAPCTL_STATUS_PROMETHEUS_H
#define REMAPCTL_STATUS_PROMETHEUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <jansson.h>

/* A server's status. */
struct scraped {
  const char *server;                   /* for the label of that name */
  json_t *json;                         /* NULL: it can't be reached */
};

/* Prints the status of N servers to FP, or nothing: false after a message, if a
 * status lacks something.
 */
extern bool status_print_prometheus (FILE *fp, const struct scraped *v,
                                     size_t n);

#endif /* REMAPCTL_STATUS_PROMETHEUS_H */
