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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nbdkit-filter.h>

#include "errors.h"
#include "log.h"

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

static void
write_line (struct op_log *log, const char *line, size_t len)
{
  ssize_t r;

  do
    r = write (log->fd, line, len);
  while (r == -1 && errno == EINTR);
  if (r != (ssize_t) len && !atomic_exchange (&log->broken, true))
    nbdkit_error ("baddisk-log=%s: can't write to the log: %s; "
                  "it is incomplete from here", log->path,
                  r == -1 ? strerror (errno) : "no space left");
}

static double
seconds (uint64_t ns)
{
  return (double) ns / 1e9;
}

/* Appends what the clock says to the totals. */
static size_t
add_clock (const struct op_log *log, char *s, size_t size)
{
  const struct clock_sums c = clock_now (log->clock);
  size_t len;

  len = (size_t) snprintf (s, size, " clock=%.3f seek=%.3f stream=%.3f"
                           " fail=%.3f seeks=%" PRIu64,
                           seconds (clock_total (&c)),
                           seconds (c.seek), seconds (c.stream),
                           seconds (c.fail), c.seeks);
  if (log->slow)
    len += (size_t) snprintf (s + len, size - len, " slow=%.3f",
                              seconds (c.slow));
  return len;
}

int
log_start (struct op_log *log, const char *path, struct drive_clock *clock,
           bool slow)
{
  log->path = path;
  log->slow = slow;
  log->clock = clock;
  if (path == NULL)
    return 0;
  log->fd = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
                  0666);
  if (log->fd == -1) {
    nbdkit_error ("baddisk-log=%s: can't open the log: %m", path);
    return -1;
  }
  return 0;
}

void
log_operation (struct op_log *log, enum op op, uint64_t offset,
               uint32_t count, int error, const struct verdict *verdict)
{
  char line[160], buf[16];
  struct clock_sums c;
  int len;

  atomic_fetch_add_explicit (&log->totals[op], 1, memory_order_relaxed);
  if (error)
    atomic_fetch_add_explicit (&log->failed[op], 1, memory_order_relaxed);
  if (!error && !verdict->touched)
    return;

  len = snprintf (line, sizeof line, "%s %" PRIu64 " %" PRIu32 " %s %" PRIu32,
                  names[op].one, offset, count,
                  error ? error_name (error, buf) : "ok",
                  verdict->attempt);
  if (log->clock) {
    c = clock_now (log->clock);
    len += snprintf (line + len, sizeof line - len, " %.3f",
                     seconds (clock_total (&c)));
  }
  line[len++] = '\n';
  nbdkit_debug ("baddisk: %.*s", len - 1, line);
  if (log->fd >= 0)
    write_line (log, line, (size_t) len);
}

void
log_end (struct op_log *log)
{
  char line[1024];
  size_t len;

  if (log->fd == -1)
    return;
  len = (size_t) snprintf (line, sizeof line, "totals");
  for (int i = 0; i < NR_OPS; i++)
    len += (size_t) snprintf (line + len, sizeof line - len,
                              " %s=%" PRIu64 " failed_%s=%" PRIu64,
                              names[i].many, (uint64_t) log->totals[i],
                              names[i].many, (uint64_t) log->failed[i]);
  if (log->clock)
    len += add_clock (log, line + len, sizeof line - len);
  line[len++] = '\n';
  write_line (log, line, len);
  close (log->fd);
  log->fd = -1;
}
