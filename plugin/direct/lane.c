/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * How operations that may never end are waited for.
 *
 * The kernel can't be made to give up a request that a drive has got, and
 * reads from and writes to its memory until the drive has answered.  So
 * with a timeout no operation is given memory of a client: each runs in a
 * lane, which owns a buffer and whatever it is that waits (a thread, or a
 * ring).  After an operation that ended in time the lane is idle again.  One
 * that is late keeps its lane, with the buffer and a reference to the target,
 * in the list of the stuck until the kernel says that it has ended; only then
 * is the lane used again.  What a late read has brought is never looked at.
 *
 * A late write may land after the client was told that it failed, over what
 * was written since.  So whoever writes asks lanes_overlap first, and doesn't
 * write where one is under way.
 *
 * Nobody waits for stuck lanes: they are looked at whenever a lane is
 * taken.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-plugin.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "lane-thread.h"
#include "lane-uring.h"
#include "lane.h"
#include "parameters.h"

/* Idle lanes that are kept, of each type. */
#define MAX_IDLE 32

#define BUFFER_ALIGNMENT 65536

/* What lanes_start decided; constant from then on. */
static bool use_rings;

/* The mutex guards the lists, their counts, and told_of_limit. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct lane *idle[NR_LANE_TYPES];
static unsigned nr_idle[NR_LANE_TYPES];
static struct lane *stuck;
static atomic_uint nr_stuck;            /* changed under the mutex */
static bool told_of_limit;

static void
lane_free (struct lane *lane)
{
  free (lane->buf);
  switch (lane->type) {
  case LANE_SELF:
    free (lane);
    break;
  case LANE_THREAD:
    thread_lane_free (lane);
    break;
  case LANE_RING:
    ring_lane_free (lane);
    break;
  }
}

static struct lane *
lane_new (enum lane_type type)
{
  struct lane *lane = NULL;

  if (type == LANE_SELF)
    lane = calloc (1, sizeof *lane);
  if (type == LANE_RING) {
    lane = ring_lane_new ();
    if (lane == NULL) {
      nbdkit_debug ("direct: no ring to be had, using a thread");
      type = LANE_THREAD;
    }
  }
  if (type == LANE_THREAD)
    lane = thread_lane_new ();
  if (lane)
    lane->type = type;
  return lane;
}

static bool
is_done (struct lane *lane)
{
  return lane->type == LANE_RING ? ring_lane_is_done (lane)
    : thread_lane_is_done (lane);
}

/* Takes the lanes whose operations have ended from the list of the stuck. */
static void
reap (void)
{
  struct lane *lane, **p, *done = NULL;
  unsigned left;

  if (atomic_load (&nr_stuck) == 0)
    return;
  pthread_mutex_lock (&mutex);
  for (p = &stuck; (lane = *p) != NULL;) {
    if (is_done (lane)) {
      *p = lane->next;
      lane->next = done;
      done = lane;
      atomic_fetch_sub (&nr_stuck, 1);
    }
    else
      p = &lane->next;
  }
  left = atomic_load (&nr_stuck);
  if (left == 0)
    told_of_limit = false;
  pthread_mutex_unlock (&mutex);

  if (done && left == 0)
    nbdkit_error ("direct: %s: no request is stuck any more", config.device);
  while ((lane = done) != NULL) {
    done = lane->next;
    nbdkit_debug ("direct: late answer to a %s of %" PRIu32 " bytes at %"
                  PRIu64 ", %u stuck", operation_name (lane->op.kind),
                  lane->op.count, lane->op.offset, left);
    target_unref (lane->op.target);
    lane_give (lane);
  }
}

/* EBUSY, not ETIMEDOUT: what was never sent can't land later, and says nothing
 * about the disk's sectors.  The remap filter passes it on, and changes no
 * sector's state.
 */
static int
too_many (void)
{
  bool news;

  pthread_mutex_lock (&mutex);
  news = !told_of_limit;
  told_of_limit = true;
  pthread_mutex_unlock (&mutex);
  if (news)
    nbdkit_error ("direct: %s: %d requests are stuck: others fail at once "
                  "until the drive answers", config.device, MAX_STUCK);
  return EBUSY;
}

