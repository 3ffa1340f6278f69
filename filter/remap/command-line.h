/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * nbdkit's own options, which it doesn't tell its filters.
 */

#ifndef REMAP_COMMAND_LINE_H
#define REMAP_COMMAND_LINE_H

/* Was the server told to be read-only (-r)?  1: yes; 0: no; -1: that can't
 * be found out.
 */
extern int command_line_is_read_only (void);

/* Does nbdkit run a program as its client (--run)?  The same. */
extern int command_line_has_run (void);

/* Do messages go elsewhere than to stderr, because of --log?  The same. */
extern int command_line_logs_elsewhere (void);

#endif /* REMAP_COMMAND_LINE_H */
