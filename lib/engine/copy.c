/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/copy.h"
#include "engine/errors.h"
#include "engine/marks.h"
#include "engine/request.h"

/* What isn't whole blocks is read through so much memory. */
#define BOUNCE (UINT32_C (64) << 10)

static uint8_t zeroes[PIECE_SIZE] __attribute__ ((aligned (4096)));

int
copy_init (struct copy *copy, const struct rescue_config *config)
{
  copy->dev = config->dev;
  copy->block = max_u64 (config->block, SECTOR_SIZE);
  copy->size = config->size;
  copy->trim_zeroes = config->trim_zeroes;
  return marks_init (&copy->late, MARK_ALL);
}

void
copy_destroy (struct copy *copy)
{
  marks_destroy (&copy->late);
}

/* Bytes within one piece of memory. */
static int
read_through (struct copy *copy, uint8_t *buf, uint64_t start, uint64_t end)
{
  const uint64_t first = copy_block_of (copy, start);
  const uint64_t last = min_u64 (round_up (end, copy->block), copy->size);
  void *bounce;
  int err;

  if (posix_memalign (&bounce, 4096, last - first) != 0)
    return ENOMEM;
  err = device_pread (&copy->dev, bounce, last - first, first);
  if (err == 0)
    memcpy (buf, (uint8_t *) bounce + (start - first), end - start);
  free (bounce);
  return err;
}

int
copy_read (struct copy *copy, void *vbuf, uint64_t start, uint64_t end)
{
  uint8_t *buf = vbuf;
  uint64_t n;
  int err = 0;

  for (; start < end && err == 0; start += n, buf += n) {
    n = min_u64 (round_down (end, copy->block), start + MAIN_PIECE);
    if (start % copy->block == 0 && n > start) {
      n -= start;
      err = device_pread (&copy->dev, buf, n, start);
    }
    else {
      n = min_u64 (end, copy_block_of (copy, start) +
                   max_u64 (BOUNCE, copy->block)) - start;
      err = read_through (copy, buf, start, start + n);
    }
  }
  return err;
}

/* The last block of main, which is a short one. */
static int
write_end (struct copy *copy, const uint8_t *buf, uint64_t start, uint64_t end)
{
  const uint64_t last = min_u64 (round_up (end, copy->block), copy->size);
  void *bounce;
  int err;

  if (posix_memalign (&bounce, 4096, last - start) != 0)
    return ENOMEM;
  memcpy (bounce, buf, end - start);
  memset ((uint8_t *) bounce + (end - start), 0, last - end);
  err = device_pwrite (&copy->dev, bounce, last - start, start);
  free (bounce);
  return err;
}

static int
write_piece (struct copy *copy, const uint8_t *buf, uint64_t start,
             uint64_t end)
{
  const uint64_t whole = round_down (end, copy->block);
  int err = 0;

  if (whole > start)
    err = device_pwrite (&copy->dev, buf, whole - start, start);
  else
    return write_end (copy, buf, start, end);
  if (err == 0 && whole < end)
    err = write_end (copy, buf + (whole - start), whole, end);
  return err;
}

int
copy_write (struct copy *copy, const void *vbuf, uint64_t start, uint64_t end)
{
  const uint8_t *buf = vbuf;
  const uint64_t piece = buf ? MAIN_PIECE : sizeof zeroes;
  uint64_t n;
  int err = 0;

  for (; start < end && err == 0; start += n) {
    if (copy_has_failed (copy))
      return EIO;
    n = min_u64 (end - start, piece);
    err = write_piece (copy, buf ? buf : zeroes, start, start + n);
    buf = buf ? buf + n : NULL;
  }
  /* After the call, and whatever it says: a flush that began before it ended
   * doesn't cover it, and a failed one may have written a part.
   */
  if (!atomic_load (&copy->dirty))
    atomic_store (&copy->dirty, true);
  return err;
}

int
copy_flush (struct copy *copy)
{
  if (copy_has_failed (copy))
    return EIO;
  if (!atomic_exchange (&copy->dirty, false))
    return 0;
  if (device_flush (&copy->dev) == 0)
    return 0;
  copy_fail (copy);
  return EIO;
}

void
copy_write_is_late (const struct engine *e, struct copy *copy, uint64_t start,
                    uint64_t end)
{
  start = copy_block_of (copy, start);
  end = copy_block_end (e, copy, end - 1);
  marks_add (&copy->late, sector_of (start), sectors_in (start, end));
}
