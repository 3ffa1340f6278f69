/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Numbers as text for people: sizes, times, counts.
 */

#ifndef REMAPCTL_UNITS_H
#define REMAPCTL_UNITS_H

#include <stdint.h>

struct unit_text { char s[48]; };

extern struct unit_text show_bytes (uint64_t bytes);         /* "1.50 GiB" */
extern struct unit_text show_seconds (uint64_t seconds);     /* "2 h 5 min" */
extern struct unit_text show_time (uint64_t unix_time);      /* local */
extern struct unit_text show_uuid (const uint8_t uuid[16]);

/* "1 sector", "2 sectors" */
extern struct unit_text show_count (uint64_t n, const char *what);

#endif /* REMAPCTL_UNITS_H */
