/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What every part needs that writes to a spare: being the leader, which
 * alone writes log and headers; flushing, and the failure that stays; and
 * what the environment of the spare (struct spare_env) provides: the time,
 * random numbers, warnings.
 *
 * spare_flush, spare_fail and spare_failed, in spare.h, are of this unit as
 * well.
 */

#ifndef REMAP_SPARE_LEADER_H
#define REMAP_SPARE_LEADER_H

#include "spare/internal.h"

/* Waits until nobody leads, and leads from then on.  Taken before all locks;
 * spare_commit has its own way, since it waits for its turn and for its
 * result at the same time.
 */
extern void spare_lead (struct spare *s);
extern void spare_unlead (struct spare *s);

/* Whoever leads for long lets those go first who wait for a commit, once, and
 * leads again.  On return everything may be different.
 */
extern void spare_give_way (struct spare *s);

/* The spare has failed, until it is opened again (promise 16 of
 * remap-promises(7)).
 */
static inline void
spare_set_failed (struct spare *s)
{
  atomic_store (&s->failed, true);
}

/* Flushes the device whether or not it seems necessary.  Returns 0, or EIO:
 * then the spare has failed.
 */
extern int spare_flush_device (struct spare *s);

/* Something that an operator should know, for spare_env.warn. */
extern void spare_warn (struct spare *s, const char *fs, ...)
  __attribute__ ((format (printf, 2, 3)));

/* Seconds since 1970, UTC. */
extern uint64_t spare_now (struct spare *s);

extern void spare_random (struct spare *s, void *buf, size_t len);

/* The leader's: the next commit gets another nonce. */
extern void spare_new_nonce (struct spare *s);

#endif /* REMAP_SPARE_LEADER_H */
