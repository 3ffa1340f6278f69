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

static double
seconds (uint64_t ns)
{
  return (double) ns / 1e9;
}

/* Appends what the clock says to the totals. */
static size_t
add_clock (char *s, size_t size)
{
  const struct clock_sums c = clock_now ();

  return (size_t) snprintf (s, size, " clock=%.3f seek=%.3f stream=%.3f"
                            " fail=%.3f seeks=%" PRIu64,
                            seconds (c.seek + c.stream + c.fail),
                            seconds (c.seek), seconds (c.stream),
                            seconds (c.fail), c.seeks);
}

void
log_operation (enum op op, uint64_t offset, uint32_t count, int error,
               const struct verdict *verdict)
{
  char line[160], buf[16];
  struct clock_sums c;
  int len;

  atomic_fetch_add_explicit (&totals[op], 1, memory_order_relaxed);
  if (error)
    atomic_fetch_add_explicit (&failed[op], 1, memory_order_relaxed);
  if (!error && !(verdict && verdict->touched))
    return;

  len = snprintf (line, sizeof line, "%s %" PRIu64 " %" PRIu32 " %s %" PRIu32,
                  names[op].one, offset, count,
                  error ? error_name (error, buf) : "ok",
                  verdict ? verdict->attempt : 0);
  if (params.clock) {
    c = clock_now ();
    len += snprintf (line + len, sizeof line - len, " %.3f",
                     seconds (c.seek + c.stream + c.fail));
  }
  line[len++] = '\n';
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
  if (params.clock)
    len += add_clock (line + len, sizeof line - len);
  line[len++] = '\n';
  write_line (line, len);
  close (log_fd);
  log_fd = -1;
}
