/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * One thread serves all peers, and never waits for one of them.  What may
 * take longer runs in threads of its own.
 *
 * All that a peer can make the server keep is bounded: one line of input,
 * one request, one reply.  As long as a reply has not been taken, nothing
 * more is read from its peer.
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nbdkit-filter.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "control/events.h"
#include "control/peers.h"
#include "control/requests.h"
#include "control/status.h"

#define MAX_PEERS 1024U         /* or half of the files that may be open, */
#define MAX_STATUS_PEERS 64U    /* and no more than a quarter of that */
#define MAX_LINES 8             /* of one peer, before others have their turn */
#define PAUSE_MS 1000           /* when no more files can be opened */
#define HISTORY_IDLE_MS 60000   /* the log isn't kept in memory for longer */
#define MAX_WAIT_MS 30000       /* for an event */

struct peer {
  struct peer *next;
  int fd;                       /* -1: to be freed */
  unsigned door;
  unsigned uid;                 /* of the process that has connected */
  char in[CONTROL_LINE_MAX];
  size_t in_len;
  int file;                     /* came with what is in IN; -1: none */
  bool again;                   /* lines are left */
  bool eof;                     /* nothing more will come */
  bool closing;                 /* as soon as the reply has gone */
  bool draining;                /* all that still comes is thrown away */
  char *out;                    /* a reply, NULL: none */
  size_t out_len, out_done;
  struct job *job;              /* its request that is under way */
  uint64_t wait_until;          /* for an event: clock_now_ms; 0: it doesn't */
  uint64_t since;               /* of this number, at least */
};

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
end_wait (struct peers *ps, struct peer *p)
{
  ps->waiting -= p->wait_until > 0;
  p->wait_until = 0;
}

static void
drop_file (struct peer *p)
{
  if (p->file != -1)
    close (p->file);
  p->file = -1;
}

static void
close_peer (struct peers *ps, struct peer *p)
{
  if (p->job)
    job_abandon (p->job);
  p->job = NULL;
  end_wait (ps, p);
  drop_file (p);
  close (p->fd);
  p->fd = -1;
}

static void
execute_line (struct peers *ps, struct peer *p, const char *line, size_t len)
{
  struct control_request rq;
  struct message message;
  bool bad = false;
  size_t reply_len = 0;
  char *reply;

  if (len > 0 && line[len-1] == '\r')
    len--;
  if (control_parse (line, len, &rq, &message) == 0) {
    rq.at_status = p->door == DOOR_STATUS;
    rq.uid = p->uid;
  }
  else
    bad = true;
  if (bad || control_check_right (&rq, &message) != 0) {
    reply_json (p, control_error (message.text));
    return;
  }
  nbdkit_debug ("remap: control: %.*s", (int) len, line);
  if (rq.verb == CONTROL_EVENTS && rq.wait &&
      !control_has_events (ps->target, rq.since)) {
    p->since = rq.since;
    p->wait_until = clock_now_ms () + MAX_WAIT_MS;
    ps->waiting++;
    return;
  }
  if (!control_is_slow (rq.verb)) {
    reply = control_execute (ps->target, &rq, &ps->stopping, NULL,
                             &reply_len);
    take_reply (p, reply, reply_len);
    return;
  }
  if (rq.verb == CONTROL_TABLE)
    ps->last_table = clock_now_ms ();
  if (rq.verb == CONTROL_BACKUP)
    rq.fd = p->file;
  p->job = job_add (&ps->jobs, p, &rq);
  if (p->job == NULL)
    reply_json (p, NULL);
  else if (rq.fd != -1)
    p->file = -1;
  jobs_start (&ps->jobs);
}

/* Sends as much of the reply as the socket takes. */
static void
send_reply (struct peers *ps, struct peer *p)
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
      close_peer (ps, p);
      return;
    }
    p->out_done += r;
    if (p->out_done == p->out_len) {
      free (p->out);
      p->out = NULL;
    }
  }
}

/* A socket that is closed while it holds unread input resets the connection,
 * and the peer sees that error in place of our last reply.  So we only say
 * that nothing more comes, and wait until the peer closes.
 */
static void
say_goodbye (struct peers *ps, struct peer *p)
{
  if (p->eof || atomic_load (&ps->stopping) ||
      shutdown (p->fd, SHUT_WR) == -1)
    close_peer (ps, p);
  else
    p->draining = true;
}

/* Executes the lines that have come, one after the other, until a reply
 * can't be sent at once, a request takes its time, or others have their turn.
 */
