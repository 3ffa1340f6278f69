/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Slow requests: each has a thread for as long as it runs.  There are not
 * many of them, and a thread costs less than a read of a failing disk.
 *
 * Those that only read the map have places of their own: somebody who
 * looks at the table doesn't wait until the whole disk has been verified.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/jobs.h"
#include "control/requests.h"
#include "engine/events.h"

#define MAX_TABLES 4            /* and maps, that run at once, */
#define MAX_STATUS_TABLES 2     /* of those at the status socket */
#define MAX_OTHERS 16

struct job *
job_add (struct control_jobs *jobs, void *peer,
         const struct control_request *rq)
{
  struct job *job = calloc (1, sizeof *job), **end;

  if (job == NULL)
    return NULL;
  job->peer = peer;
  job->rq = *rq;
  job->jobs = jobs;
  atomic_init (&job->stop, false);
  atomic_init (&job->done, false);
  atomic_init (&job->told, false);
  for (end = &jobs->list; *end; end = &(*end)->next)
    ;
  *end = job;
  return job;
}

void
job_free (struct job *job)
{
  if (job->rq.fd != -1)
    close (job->rq.fd);
  free (job->reply);
  free (job);
}

static void
unlink_job (struct job *job)
{
  struct job **p = &job->jobs->list;

  while (*p != job)
    p = &(*p)->next;
  *p = job->next;
}

void
job_abandon (struct job *job)
{
  job->peer = NULL;
  atomic_store (&job->stop, true);
  if (!job->running) {
    unlink_job (job);
    job_free (job);
  }
}

/* JOB has its reply. */
static void
finish (struct job *job)
{
  const int fd = job->jobs->wake_fd;
  const uint64_t one = 1;

  job->ok = control_says_ok (job->reply);
  atomic_store (&job->done, true);
  /* It is never full: it counts to 2^64. */
  while (write (fd, &one, sizeof one) == -1 && errno == EINTR)
    ;
}

static void *
run (void *arg)
{
  struct job *job = arg;

  job->reply = control_execute (job->jobs->target, &job->rq, &job->stop,
                                &job->told, &job->len);
  finish (job);
  return NULL;
}

static void
start (struct job *job)
{
  job->began_ms = clock_now_ms ();
  if (pthread_create (&job->thread, NULL, run, job) == 0)
    job->running = true;
  else {
    job->reply = control_encode (control_error (
      "there is no room for another thread: try again later"), &job->len);
    finish (job);
  }
}

/* Jobs of a kind don't wait for those of another. */
enum { TABLES, STATUS_TABLES, OTHERS, NR_KINDS };

static unsigned
kind_of (const struct job *job)
{
  if (!control_only_looks (job->rq.verb))
    return OTHERS;
  return job->rq.at_status ? STATUS_TABLES : TABLES;
}

void
jobs_start (struct control_jobs *jobs)
{
  static const unsigned most[NR_KINDS] = {
    [TABLES] = MAX_TABLES, [STATUS_TABLES] = MAX_STATUS_TABLES,
    [OTHERS] = MAX_OTHERS,
  };
  unsigned number[NR_KINDS] = { 0 };
  struct job *job;

  for (job = jobs->list; job; job = job->next)
    number[kind_of (job)] += job->running;
  for (job = jobs->list; job; job = job->next) {
    if (job->running || atomic_load (&job->done) ||
        number[kind_of (job)] == most[kind_of (job)])
      continue;
    start (job);
    number[kind_of (job)]++;
  }
}

/* A table or a map changes nothing: it is nobody's business. */
bool
jobs_tell (struct control_jobs *jobs, uint64_t now)
{
  bool others = false;
  char name[100];
  struct message m;

  for (struct job *job = jobs->list; job; job = job->next) {
    if (!job->running || atomic_load (&job->told) ||
        control_only_looks (job->rq.verb))
      continue;
    if (now - job->began_ms < JOB_TELL_MS) {
      others = true;
      continue;
    }
    control_describe (&job->rq, name, sizeof name);
    message_set (&m, "%s: under way", name);
    events_tell_change (jobs->target->events, EVENT_JOB_START, name, NULL,
                        NULL, m.text);
    atomic_store (&job->told, true);
  }
  return others;
}

static void
tell_end (const struct job *job)
{
  const char *result = job->ok ? "done" : atomic_load (&job->stop) ? "stopped"
    : "failed";
  char name[100];
  struct message m;

  control_describe (&job->rq, name, sizeof name);
  message_set (&m, "%s: %s", name, result);
  events_tell_change (job->jobs->target->events, EVENT_JOB_END, name, NULL,
                      result, m.text);
}

struct job *
jobs_take_done (struct control_jobs *jobs)
{
  struct job *job;

  for (job = jobs->list; job; job = job->next)
    if (atomic_load (&job->done))
      break;
  if (job == NULL)
    return NULL;
  if (job->running)
    pthread_join (job->thread, NULL);
  job->running = false;
  if (atomic_load (&job->told))
    tell_end (job);
  unlink_job (job);
  return job;
}

void
jobs_stop (struct control_jobs *jobs)
{
  struct job *job;

  for (job = jobs->list; job; job = job->next)
    atomic_store (&job->stop, true);
  for (job = jobs->list; job; job = job->next)
    if (job->running) {
      pthread_join (job->thread, NULL);
      job->running = false;
    }
}
