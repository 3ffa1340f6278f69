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
 */

#include <config.h>

#include <pthread.h>

#include "baddisk.h"

/* What params.stream is the time of, in bytes. */
#define STREAM_UNIT 131072

/* Guards what follows. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t head;                   /* bytes */
static struct clock_sums sums;

static uint64_t
stream_ns (uint64_t bytes)
{
  return (uint64_t) ((unsigned __int128) bytes * params.stream / STREAM_UNIT);
}

/* Moves the head to OFFSET.  Under lock. */
static void
move_head (uint64_t offset)
{
  if (offset == head)
    return;
  if (offset > head && stream_ns (offset - head) < params.delay)
    sums.stream += stream_ns (offset - head);
  else {
    sums.seek += params.delay;
    sums.seeks++;
  }
}

void
clock_operation (uint64_t offset, uint32_t count,
                 const struct verdict *verdict)
{
  uint64_t end = offset + count;

  pthread_mutex_lock (&lock);
  move_head (offset);
  if (verdict->fails) {
    sums.stream += stream_ns (verdict->bad > offset ? verdict->bad - offset
                              : 0);
    sums.fail += params.fail_delay;
    end = verdict->bad + SECTOR_SIZE;
  }
  else
    sums.stream += stream_ns (count);
  head = end;
  pthread_mutex_unlock (&lock);
}

struct clock_sums
clock_now (void)
{
  struct clock_sums r;

  pthread_mutex_lock (&lock);
  r = sums;
  pthread_mutex_unlock (&lock);
  return r;
}
