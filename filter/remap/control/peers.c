/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The control socket: one thread serves all peers, and never waits for one
 * of them.  What may take longer runs in threads of its own.
 *
 * All that a peer can make the server keep is bounded: one line of input,
 * one request, one reply.  As long as a reply has not been taken, nothing
 * more is read from its peer.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control.h"
#include "remap.h"

#define MAX_PEERS 1024U         /* or half of the files that may be open */
#define PAUSE_MS 1000           /* when there is no room for another peer */
#define HISTORY_IDLE_MS 60000   /* the log isn't kept in memory for longer */

struct peer {
  struct peer *next;
  int fd;                       /* -1: to be freed */
  char in[CONTROL_LINE_MAX];
  size_t in_len;
  bool eof;                     /* nothing more will come */
  bool closing;                 /* as soon as the reply has gone */
  bool draining;                /* all that still comes is thrown away */
  char *out;                    /* a reply, NULL: none */
  size_t out_len, out_done;
  struct job *job;              /* its request that is under way */
};

static struct control_socket listener = { .fd = -1 };
static struct control_target target;
static struct control_jobs jobs = { .wake_fd = -1 };
static pthread_t thread;
static bool thread_runs;
static atomic_bool stopping;

/* The thread's own. */
static struct peer *peers;
static unsigned nr_peers, max_peers;
static struct pollfd *pollfds;
static uint64_t paused_until, next_sample, last_table;

static void
take_reply (struct peer *p, char *reply, size_t len)
{
  static const char no_memory[] =
    "{\"ok\":false,\"error\":\"out of memory\"}\n";

  if (reply == NULL) {
    reply = strdup (no_memory);
    len = sizeof no_memory - 1;
  }
  if (reply == NULL) {
    p->closing = true;
    return;
  }
  p->out = reply;
  p->out_len = len;
  p->out_done = 0;
}

static void
reply_json (struct peer *p, json_t *reply)
{
  size_t len = 0;
  char *line = control_encode (reply, &len);

  take_reply (p, line, len);
}

static void
close_peer (struct peer *p)
{
  if (p->job)
    job_abandon (p->job);
  p->job = NULL;
  close (p->fd);
  p->fd = -1;
}

static void
execute_line (struct peer *p, const char *line, size_t len)
{
  struct control_request rq;
  struct message message;

  if (len > 0 && line[len-1] == '\r')
    len--;
  if (control_parse (line, len, &rq, &message) != 0) {
    reply_json (p, control_error (message.text));
    return;
  }
  nbdkit_debug ("remap: control: %.*s", (int) len, line);
  if (!control_is_slow (rq.verb)) {
    reply_json (p, control_execute (&target, &rq, &stopping));
    return;
  }
  if (rq.verb == CONTROL_TABLE)
    last_table = control_now_ms ();
  p->job = job_add (&jobs, p, &rq);
  if (p->job == NULL)
    reply_json (p, NULL);
  jobs_start (&jobs);
}

