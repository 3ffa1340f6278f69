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

/* What is shown of a spare in the same words, whether a server uses it or
 * not: its slots, and what happened to sectors since it was made.
 */
struct counts_text { char s[192]; };

extern struct counts_text show_slots (uint64_t used, uint64_t retired,
                                      uint64_t unused, uint64_t total);
extern struct counts_text show_events (uint64_t auto_remaps, uint64_t weak,
                                       uint64_t manual_remaps, uint64_t lost,
                                       uint64_t recovered);

/* Behind a list of sectors by state: ", 2 kept, 1 written", or nothing. */
extern struct counts_text show_rescued (uint64_t kept, uint64_t written);

#endif /* REMAPCTL_UNITS_H */
