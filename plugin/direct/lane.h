/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Operations that may never end, and how long they are waited for.
 *
 * A lane carries one operation at a time, and owns a buffer for it.  When
 * an operation is given up, its lane stays behind with it, and so does the
 * buffer: nobody reads there what arrives late, nor reuses what is still
 * to be written.
 *
 * Functions that return int return 0 or an errno, unless they say something
 * else.  Any thread may call them once lanes_start has returned.
 */

#ifndef DIRECT_LANE_H
#define DIRECT_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "operation.h"

struct lane;

#define LANE_BUFFER (UINT32_C (1) << 20)  /* bytes, at most */

/* Operations that may be stuck at a time. */
#define MAX_STUCK 64

/* get_ready: decides which method is used; -1 after nbdkit_error. */
extern int lanes_start (bool is_block);
extern void lanes_stop (void);
extern const char *lanes_method (void);

/* Can io_uring be had here?  0 or an errno. */
extern int lanes_probe_uring (void);

/* A lane with a buffer of SIZE bytes (may be 0).  RING: it is for reads and
 * writes only, and none of a tail.  EBUSY if too many are stuck; ENOMEM.
 */
extern int lane_take (bool ring, uint32_t size, struct lane **lane);
extern void *lane_buffer (struct lane *lane);
extern void lane_give (struct lane *lane);

/* Runs an operation.  If it isn't done in time the result is ETIMEDOUT, and
 * *LANE is NULL: it isn't the caller's any more.
 */
extern int lane_run (struct lane **lane, const struct operation *op);

/* May a write to these bytes be overtaken by one that is stuck? */
extern bool lanes_overlap (uint64_t start, uint64_t end);

#endif /* DIRECT_LANE_H */