/* Sends what can be sent. */
static void
send_reply (struct peer *p)
{
  ssize_t r;

  while (p->out) {
    r = send (p->fd, p->out + p->out_done, p->out_len - p->out_done,
              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
      return;
    if (r == -1) {
      close_peer (p);
      return;
    }
    p->out_done += r;
    if (p->out_done == p->out_len) {
      free (p->out);
      p->out = NULL;
    }
  }
}

/* A socket that is closed with input unread resets the connection, and the
 * peer sees that error in place of our last reply: so it is the peer that
 * closes.
 */
static void
say_goodbye (struct peer *p)
{
  if (p->eof || atomic_load (&stopping) || shutdown (p->fd, SHUT_WR) == -1)
    close_peer (p);
  else
    p->draining = true;
}

/* Executes the lines that are there, one after the other, as far as the
 * replies go.
 */
static void
serve_peer (struct peer *p)
{
  char *end;
  size_t len;

  for (;;) {
    send_reply (p);
    if (p->fd == -1 || p->out || p->job)
      return;
    if (p->closing || atomic_load (&stopping)) {
      say_goodbye (p);
      return;
    }
    end = memchr (p->in, '\n', p->in_len);
    if (end) {
      len = end - p->in;
      execute_line (p, p->in, len);
      p->in_len -= len + 1;
      memmove (p->in, end + 1, p->in_len);
      continue;
    }
    if (p->in_len == sizeof p->in)
      reply_json (p, control_error ("the request is longer than 4096 bytes"));
    else if (p->eof && p->in_len > 0)
      reply_json (p, control_error ("the request has no end: a line ends "
                                    "with a newline"));
    else if (!p->eof)
      return;
    p->in_len = 0;
    p->closing = true;
  }
}

static void
read_peer (struct peer *p)
{
  ssize_t r;

  r = recv (p->fd, p->in + p->in_len, sizeof p->in - p->in_len, MSG_DONTWAIT);
  if (r == -1 && (errno == EINTR || errno == EAGAIN))
    return;
  if (r == -1) {
    close_peer (p);
    return;
  }
  if (p->draining) {
    if (r == 0)
      close_peer (p);
    return;
  }
  if (r == 0)
    p->eof = true;
  p->in_len += r;
  serve_peer (p);
}

static short
events_of (const struct peer *p)
{
  return p->out ? POLLOUT : p->job || p->eof ? 0 : POLLIN;
}

static void
handle_peer (struct peer *p, short revents)
{
  if (revents & POLLIN)
    read_peer (p);
  else if (revents & (POLLERR | POLLHUP | POLLNVAL))
    close_peer (p);
  else if (revents & POLLOUT)
    serve_peer (p);
}

static void
free_closed_peers (void)
{
  struct peer **pp = &peers, *p;

  while ((p = *pp) != NULL) {
    if (p->fd != -1) {
      pp = &p->next;
      continue;
    }
    *pp = p->next;
    free (p->out);
    free (p);
    nr_peers--;
    paused_until = 0;
  }
}

/* One more than can be served is told so, and others wait. */
static void
accept_peer (void)
{
  static const char busy[] =
    "{\"ok\":false,\"error\":\"too many connections\"}\n";
  struct peer *p;
  int fd;

  fd = accept4 (listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd == -1) {
    if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED)
      paused_until = control_now_ms () + PAUSE_MS;
    return;
  }
  p = nr_peers < max_peers ? calloc (1, sizeof *p) : NULL;
  if (p == NULL) {
    send (fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close (fd);
    return;
  }
  p->fd = fd;
  p->next = peers;
  peers = p;
  nr_peers++;
}

static void
finish_jobs (void)
{
  struct job *job;
  struct peer *p;

  while ((job = jobs_take_done (&jobs)) != NULL) {
    p = job->peer;
    if (p) {
      p->job = NULL;
      take_reply (p, job->reply, job->len);
      job->reply = NULL;
      serve_peer (p);
    }
    job_free (job);
  }
}

static bool
table_is_read (void)
{
  for (const struct job *job = jobs.list; job; job = job->next)
    if (job->rq.verb == CONTROL_TABLE)
      return true;
  return false;
}

/* What is done by the clock; returns how long to sleep, in ms. */
static int
tick (void)
{
  uint64_t now = control_now_ms (), until;

  if (now >= next_sample) {
    control_target_sample (&target, now);
    next_sample += CONTROL_SAMPLE_MS;
    if (next_sample <= now)
      next_sample = now + CONTROL_SAMPLE_MS;
  }
  if (last_table && now - last_table > HISTORY_IDLE_MS && !table_is_read ()) {
    spare_history_drop (target.history);
    last_table = 0;
  }
  until = next_sample;
  if (paused_until > now && paused_until < until)
    until = paused_until;
  return until - now;
}

static void
serve_once (void)
{
  unsigned n = 0, count;
  int timeout = tick ();
  struct peer *p;
  uint64_t woken;

  pollfds[n++] = (struct pollfd) { .fd = jobs.wake_fd, .events = POLLIN };
  pollfds[n++] = (struct pollfd) {
    .fd = control_now_ms () < paused_until ? -1 : listener.fd,
    .events = POLLIN
  };
  for (p = peers; p; p = p->next)
    pollfds[n++] = (struct pollfd) { .fd = p->fd, .events = events_of (p) };
  if (poll (pollfds, n, timeout) <= 0)
    return;

  if (pollfds[0].revents && read (jobs.wake_fd, &woken, sizeof woken) > 0) {
    finish_jobs ();
    jobs_start (&jobs);
  }
  for (p = peers, count = 2; p; p = p->next, count++)
    if (p->fd != -1 && pollfds[count].revents)
      handle_peer (p, pollfds[count].revents);
  if (pollfds[1].revents)
    accept_peer ();
  free_closed_peers ();
}

static void *
serve (void *arg)
{
  struct peer *p;

  while (!atomic_load (&stopping))
    serve_once ();

  /* Who waits for a reply is told, as far as it can be told at once. */
  jobs_stop (&jobs);
  finish_jobs ();
  while (jobs.list)
    job_abandon (jobs.list);
  for (p = peers; p; p = p->next) {
    p->job = NULL;
    if (p->fd != -1)
      close_peer (p);
  }
  free_closed_peers ();
  return NULL;
}

/* nbdkit that can't listen for clients exits, and tells no filter.  A parent
 * whose child goes on as the server exits as well, but has nothing to remove.
 */
static pid_t remover;

static void
after_fork_in_parent (void)
{
  remover = 0;
}

static void __attribute__ ((destructor))
remove_at_exit (void)
{
  if (remover == getpid ())
    control_socket_close (&listener);
}

int
control_get_ready (void)
{
  struct message message;

  if (config.control_path == NULL)
    return 0;
  if (pthread_atfork (NULL, after_fork_in_parent, NULL) == 0)
    remover = getpid ();
  if (control_socket_open (&listener, config.control_path, &message)) {
    nbdkit_error ("%s", message.text);
    return -1;
  }
  return 0;
}

static void
free_all (void)
{
  if (jobs.wake_fd != -1)
    close (jobs.wake_fd);
  jobs.wake_fd = -1;
  free (pollfds);
  pollfds = NULL;
  spare_history_free (target.history);
  target.history = NULL;
  control_target_free (&target);
}

/* Half of what may be open is for clients and the disk. */
static void
limit_peers (void)
{
  struct rlimit limit;

  max_peers = MAX_PEERS;
  if (getrlimit (RLIMIT_NOFILE, &limit) == 0 &&
      limit.rlim_cur / 2 < max_peers)
    max_peers = limit.rlim_cur / 2;
}

static int
start_thread (void)
{
  sigset_t all, old;
  int err;

  /* Signals are nbdkit's, except those that are about this thread. */
  sigfillset (&all);
  sigdelset (&all, SIGSEGV);
  sigdelset (&all, SIGBUS);
  sigdelset (&all, SIGFPE);
  sigdelset (&all, SIGILL);
  sigdelset (&all, SIGABRT);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  err = pthread_create (&thread, NULL, serve, NULL);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  thread_runs = err == 0;
  return err;
}

int
control_start (const struct control_target *t)
{
  int err = ENOMEM;

  if (listener.fd == -1)
    return 0;
  target = *t;
  limit_peers ();
  target.history = spare_history_new (target.spare, target.map);
  pollfds = calloc (max_peers + 2, sizeof *pollfds);
  jobs.target = &target;
  jobs.wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (target.history && pollfds && jobs.wake_fd != -1 &&
      control_target_init (&target) == 0) {
    next_sample = target.started_ms + CONTROL_SAMPLE_MS;
    err = start_thread ();
  }
  if (err) {
    nbdkit_error ("remap-control=%s: can't be served: %s", listener.path,
                  strerror (err));
    free_all ();
    return -1;
  }
  return 0;
}

void
control_stop (void)
{
  const uint64_t one = 1;

  if (thread_runs) {
    atomic_store (&stopping, true);
    while (write (jobs.wake_fd, &one, sizeof one) == -1 && errno == EINTR)
      ;
    pthread_join (thread, NULL);
    thread_runs = false;
  }
  free_all ();
  control_socket_close (&listener);
}