static void
serve_peer (struct peers *ps, struct peer *p)
{
  unsigned lines = 0;
  char *end;
  size_t len;

  p->again = false;
  for (;;) {
    send_reply (ps, p);
    if (p->fd == -1 || p->out || p->job || p->wait_until)
      return;
    if (p->closing || atomic_load (&ps->stopping)) {
      say_goodbye (ps, p);
      return;
    }
    end = memchr (p->in, '\n', p->in_len);
    if (end && lines++ == MAX_LINES) {
      p->again = ps->again = true;
      return;
    }
    if (end) {
      len = end - p->in;
      execute_line (ps, p, p->in, len);
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

/* The files that came with a message to the control socket: the last one is
 * kept for the next request.
 */
static void
take_files (struct peer *p, struct msghdr *m)
{
  struct cmsghdr *c;
  int fd;

  for (c = CMSG_FIRSTHDR (m); c; c = CMSG_NXTHDR (m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
      continue;
    for (size_t i = 0; CMSG_LEN ((i + 1) * sizeof fd) <= c->cmsg_len; i++) {
      memcpy (&fd, CMSG_DATA (c) + i * sizeof fd, sizeof fd);
      drop_file (p);
      p->file = fd;
    }
  }
  if (p->draining)
    drop_file (p);
}

static void
read_peer (struct peers *ps, struct peer *p)
{
  union {
    char buf[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control;
  struct iovec iov = { p->in + p->in_len, sizeof p->in - p->in_len };
  struct msghdr m = {
    .msg_iov = &iov, .msg_iovlen = 1,
    .msg_control = &control, .msg_controllen = sizeof control,
  };
  ssize_t r;

  /* Closing a file may take as long as a filesystem likes (FUSE, NFS): from
   * others the kernel takes none for us.
   */
  if (p->door != DOOR_CONTROL) {
    m.msg_control = NULL;
    m.msg_controllen = 0;
  }
  r = recvmsg (p->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (r != -1)
    take_files (p, &m);
  if (r == -1 && (errno == EINTR || errno == EAGAIN))
    return;
  if (r == -1) {
    close_peer (ps, p);
    return;
  }
  if (p->draining) {
    if (r == 0)
      close_peer (ps, p);
    return;
  }
  if (r == 0)
    p->eof = true;
  p->in_len += r;
  serve_peer (ps, p);
}

static short
events_of (const struct peer *p)
{
  return p->out ? POLLOUT
    : p->job || p->wait_until || p->again || p->eof ? 0 : POLLIN;
}

static void
handle_peer (struct peers *ps, struct peer *p, short revents)
{
  if (p->again)
    serve_peer (ps, p);
  else if (revents & POLLIN)
    read_peer (ps, p);
  else if (revents & (POLLERR | POLLHUP | POLLNVAL))
    close_peer (ps, p);
  else if (revents & POLLOUT)
    serve_peer (ps, p);
}

static void
free_closed_peers (struct peers *ps)
{
  struct peer **pp = &ps->list, *p;

  while ((p = *pp) != NULL) {
    if (p->fd != -1) {
      pp = &p->next;
      continue;
    }
    *pp = p->next;
    ps->number[p->door]--;
    free (p->out);
    free (p);
    ps->paused_until = 0;
  }
}

/* Is there no room for another one of this user?  Those who may only watch
 * don't know each other: whoever has three quarters of their places leaves the
 * last one to other users.
 */
static bool
is_full (const struct peers *ps, unsigned door, unsigned uid)
{
  unsigned n = 0;

  if (door == DOOR_STATUS)
    for (const struct peer *p = ps->list; p; p = p->next)
      n += p->door == door && p->uid == uid;
  return ps->number[door] >= ps->max[door] ||
    (door == DOOR_STATUS && n >= ps->max[door] - ps->max[door] / 4);
}

/* When there are as many peers as can be served, another one gets an error
 * and is closed.  When the process can't open any more files, those that
 * come wait in the socket.
 */
static void
accept_peer (struct peers *ps, unsigned door)
{
  static const char busy[] =
    "{\"ok\":false,\"error\":\"too many connections\"}\n";
  struct ucred who = { .uid = -1 };
  socklen_t len = sizeof who;
  struct peer *p;
  int fd;

  fd = accept4 (ps->listen_fd[door], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd == -1) {
    if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED)
      ps->paused_until = clock_now_ms () + PAUSE_MS;
    return;
  }
  getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
  p = is_full (ps, door, who.uid) ? NULL : calloc (1, sizeof *p);
  if (p == NULL) {
    send (fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close (fd);
    return;
  }
  p->fd = fd;
  p->file = -1;
  p->door = door;
  p->uid = who.uid;
  p->next = ps->list;
  ps->list = p;
  ps->number[door]++;
}

static void
finish_jobs (struct peers *ps)
{
  struct job *job;
  struct peer *p;

  while ((job = jobs_take_done (&ps->jobs)) != NULL) {
    p = job->peer;
    if (p) {
      p->job = NULL;
      take_reply (p, job->reply, job->len);
      job->reply = NULL;
      serve_peer (ps, p);
    }
    job_free (job);
  }
}

/* Answers those who wait for events, if there are some, or at NOW they have
 * waited for long enough.  Returns when the first of the others will have.
 */
static uint64_t
finish_waits (struct peers *ps, uint64_t now)
{
  uint64_t first = UINT64_MAX;

  for (struct peer *p = ps->list; p && ps->waiting > 0; p = p->next) {
    if (p->wait_until == 0)
      continue;
    if (now < p->wait_until && !control_has_events (ps->target, p->since)) {
      first = min_u64 (first, p->wait_until);
      continue;
    }
    end_wait (ps, p);
    reply_json (p, control_events (ps->target, p->since));
    serve_peer (ps, p);
  }
  return first;
}

static bool
table_is_read (const struct peers *ps)
{
  for (const struct job *job = ps->jobs.list; job; job = job->next)
    if (job->rq.verb == CONTROL_TABLE)
      return true;
  return false;
}

/* Does what is due by the clock; returns for how long nothing more will be,
 * in ms.
 */
static int
tick (struct peers *ps)
{
  uint64_t now = clock_now_ms (), until;

  if (now >= ps->next_sample) {
    control_target_sample (ps->target, now);
    ps->next_sample += CONTROL_SAMPLE_MS;
    if (ps->next_sample <= now)
      ps->next_sample = now + CONTROL_SAMPLE_MS;
  }
  if (ps->last_table && now - ps->last_table > HISTORY_IDLE_MS &&
      !table_is_read (ps)) {
    spare_history_drop (ps->target->history);
    ps->last_table = 0;
  }
  until = ps->next_sample;
  if (ps->paused_until > now)
    until = min_u64 (until, ps->paused_until);
  if (jobs_tell (&ps->jobs, now))
    until = min_u64 (until, now + JOB_TELL_MS);
  return min_u64 (until, finish_waits (ps, now)) - now;
}

static void
serve_once (struct peers *ps)
{
  const bool paused = clock_now_ms () < ps->paused_until;
  struct pollfd *fds = ps->pollfds;
  unsigned n = 0, count;
  int timeout = tick (ps);
  struct peer *p;
  uint64_t woken;

  fds[n++] = (struct pollfd) { .fd = ps->jobs.wake_fd, .events = POLLIN };
  for (unsigned door = 0; door < NR_DOORS; door++)
    fds[n++] = (struct pollfd) {
      .fd = paused ? -1 : ps->listen_fd[door], .events = POLLIN
    };
  for (p = ps->list; p; p = p->next)
    fds[n++] = (struct pollfd) { .fd = p->fd, .events = events_of (p) };
  if (poll (fds, n, ps->again ? 0 : timeout) <= 0 && !ps->again)
    return;
  ps->again = false;

  if (fds[0].revents && read (ps->jobs.wake_fd, &woken, sizeof woken) > 0) {
    finish_jobs (ps);
    jobs_start (&ps->jobs);
  }
  for (p = ps->list, count = 1 + NR_DOORS; p; p = p->next, count++)
    if (p->fd != -1 && (fds[count].revents || p->again))
      handle_peer (ps, p, fds[count].revents);
  for (unsigned door = 0; door < NR_DOORS; door++)
    if (fds[1 + door].revents)
      accept_peer (ps, door);
  free_closed_peers (ps);
}

/* Half of the files that may be open is for clients and the disk. */
static unsigned
most_peers (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) == 0 &&
      limit.rlim_cur / 2 < MAX_PEERS)
    return limit.rlim_cur / 2;
  return MAX_PEERS;
}

int
peers_init (struct peers *ps, int control_fd, int status_fd,
            struct control_target *target)
{
  const unsigned most = most_peers ();

  ps->target = ps->jobs.target = target;
  ps->listen_fd[DOOR_CONTROL] = control_fd;
  ps->listen_fd[DOOR_STATUS] = status_fd;
  ps->next_sample = target->started_ms + CONTROL_SAMPLE_MS;
  ps->max[DOOR_STATUS] = status_fd == -1 ? 0
    : min_u64 (most / 4, MAX_STATUS_PEERS);
  ps->max[DOOR_CONTROL] = most - ps->max[DOOR_STATUS];
  ps->pollfds = calloc (1 + NR_DOORS + most, sizeof *ps->pollfds);
  if (ps->pollfds == NULL)
    return ENOMEM;
  ps->jobs.wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  return ps->jobs.wake_fd == -1 ? errno : 0;
}

void
peers_free (struct peers *ps)
{
  if (ps->jobs.wake_fd != -1)
    close (ps->jobs.wake_fd);
  free (ps->pollfds);
}

void
peers_serve (struct peers *ps)
{
  struct peer *p;

  while (!atomic_load (&ps->stopping))
    serve_once (ps);

  /* Peers that wait for a reply are told, as far as it can be done at
   * once.
   */
  jobs_stop (&ps->jobs);
  finish_jobs (ps);
  finish_waits (ps, UINT64_MAX);
  while (ps->jobs.list)
    job_abandon (ps->jobs.list);
  for (p = ps->list; p; p = p->next) {
    p->job = NULL;
    if (p->fd != -1)
      close_peer (ps, p);
  }
  free_closed_peers (ps);
}

void
peers_news (struct peers *ps)
{
  const uint64_t one = 1;

  while (write (ps->jobs.wake_fd, &one, sizeof one) == -1 && errno == EINTR)
    ;
}

void
peers_tell_to_stop (struct peers *ps)
{
  atomic_store (&ps->stopping, true);
  peers_news (ps);
}
