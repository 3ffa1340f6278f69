/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Which servers there are, and should be: those of the command line, those
 * that NAME.conf in the folder of the configuration is for, and whatever has
 * left a socket NAME.status in a public run-time directory.
 */

#ifndef REMAP_MONITOR_FINDER_H
#define REMAP_MONITOR_FINDER_H

#include "settings.h"
#include "watched.h"

/* Looks again: adds what is new to LIST, sorts it by name, and says of each
 * whether it is configured, and whether its socket is there.  Removing is the
 * caller's.
 */
extern void find_servers (const struct settings *set,
                          struct watch_list *list);

#endif /* REMAP_MONITOR_FINDER_H */
