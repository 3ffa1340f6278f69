/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The programs that are connected to the control socket or the status socket.
 * One thread serves them all; everything here belongs to it, except where it
 * says so.
 */

#ifndef REMAP_CONTROL_PEERS_H
#define REMAP_CONTROL_PEERS_H

#include <stdatomic.h>

#include "control/jobs.h"
#include "control/target.h"

struct peer;
struct pollfd;

/* The sockets at which programs come in. */
enum { DOOR_CONTROL, DOOR_STATUS, NR_DOORS };

struct peers {
  struct control_target *target;        /* not owned */
  int listen_fd[NR_DOORS];              /* not owned; -1: there is none */
  struct control_jobs jobs;
  atomic_bool stopping;                 /* set by any thread */

  struct peer *list;
  unsigned number[NR_DOORS], max[NR_DOORS];
  unsigned waiting;                     /* for events: no thread each */
  struct pollfd *pollfds;               /* 1 + NR_DOORS + MAX of both */
  bool again;                           /* lines are left that have come */

  /* clock_now_ms */
  uint64_t paused_until;                /* nobody new is accepted */
  uint64_t next_sample;
  uint64_t last_table;                  /* 0: none */
};

/* Before there is a thread.  PS is all zeroes, but for a wake_fd of -1;
 * TARGET's times are filled in.  Returns 0 or an errno; peers_free is for
 * either case.
 */
extern int peers_init (struct peers *ps, int control_fd, int status_fd,
                       struct control_target *target);
extern void peers_free (struct peers *ps);

/* The thread: serves until it is told to stop, then closes all
 * connections.
 */
extern void peers_serve (struct peers *ps);

/* There are new events: from any thread, which this doesn't hold up. */
extern void peers_news (struct peers *ps);

/* Tells it, from any thread. */
extern void peers_tell_to_stop (struct peers *ps);

#endif /* REMAP_CONTROL_PEERS_H */
