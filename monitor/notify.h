/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Words to systemd, as sd_notify(3) says them; to nobody where it didn't
 * start the program.
 */

#ifndef REMAP_MONITOR_NOTIFY_H
#define REMAP_MONITOR_NOTIFY_H

#include <stdint.h>

/* STATE is "READY=1" or the like. */
extern void notify (const char *state);

/* How often, in ms, the watchdog wants a word; 0: there is none. */
extern uint64_t notify_watchdog_ms (void);

#endif /* REMAP_MONITOR_NOTIFY_H */
