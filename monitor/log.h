/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the monitor has to say of itself: lines on stderr, with the priority
 * that the journal reads (sd-daemon(3)) where stderr is the journal.
 */

#ifndef REMAP_MONITOR_LOG_H
#define REMAP_MONITOR_LOG_H

enum priority { LOG_IS_ERROR = 3, LOG_IS_WARNING = 4, LOG_IS_INFO = 6 };

/* One line.  Control characters in it become '?'. */
extern void log_line (enum priority p, const char *fs, ...)
  __attribute__ ((format (printf, 2, 3)));

#endif /* REMAP_MONITOR_LOG_H */
