/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The one disk that is served: lost, and found again.
 *
 * It owns the target; whoever uses it takes a reference.  Any thread may call
 * these functions once served_disk_start has returned.
 */

#ifndef DIRECT_SERVED_DISK_H
#define DIRECT_SERVED_DISK_H

#include "target.h"

/* Opens the disk of the parameters; -1 after nbdkit_error. */
extern int served_disk_start (void);
extern void served_disk_stop (void);

/* What it was like then: for its sizes, not for I/O. */
extern const struct target *served_disk_at_start (void);

/* The disk as it is now, with a reference; if it was lost, it is looked for
 * first, unless that was done a moment ago.  NULL: it is lost.
 */
extern struct target *served_disk_get (void);

/* An operation on T failed with ERR: what the error of the request is.
 * ENODEV if that was because the disk is gone, which is noted.
 */
extern int served_disk_failed (struct target *t, int err);

/* Flushes: 0 or an errno.  What was written is not durable before a flush
 * that began later, and FAILURES counts the occasions on which it was lost: a
 * failed flush, and a disk that went away.  A connection has to be told of
 * each.
 */
extern void served_disk_wrote (void);
extern unsigned served_disk_failures (void);
extern int served_disk_flush (struct target *t);

#endif /* DIRECT_SERVED_DISK_H */
