/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Readers that take no lock: what they have found is freed only after all
 * that were reading at the time have left (RCU, liburcu's flavour "bp", so
 * that threads needn't be told of it).  A source file that includes this
 * defines _LGPL_SOURCE before anything else, see there.
 */

#ifndef REMAP_MAP_READERS_H
#define REMAP_MAP_READERS_H

#include <urcu-bp.h>

/* ThreadSanitizer sees atomic operations, but not what a grace period
 * means: whatever readers did before they left their section comes before
 * whatever follows the grace period.
 */
#if defined (__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
static char grace;
#define READERS_LEAVE() __tsan_release (&grace)
#define READERS_GONE() __tsan_acquire (&grace)
#else
#define READERS_LEAVE() ((void) 0)
#define READERS_GONE() ((void) 0)
#endif

static inline void
read_lock (void)
{
  urcu_bp_read_lock ();
}

static inline void
read_unlock (void)
{
  READERS_LEAVE ();
  urcu_bp_read_unlock ();
}

static inline void
wait_for_readers (void)
{
  urcu_bp_synchronize_rcu ();
  READERS_GONE ();
}

#endif /* REMAP_MAP_READERS_H */
