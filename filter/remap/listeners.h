/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The sockets at which this process listens.
 */

#ifndef REMAP_LISTENERS_H
#define REMAP_LISTENERS_H

/* For a server that is about to end, and whose sockets another process has
 * as well: those who are waiting to be accepted see the end of their
 * connection, and those who come later are refused.
 */
extern void listeners_close_for_all (void);

#endif /* REMAP_LISTENERS_H */
