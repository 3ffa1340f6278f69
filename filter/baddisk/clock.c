/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The time that a drive would have taken, summed up instead of spent.
 *
 * A drive has one head, which serves one operation after the other,
 * however many clients there are.  What an operation costs depends on
 * where the head is: nothing where the last one ended; the shorter of an
 * access and the time that what lies between takes to pass by, if that is
 * ahead; an access otherwise.  Then the data passes by, up to the end, or
 * up to the bad sector that makes the operation fail, which costs what the
 * drive's own attempts take.  The head is behind that sector afterwards.
 * Slow areas add what they take longer.
 */

#include <config.h>

#include "base/bytes.h"
#include "base/sector.h"
#include "clock.h"

static uint64_t
stream_ns (const struct drive_clock *clock, uint64_t bytes)
{
  return (uint64_t) ((unsigned __int128) bytes * clock->stream /
                     STREAM_UNIT);
}

/* Moves the head to OFFSET.  Under lock. */
static void
move_head (struct drive_clock *clock, uint64_t offset)
{
  if (offset == clock->head)
    return;
  if (offset > clock->head &&
      stream_ns (clock, offset - clock->head) < clock->access)
    clock->sums.stream += stream_ns (clock, offset - clock->head);
  else {
    clock->sums.seek += clock->access;
    clock->sums.seeks++;
  }
}

void
clock_start (struct drive_clock *clock, uint64_t access, uint64_t failure,
             uint64_t stream)
{
  *clock = (struct drive_clock) {
    .access = access, .failure = failure, .stream = stream,
  };
  pthread_mutex_init (&clock->lock, NULL);
}

void
clock_operation (struct drive_clock *clock, uint64_t offset, uint32_t count,
                 const struct verdict *verdict)
{
  uint64_t end = offset + count;

  pthread_mutex_lock (&clock->lock);
  move_head (clock, offset);
  clock->sums.slow += verdict->extra;
  if (verdict->fails) {
    clock->sums.stream += stream_ns (clock, max_u64 (verdict->bad, offset) -
                                     offset);
    clock->sums.fail += clock->failure;
    end = verdict->bad + SECTOR_SIZE;
  }
  else
    clock->sums.stream += stream_ns (clock, count);
  clock->head = end;
  pthread_mutex_unlock (&clock->lock);
}

struct clock_sums
clock_now (struct drive_clock *clock)
{
  struct clock_sums r;

  pthread_mutex_lock (&clock->lock);
  r = clock->sums;
  pthread_mutex_unlock (&clock->lock);
  return r;
}
