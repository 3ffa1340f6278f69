/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What somebody is to do next about a disk, in one sentence with the command
 * that can be copied.
 */

#ifndef REMAP_MONITOR_ADVICE_H
#define REMAP_MONITOR_ADVICE_H

#include "watched.h"

/* In new memory.  What the server says isn't part of a command. */
extern char *advice (const struct watched *w);

/* How it is: "ok", "degraded", "critical", "main-lost", or "no answer"; lives
 * as long as the next status.
 */
extern const char *health_of (const struct watched *w);
extern enum level level_of_health (const char *health);

/* The label of the disk; "". */
extern const char *label_of (const struct watched *w);

/* Why it isn't ok, reason number I; NULL: there are no more. */
extern const char *reason_of (const struct watched *w, size_t i);

#endif /* REMAP_MONITOR_ADVICE_H */
