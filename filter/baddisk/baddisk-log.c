/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The log file and the totals.
 *
 * A line is written with one write(2) to a file opened for appending,
 * before its operation is answered: lines never mix, none is lost when
 * the server is killed, and whoever saw an error finds its line.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nbdkit-filter.h>

#include "baddisk.h"

static int log_fd = -1;
static atomic_bool log_broken;          /* complained already */
static atomic_uint_least64_t totals[NR_OPS], failed[NR_OPS];

static const struct {
  const char *one, *many;
} names[NR_OPS] = {
  [OP_READ] = { "read", "reads" },
  [OP_WRITE] = { "write", "writes" },
  [OP_ZERO] = { "zero", "zeros" },
  [OP_TRIM] = { "trim", "trims" },
  [OP_FLUSH] = { "flush", "flushes" },
  [OP_CACHE] = { "cache", "caches" },
  [OP_EXTENTS] = { "extents", "extents" },
};

int
log_open (const char *path)
{
  log_fd = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
                 0666);
  if (log_fd == -1) {
    nbdkit_error ("baddisk-log=%s: can't open the log: %m", path);
    return -1;
  }
  return 0;
}

static void
write_line (const char *line, size_t len)
{
  ssize_t r;

  do
    r = write (log_fd, line, len);
  while (r == -1 && errno == EINTR);
  if (r != (ssize_t) len && !atomic_exchange (&log_broken, true))
    nbdkit_error ("baddisk-log=%s: can't write to the log: %s; "
                  "it is incomplete from here", params.log,
                  r == -1 ? strerror (errno) : "no space left");
}

void
log_operation (enum op op, uint64_t offset, uint32_t count, int error,
               const struct verdict *verdict)
{
  char line[128], buf[16];
  int len;

  atomic_fetch_add_explicit (&totals[op], 1, memory_order_relaxed);
  if (error)
    atomic_fetch_add_explicit (&failed[op], 1, memory_order_relaxed);
  if (!error && !(verdict && verdict->touched))
    return;

  len = snprintf (line, sizeof line, "%s %" PRIu64 " %" PRIu32 " %s %" PRIu32
                  "\n", names[op].one, offset, count,
                  error ? error_name (error, buf) : "ok",
                  verdict ? verdict->attempt : 0);
  nbdkit_debug ("baddisk: %.*s", len - 1, line);
  if (log_fd >= 0)
    write_line (line, (size_t) len);
}

void
log_close (void)
{
  char line[1024];
  size_t len;

  if (log_fd == -1)
    return;
  len = (size_t) snprintf (line, sizeof line, "totals");
  for (int i = 0; i < NR_OPS; i++)
    len += (size_t) snprintf (line + len, sizeof line - len,
                              " %s=%" PRIu64 " failed_%s=%" PRIu64,
                              names[i].many, (uint64_t) totals[i],
                              names[i].many, (uint64_t) failed[i]);
  line[len++] = '\n';
  write_line (line, len);
  close (log_fd);
  log_fd = -1;
}
