/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A block device as the spare is used with O_DIRECT: a slot that can't be
 * written says so at once, alone, and another one is taken (promise 17 of
 * remap-promises(7)), where through the page cache the next flush would fail,
 * and the whole spare with it.
 *
 * What isn't aligned goes through a buffer.  Slots and the log's pages are
 * aligned to 512 bytes, so only where sectors are larger is a sector ever
 * read, modified and written: the caller locks that.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/sparefile.h"

#define BUFFER_SIZE (UINT32_C (64) << 10)       /* a multiple of any sector */

int
file_read_all (int fd, uint8_t *buf, uint32_t count, uint64_t offset)
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

int
file_write_all (int fd, const uint8_t *buf, uint32_t count, uint64_t offset)
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

bool
file_is_aligned (const struct spare_file *sf, uint64_t offset, uint32_t count)
{
  return sf->sector == 0 || ((offset | count) & (sf->sector - 1)) == 0;
}

/* Neither in memory nor on the device is there anything to do. */
static bool
is_plain (const struct spare_file *sf, const void *buf, uint64_t offset,
          uint32_t count)
{
  return file_is_aligned (sf, offset, count) &&
    ((uintptr_t) buf & (sf->sector - 1)) == 0;
}

/* How much of COUNT bytes at OFFSET goes through the buffer at a time: whole
 * sectors, from START to END.
 */
static uint32_t
piece (const struct spare_file *sf, uint64_t offset, uint32_t count,
       uint64_t *start, uint64_t *end)
{
  *start = round_down (offset, sf->sector);
  if (count > *start + BUFFER_SIZE - offset)
    count = *start + BUFFER_SIZE - offset;
  *end = round_up (offset + count, sf->sector);
  return count;
}

int
file_direct_read (const struct spare_file *sf, uint8_t *buf, uint32_t count,
                  uint64_t offset)
{
  uint64_t start, end;
  void *p;
  uint32_t n;
  int err = 0;

  if (is_plain (sf, buf, offset, count))
    return file_read_all (sf->fd, buf, count, offset);
  if (posix_memalign (&p, BUFFER_SIZE, BUFFER_SIZE) != 0)
    return ENOMEM;
  for (; count > 0 && err == 0; buf += n, offset += n, count -= n) {
    n = piece (sf, offset, count, &start, &end);
    err = file_read_all (sf->fd, p, end - start, start);
    if (err == 0)
      memcpy (buf, (uint8_t *) p + (offset - start), n);
  }
  free (p);
  return err;
}

int
file_direct_write (const struct spare_file *sf, const uint8_t *buf,
                   uint32_t count, uint64_t offset)
{
  uint64_t start, end;
  uint8_t *b;
  void *p;
  uint32_t n;
  int err = 0;

  if (is_plain (sf, buf, offset, count))
    return file_write_all (sf->fd, buf, count, offset);
  if (posix_memalign (&p, BUFFER_SIZE, BUFFER_SIZE) != 0)
    return ENOMEM;
  b = p;
  for (; count > 0 && err == 0; buf += n, offset += n, count -= n) {
    n = piece (sf, offset, count, &start, &end);
    if (offset > start)
      err = file_read_all (sf->fd, b, sf->sector, start);
    if (err == 0 && offset + n < end &&
        (offset == start || end - start > sf->sector))
      err = file_read_all (sf->fd, b + (end - start) - sf->sector, sf->sector,
                           end - sf->sector);
    if (err == 0) {
      memcpy (b + (offset - start), buf, n);
      err = file_write_all (sf->fd, b, end - start, start);
    }
  }
  free (p);
  return err;
}
