/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The control socket's own parts:
 *
 *   control-socket.c    the socket's place in the filesystem
 *   control.c           start and end, the thread that serves all peers
 *   control-jobs.c      slow requests, in threads of their own
 *   background.c        main, for requests that no client has made
 *
 * Of these only control.c and background.c know of nbdkit.
 */

#ifndef REMAP_CONTROL_H
#define REMAP_CONTROL_H

#include <pthread.h>
#include <sys/types.h>

#include "control/requests.h"

/* control-socket.c */
struct control_socket {
  const char *path;             /* absolute; not owned */
  int fd;                       /* -1: none */
  dev_t dev;
  ino_t ino;
};

/* Creates a socket at PATH, mode 0600, and listens.  What is there already
 * is an error, unless it is a socket that nobody listens at.  Returns 0 or
 * an errno, with MESSAGE set.  Changes the umask for a moment: for the time
 * before there are threads.
 */
extern int control_socket_open (struct control_socket *s, const char *path,
                                struct message *message);

/* Closes, and removes the socket if it is still the one that was made. */
extern void control_socket_close (struct control_socket *s);

/* control-jobs.c: a list of requests that are queued or run.  All of it is
 * for one thread.
 */
struct job {
  struct job *next;
  void *peer;                   /* who asked; NULL: gone */
  struct control_request rq;
  struct control_jobs *jobs;
  atomic_bool stop;
  atomic_bool done;             /* REPLY is there, the thread ends */
  bool running;
  pthread_t thread;
  char *reply;                  /* malloc'd; NULL: out of memory */
  size_t len;
};

struct control_jobs {
  struct control_target *target;
  int wake_fd;                  /* an eventfd that is told of done jobs */
  struct job *list;             /* in the order of their coming */
};

/* Queues a request.  NULL: out of memory. */
extern struct job *job_add (struct control_jobs *jobs, void *peer,
                            const struct control_request *rq);

/* Its peer has gone: the job ends soon, and is forgotten. */
extern void job_abandon (struct job *job);

/* Starts what may start now. */
extern void jobs_start (struct control_jobs *jobs);

/* Takes a job that is done from the list; its thread has ended.  NULL:
 * there is none.  job_free follows.
 */
extern struct job *jobs_take_done (struct control_jobs *jobs);
extern void job_free (struct job *job);

/* Tells all jobs to stop, and waits for those that run. */
extern void jobs_stop (struct control_jobs *jobs);

#endif /* REMAP_CONTROL_H */
