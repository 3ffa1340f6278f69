/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A lane that is an io_uring of its own, with one entry.  Whoever asks
 * submits and waits, so there is no other thread, and nothing that lanes
 * share.
 *
 * It is for reads and writes with O_DIRECT only.  The kernel gives what it
 * can't start without blocking to workers of its own, and a thread that has
 * submitted can't end before these have: a stuck flush would keep nbdkit
 * from closing a connection.  For the same reason a file, whose filesystem
 * may block, gets rings only if direct-io=uring asks for them.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <pthread.h>

#include "base/clock.h"
#include "lane-uring.h"

#ifdef HAVE_LIBURING

#include <liburing.h>

struct ring_lane {
  struct lane lane;
  struct io_uring ring;
};

/* A ring may be mapped where another one was until a moment ago.  The kernel
 * puts the two in order, but the thread sanitizer doesn't see that: this does
 * it where it sees it.
 */
static pthread_mutex_t mapping = PTHREAD_MUTEX_INITIALIZER;

static void
end (struct io_uring *ring)
{
  pthread_mutex_lock (&mapping);
  io_uring_queue_exit (ring);
  pthread_mutex_unlock (&mapping);
}

/* Kernels without IORING_FEAT_EXT_ARG would need an entry of the ring for
 * the timeout of a wait.
 */
static int
init (struct io_uring *ring)
{
  int r;

  pthread_mutex_lock (&mapping);
  r = io_uring_queue_init (1, ring, 0);
  pthread_mutex_unlock (&mapping);
  if (r < 0)
    return -r;
  if (!(ring->features & IORING_FEAT_EXT_ARG)) {
    end (ring);
    return ENOSYS;
  }
  return 0;
}

static int
submit (struct ring_lane *rl, uint32_t done)
{
  const struct operation *op = &rl->lane.op;
  struct io_uring_sqe *sqe = io_uring_get_sqe (&rl->ring);
  const int fd = operation_fd (op);
  int r;

  if (sqe == NULL)
    return EIO;
  if (op->kind == OP_READ)
    io_uring_prep_read (sqe, fd, (char *) op->buf + done, op->count - done,
                        op->offset + done);
  else {
    io_uring_prep_write (sqe, fd, (const char *) op->buf + done,
                         op->count - done, op->offset + done);
    sqe->rw_flags = op->fua ? RWF_DSYNC : 0;
  }
  do {
    r = io_uring_submit (&rl->ring);
  } while (r == -EINTR);
  return r == 1 ? 0 : r < 0 ? -r : EIO;
}

/* *RESULT is that of what was submitted; false if there was none in time. */
static bool
wait_until (struct ring_lane *rl, uint64_t deadline, int *result)
{
  struct io_uring_cqe *cqe;
  uint64_t now;
  int r;

  do {
    now = clock_now_ns ();
    if (now < deadline) {
      struct __kernel_timespec ts = {
        .tv_sec = (deadline - now) / 1000000000,
        .tv_nsec = (deadline - now) % 1000000000
      };

      r = io_uring_wait_cqe_timeout (&rl->ring, &cqe, &ts);
    }
    else
      r = io_uring_peek_cqe (&rl->ring, &cqe);
  } while (r == -EINTR || (r < 0 && now < deadline && r == -ETIME));
  if (r < 0)
    return false;
  *result = cqe->res;
  io_uring_cqe_seen (&rl->ring, cqe);
  return true;
}

int
ring_probe (void)
{
  struct io_uring ring;
  int err = init (&ring);

  if (err == 0)
    end (&ring);
  return err;
}

struct lane *
ring_lane_new (void)
{
  struct ring_lane *rl = calloc (1, sizeof *rl);

  if (rl && init (&rl->ring) != 0) {
    free (rl);
    return NULL;
  }
  return rl ? &rl->lane : NULL;
}

int
ring_lane_run (struct lane *lane, uint64_t deadline)
{
  struct ring_lane *rl = (struct ring_lane *) lane;
  uint32_t done = 0;
  int err, result;

  do {
    err = submit (rl, done);
    if (err) {
      /* The entry would be submitted along with the next one. */
      lane->broken = true;
      return err;
    }
    if (!wait_until (rl, deadline, &result))
      return LATE;
  } while (!operation_progress (&lane->op, &done, result, &err));
  return err;
}

bool
ring_lane_is_done (struct lane *lane)
{
  struct ring_lane *rl = (struct ring_lane *) lane;
  struct io_uring_cqe *cqe;

  if (io_uring_peek_cqe (&rl->ring, &cqe) != 0)
    return false;
  io_uring_cqe_seen (&rl->ring, cqe);
  return true;
}

void
ring_lane_free (struct lane *lane)
{
  struct ring_lane *rl = (struct ring_lane *) lane;

  end (&rl->ring);
  free (rl);
}

#else /* !HAVE_LIBURING */

int
ring_probe (void)
{
  return ENOSYS;
}

struct lane *
ring_lane_new (void)
{
  return NULL;
}

int
ring_lane_run (struct lane *lane, uint64_t deadline)
{
  abort ();
}

bool
ring_lane_is_done (struct lane *lane)
{
  abort ();
}

void
ring_lane_free (struct lane *lane)
{
  abort ();
}

#endif /* !HAVE_LIBURING */
