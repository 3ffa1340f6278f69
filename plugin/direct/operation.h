/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * One operation of the kernel: what is asked for, and how its answers are
 * understood.  Offsets and counts are bytes.
 */

#ifndef DIRECT_OPERATION_H
#define DIRECT_OPERATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "target.h"

enum kind { OP_READ, OP_WRITE, OP_FLUSH, OP_ZERO, OP_TRIM };

/* BUF, COUNT and OFFSET are aligned as the target wants it, unless TAIL is
 * set; those of a zero or trim are aligned to the target's block.  A read must
 * deliver NEED bytes at least: a file's last sector may be short.
 */
struct operation {
  enum kind kind;
  struct target *target;
  void *buf;
  uint32_t count, need;
  uint64_t offset;
  bool fua;                             /* of a write */
  bool tail;                            /* of a write: unaligned, buffered */
  bool fast;                            /* of a zero: no slow way */
};

extern const char *operation_name (enum kind kind);

/* Does it, in this thread, however long it takes.  Returns 0 or an errno. */
extern int operation_run (const struct operation *op);

/* The file descriptor for a read, write or flush. */
static inline int
operation_fd (const struct operation *op)
{
  return op->tail ? op->target->tail_fd : op->target->fd;
}

/* Where the bytes begin that nobody may write while it is under way.  Of a
 * tail it is the start of its page, see request.c.
 */
static inline uint64_t
operation_reach (const struct operation *op)
{
  return op->tail ? round_down (op->offset, op->target->block) : op->offset;
}

/* DONE bytes of a read or write were transferred, as the last call for it
 * said RESULT (a count, or a negative errno).  True if it is finished, with
 * *ERR; else the rest must be asked for.
 */
extern bool operation_progress (const struct operation *op, uint32_t *done,
                                ssize_t result, int *err);

#endif /* DIRECT_OPERATION_H */
