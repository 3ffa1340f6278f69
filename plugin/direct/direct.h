/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The direct plugin: what its parts share.
 *
 *   direct.c       parameters and callbacks
 *   open.c         opens a device or file: checks, sizes, alignments
 *   disk.c         the one disk that is served: lost, and found again
 *   request.c      requests of any alignment, cut into operations
 *   operation.c    one operation of the kernel
 *   lane.c         operations that may never end: timeouts
 *   lane-thread.c  a lane that is a thread
 *   lane-uring.c   a lane that is an io_uring
 *
 * Functions that return int return 0 or an errno, unless they say
 * something else.  Offsets and counts are bytes.
 */

#ifndef NBDKIT_DIRECT_H
#define NBDKIT_DIRECT_H

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <stdatomic.h>
#include <sys/types.h>

#include "base/message.h"
#include "base/sector.h"

enum method { METHOD_AUTO, METHOD_URING, METHOD_THREADS };

/* Parameters. */
struct direct_config {
  char *device;                         /* absolute path */
  bool trim;
  bool force;
  unsigned timeout;                     /* seconds, 0: none */
  enum method method;
};

extern struct direct_config config;

/* ---- open.c ---- */

/* An open device or file.  Nothing changes but the number of references;
 * the last one closes it.
 */
struct target {
  atomic_uint refs;
  int fd;                               /* O_DIRECT */
  int tail_fd;                          /* for a file's tail, or -1 */
  bool is_block, can_write;
  dev_t dev;                            /* of a block device */
  uint64_t size;                        /* bytes */
  uint32_t logical;                     /* all I/O is aligned to this ... */
  uint32_t memory;                      /* and its memory to this */
  uint32_t preferred;                   /* bytes */
};

/* Opens PATH.  On failure MESSAGE says why. */
extern int target_open (const char *path, struct target **target,
                        struct message *message);
extern struct target *target_ref (struct target *t);
extern void target_unref (struct target *t);

/* ---- disk.c ---- */

/* Opens the disk of the parameters; -1 after nbdkit_error. */
extern int disk_start (void);
extern void disk_stop (void);

/* What it was like then: for its sizes, not for I/O. */
extern const struct target *disk_at_start (void);

/* The disk as it is now, with a reference; if it was lost, it is looked for
 * first, unless that was done a moment ago.  NULL: it is lost.
 */
extern struct target *disk_get (void);

/* An operation on T failed with ERR: what the error of the request is.
 * ENODEV if that was because the disk is gone, which is noted.
 */
extern int disk_failed (struct target *t, int err);

/* Flushes.  What was written is not durable before a flush that began
 * later, and FAILURES counts the occasions on which it was lost: a failed
 * flush, and a disk that went away.  A connection has to be told of each.
 */
extern void disk_wrote (void);
extern unsigned disk_failures (void);
extern int disk_flush (struct target *t);

/* ---- operation.c ---- */

enum kind { OP_READ, OP_WRITE, OP_FLUSH, OP_ZERO, OP_TRIM };

/* BUF, COUNT and OFFSET are aligned as the target wants it, unless TAIL is
 * set.  A read must deliver NEED bytes at least: a file's last sector may
 * be short.
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

/* Does it, in this thread, however long it takes. */
extern int operation_run (const struct operation *op);

/* The file descriptor for a read, write or flush. */
static inline int
operation_fd (const struct operation *op)
{
  return op->tail ? op->target->tail_fd : op->target->fd;
}

/* DONE bytes of a read or write were transferred, as the last call for it
 * said RESULT (a count, or a negative errno).  True if it is finished, with
 * *ERR; else the rest must be asked for.
 */
extern bool operation_progress (const struct operation *op, uint32_t *done,
                                ssize_t result, int *err);

/* ---- lane.c ---- */

/* A lane carries one operation at a time, and owns a buffer for it.  When
 * an operation is given up, its lane stays behind with it, and so does the
 * buffer: nobody reads there what arrives late, nor reuses what is still
 * to be written.
 */
struct lane;

#define LANE_BUFFER (UINT32_C (1) << 20)  /* bytes, at most */

/* Operations that may be stuck at a time. */
#define MAX_STUCK 64

/* get_ready: decides which method is used; -1 after nbdkit_error. */
extern int lanes_start (bool is_block);
extern void lanes_stop (void);
extern const char *lanes_method (void);

/* A lane with a buffer of SIZE bytes (may be 0).  RING: it is for reads and
 * writes only, and none of a tail.  ETIMEDOUT if too many are stuck; ENOMEM.
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

/* ---- request.c: each returns 0 or an errno ---- */

extern int requests_start (uint32_t logical);
extern void requests_stop (void);
extern int request_read (struct target *t, void *buf, uint32_t count,
                         uint64_t offset);
extern int request_write (struct target *t, const void *buf, uint32_t count,
                          uint64_t offset, bool fua);
/* FAST: EOPNOTSUPP where that takes as long as writing zeroes. */
extern int request_zero (struct target *t, uint32_t count, uint64_t offset,
                         bool fast);
extern int request_trim (struct target *t, uint32_t count, uint64_t offset);
extern int request_flush (struct target *t);

/* Of a regular file.  ONE: the first one will do. */
extern int file_extents (struct target *t, uint32_t count, uint64_t offset,
                         bool one, struct nbdkit_extents *extents);

#endif /* NBDKIT_DIRECT_H */
