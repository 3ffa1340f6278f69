/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/directio.h"

#define BUFFER_SIZE (UINT32_C (64) << 10)       /* a multiple of any sector */

static int
read_all (int fd, uint8_t *buf, uint32_t count, uint64_t offset)
{
  ssize_t r;

  while (count > 0) {
    r = pread (fd, buf, count, offset);
    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1)
      return errno;
    if (r == 0)
      return EIO;               /* truncated behind our back */
    buf += r;
    count -= r;
    offset += r;
  }
  return 0;
}

static int
write_all (int fd, const uint8_t *buf, uint32_t count, uint64_t offset)
{
  ssize_t r;

  while (count > 0) {
    r = pwrite (fd, buf, count, offset);
    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1)
      return errno;
    if (r == 0)
      return EIO;
    buf += r;
    count -= r;
    offset += r;
  }
  return 0;
}

/* Can the kernel do it as it is, without a buffer? */
static bool
is_plain (uint32_t sector, const void *buf, uint64_t offset, uint32_t count)
{
  return sector == 0 || (directio_is_aligned (sector, offset, count) &&
                         ((uintptr_t) buf & (sector - 1)) == 0);
}

/* How much of COUNT bytes at OFFSET goes through the buffer at a time: whole
 * sectors, from START to END.
 */
static uint32_t
piece (uint32_t sector, uint64_t offset, uint32_t count, uint64_t *start,
       uint64_t *end)
{
  *start = round_down (offset, sector);
  count = min_u64 (count, *start + BUFFER_SIZE - offset);
  *end = round_up (offset + count, sector);
  return count;
}

/* Puts into B, of which START .. END - 1 will be written, the sectors at the
 * ends of which OFFSET .. OFFSET + N - 1 is a part only.
 */
static int
read_edges (int fd, uint32_t sector, uint8_t *b, uint64_t start, uint64_t end,
            uint64_t offset, uint32_t n)
{
  int err = 0;

  if (offset > start)
    err = read_all (fd, b, sector, start);
  /* Unless that was the last sector as well. */
  if (err == 0 && offset + n < end &&
      (offset == start || end - start > sector))
    err = read_all (fd, b + (end - start) - sector, sector, end - sector);
  return err;
}

bool
directio_is_aligned (uint32_t sector, uint64_t offset, uint32_t count)
{
  return sector == 0 || ((offset | count) & (sector - 1)) == 0;
}

int
directio_read (int fd, uint32_t sector, uint8_t *buf, uint32_t count,
               uint64_t offset)
{
  uint64_t start, end;
  void *p;
  uint32_t n;
  int err = 0;

  if (is_plain (sector, buf, offset, count))
    return read_all (fd, buf, count, offset);
  if (posix_memalign (&p, BUFFER_SIZE, BUFFER_SIZE) != 0)
    return ENOMEM;
  for (; count > 0 && err == 0; buf += n, offset += n, count -= n) {
    n = piece (sector, offset, count, &start, &end);
    err = read_all (fd, p, end - start, start);
    if (err == 0)
      memcpy (buf, (uint8_t *) p + (offset - start), n);
  }
  free (p);
  return err;
}

int
directio_write (int fd, uint32_t sector, const uint8_t *buf, uint32_t count,
                uint64_t offset)
{
  uint64_t start, end;
  uint8_t *b;
  void *p;
  uint32_t n;
  int err = 0;

  if (is_plain (sector, buf, offset, count))
    return write_all (fd, buf, count, offset);
  if (posix_memalign (&p, BUFFER_SIZE, BUFFER_SIZE) != 0)
    return ENOMEM;
  b = p;
  for (; count > 0 && err == 0; buf += n, offset += n, count -= n) {
    n = piece (sector, offset, count, &start, &end);
    err = read_edges (fd, sector, b, start, end, offset, n);
    if (err == 0) {
      memcpy (b + (offset - start), buf, n);
      err = write_all (fd, b, end - start, start);
    }
  }
  free (p);
  return err;
}
