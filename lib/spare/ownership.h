/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Being the one that uses a spare, where locks don't reach (promise 22 of
 * remap-promises(7)): looked at before the spare is read, taken before it is
 * written, renewed while it is in use, given back at the end.
 *
 * All of it is nothing where the environment of the spare (struct spare_env)
 * has no owner.  spare_renew and spare_read_stamp, in spare.h, are of this unit
 * as well.
 */

#ifndef REMAP_SPARE_OWNERSHIP_H
#define REMAP_SPARE_OWNERSHIP_H

#include "spare/internal.h"

/* Before anything is read of a spare that is going to be written: waits until
 * it can be told that nobody else uses it.  Returns 0, or EBUSY with MESSAGE
 * set, or ENOMEM.
 */
extern int ownership_await (struct spare *s, struct message *message);

/* Before anything is written to a spare that was loaded, or after it was
 * formatted: the stamp is this process's from now on, durably.  Returns 0;
 * EBUSY: somebody else has used it since ownership_await; EIO: the spare has
 * failed.
 */
extern int ownership_take (struct spare *s, struct message *message);

/* Is the spare still this process's, as far as has to be known before it is
 * written?  If not, it has failed.  Reads nothing as long as the stamp was
 * renewed a moment ago.
 */
extern bool ownership_is_ours (struct spare *s);

/* For the leader, before it writes a commit: has somebody else written one?
 * Then the spare has failed.
 */
extern bool ownership_log_is_ours (struct spare *s);

/* At a clean end, after all else. */
extern void ownership_give_back (struct spare *s);
extern void ownership_free (struct spare *s);

#endif /* REMAP_SPARE_OWNERSHIP_H */
