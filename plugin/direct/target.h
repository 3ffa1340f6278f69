/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A device or file that is open, and what it wants of its I/O.  Nothing in
 * it changes but the number of references; whoever drops the last one closes
 * it.
 */

#ifndef DIRECT_TARGET_H
#define DIRECT_TARGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/message.h"

struct target {
  atomic_uint refs;
  int fd;                               /* O_DIRECT */
  int tail_fd;                          /* a file's, buffered; else -1 */
  bool is_block, can_write;
  dev_t dev;                            /* of a block device */
  uint64_t size;                        /* bytes */
  uint32_t logical;                     /* all I/O is aligned to this ... */
  uint32_t memory;                      /* and its memory to this */
  uint32_t preferred;                   /* bytes */
  /* A power of 2, bytes: a filesystem zeroes or trims a part of this in the
   * page cache, not on the disk.  Of a file it is a block of the filesystem or
   * a page, whichever is larger; of a device a sector.
   */
  uint32_t block;
};

/* Has the file a tail (its size is no multiple of a sector) that may be
 * written?
 */
static inline bool
target_has_tail (const struct target *t)
{
  return t->tail_fd != -1;
}

/* Opens PATH, with one reference.  Returns 0, or an errno, and MESSAGE says
 * why.
 */
extern int target_open (const char *path, struct target **target,
                        struct message *message);
extern struct target *target_ref (struct target *t);
extern void target_unref (struct target *t);

#endif /* DIRECT_TARGET_H */
