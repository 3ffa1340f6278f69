/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Slow requests: a list of those that wait for their turn or run, each of
 * which has a thread of its own for as long as it runs.
 *
 * The list belongs to one thread, which calls all these functions; there is
 * no lock.  A job's own thread sets its reply, then DONE, and then writes to
 * WAKE_FD.
 */

#ifndef REMAP_CONTROL_JOBS_H
#define REMAP_CONTROL_JOBS_H

#include <pthread.h>
#include <stdatomic.h>

#include "control/protocol.h"
#include "control/target.h"

struct job {
  struct job *next;
  void *peer;                   /* that has asked; NULL: it is gone */
  struct control_request rq;
  struct control_jobs *jobs;
  atomic_bool stop;
  atomic_bool done;             /* REPLY is there, the thread ends */
  bool running;
  uint64_t began_ms;            /* clock_now_ms */
  atomic_bool told;             /* that it has begun */
  pthread_t thread;
  bool ok;                      /* the reply says so */
  char *reply;                  /* malloc'd; NULL: out of memory */
  size_t len;
};

struct control_jobs {
  struct control_target *target;
  int wake_fd;                  /* an eventfd that is told of done jobs */
  struct job *list;             /* in the order of their coming */
};

/* Queues a request, whose descriptor is the job's then.  NULL: out of
 * memory.
 */
extern struct job *job_add (struct control_jobs *jobs, void *peer,
                            const struct control_request *rq);

/* Its peer has gone: the job ends soon, and is forgotten. */
extern void job_abandon (struct job *job);

/* Starts what may start now. */
extern void jobs_start (struct control_jobs *jobs);

/* Tells, as events, of jobs that have been running for JOB_TELL_MS: who waits
 * for a shorter one sees its reply.  Returns whether there are some that may
 * yet have to be told of.
 */
#define JOB_TELL_MS 1000
extern bool jobs_tell (struct control_jobs *jobs, uint64_t now);

/* Takes a job that is done from the list; its thread has ended.  NULL:
 * there is none.  job_free follows.
 */
extern struct job *jobs_take_done (struct control_jobs *jobs);
extern void job_free (struct job *job);

/* Tells all jobs to stop, and waits for those that run. */
extern void jobs_stop (struct control_jobs *jobs);

#endif /* REMAP_CONTROL_JOBS_H */
