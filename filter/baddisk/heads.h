/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Dead heads of a drive: which parts of the disk they take with them.
 */

#ifndef BADDISK_HEADS_H
#define BADDISK_HEADS_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_HEADS 64

/* A disk's bytes alternate between the heads: RUN of them are on head 0, the
 * next RUN on head 1, and so on; after the last head comes head 0 again.
 */
struct heads {
  unsigned count;               /* 0: nothing is known of heads */
  uint64_t dead;                /* a bit for each head, head 0 is bit 0 */
  uint64_t run;                 /* bytes, whole sectors, less than 2^63 */
};

/* The first part of [OFFSET, END) that is on a dead head, up to the end of
 * its run: [*FROM, *TO).  END is less than 2^63.  False: there is none.
 */
extern bool heads_next_dead (const struct heads *heads, uint64_t offset,
                             uint64_t end, uint64_t *from, uint64_t *to);

#endif /* BADDISK_HEADS_H */