static void
leave_behind (struct lane *lane)
{
  unsigned n;

  target_ref (lane->op.target);
  pthread_mutex_lock (&mutex);
  lane->next = stuck;
  stuck = lane;
  n = atomic_fetch_add (&nr_stuck, 1) + 1;
  pthread_mutex_unlock (&mutex);
  if (n == 1)
    nbdkit_error ("direct: %s: a %s of %" PRIu32 " bytes at %" PRIu64
                  " was not answered within %u s: it fails, and is stuck",
                  config.device, operation_name (lane->op.kind),
                  lane->op.count, lane->op.offset, config.timeout);
  else
    nbdkit_debug ("direct: no answer to a %s of %" PRIu32 " bytes at %"
                  PRIu64 ", %u stuck", operation_name (lane->op.kind),
                  lane->op.count, lane->op.offset, n);
}

int
lane_take (bool ring, uint32_t size, struct lane **result)
{
  enum lane_type type = config.timeout == 0 ? LANE_SELF
    : ring && use_rings ? LANE_RING : LANE_THREAD;
  struct lane *lane;

  reap ();
  if (atomic_load (&nr_stuck) >= MAX_STUCK)
    return too_many ();

  pthread_mutex_lock (&mutex);
  lane = idle[type];
  if (lane) {
    idle[type] = lane->next;
    nr_idle[type]--;
  }
  pthread_mutex_unlock (&mutex);

  if (lane == NULL)
    lane = lane_new (type);
  if (lane == NULL)
    return ENOMEM;
  if (size > lane->buf_size) {
    free (lane->buf);
    lane->buf = NULL;
    lane->buf_size = 0;
    size = round_up (size, BUFFER_ALIGNMENT);
    if (posix_memalign (&lane->buf, BUFFER_ALIGNMENT, size) != 0) {
      lane->buf = NULL;
      lane_give (lane);
      return ENOMEM;
    }
    lane->buf_size = size;
  }
  *result = lane;
  return 0;
}

void *
lane_buffer (struct lane *lane)
{
  return lane->buf;
}

void
lane_give (struct lane *lane)
{
  bool keep;

  if (lane == NULL)
    return;
  pthread_mutex_lock (&mutex);
  keep = !lane->broken && nr_idle[lane->type] < MAX_IDLE;
  if (keep) {
    lane->next = idle[lane->type];
    idle[lane->type] = lane;
    nr_idle[lane->type]++;
  }
  pthread_mutex_unlock (&mutex);
  if (!keep)
    lane_free (lane);
}

int
lane_run (struct lane **plane, const struct operation *op)
{
  struct lane *lane = *plane;
  uint64_t deadline;
  int r;

  if (lane->type == LANE_SELF)
    return operation_run (op);

  lane->op = *op;
  deadline = clock_now_ns () + config.timeout * UINT64_C (1000000000);
  r = lane->type == LANE_RING ? ring_lane_run (lane, deadline)
    : thread_lane_run (lane, deadline);
  if (r != LATE)
    return r;
  *plane = NULL;
  leave_behind (lane);
  return ETIMEDOUT;
}

bool
lanes_overlap (uint64_t start, uint64_t end)
{
  const struct lane *lane;
  bool found = false;

  reap ();
  if (atomic_load (&nr_stuck) == 0)
    return false;
  pthread_mutex_lock (&mutex);
  for (lane = stuck; lane && !found; lane = lane->next) {
    const struct operation *op = &lane->op;

    found = op->kind != OP_READ && op->kind != OP_FLUSH &&
      ranges_overlap (operation_reach (op), op->offset + op->count, start,
                      end);
  }
  pthread_mutex_unlock (&mutex);
  return found;
}

int
lanes_probe_uring (void)
{
  return ring_probe ();
}

int
lanes_start (bool is_block)
{
  int err;

  if (config.method == METHOD_THREADS || config.timeout == 0 ||
      (config.method == METHOD_AUTO && !is_block))
    return 0;
  err = ring_probe ();
  if (err == 0)
    use_rings = true;
  else if (config.method == METHOD_URING) {
    nbdkit_error ("direct-io=uring: io_uring is not to be had: %s: say "
                  "direct-io=threads", strerror (err));
    return -1;
  }
  else
    nbdkit_debug ("direct: io_uring is not to be had: %s: using threads",
                  strerror (err));
  return 0;
}

const char *
lanes_method (void)
{
  return config.timeout == 0 ? "none" : use_rings ? "uring" : "threads";
}

/* Stuck lanes are not freed: the kernel still uses their memory. */
void
lanes_stop (void)
{
  struct lane *lane;

  reap ();
  for (unsigned type = 0; type < NR_LANE_TYPES; type++)
    while ((lane = idle[type]) != NULL) {
      idle[type] = lane->next;
      lane_free (lane);
    }
  if (stuck)
    nbdkit_debug ("direct: %u requests are stuck at the end",
                  atomic_load (&nr_stuck));
}
