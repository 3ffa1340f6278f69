/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Start and end of the control socket, and the thread that serves it.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/announce.h"
#include "control/control.h"
#include "control/peers.h"
#include "control/socket.h"
#include "control/status.h"
#include "thread.h"

struct control {
  struct control_socket socket;
  struct control_target target;
  struct peers peers;
  struct announcement announcement;
  pthread_t thread;
  bool thread_runs;
};

/* nbdkit that can't listen for clients exits, and tells no filter: then the
 * socket is removed by a destructor, which has no argument.  A parent whose
 * child goes on as the server exits as well, but has nothing to remove.
 */
static struct control *to_remove;
static pid_t remover;

static void
after_fork_in_parent (void)
{
  remover = 0;
}

static void __attribute__ ((destructor))
remove_at_exit (void)
{
  if (to_remove && remover == getpid ()) {
    announce_end (&to_remove->announcement);
    control_socket_close (&to_remove->socket);
  }
}

static void *
serve (void *arg)
{
  struct control *c = arg;

  peers_serve (&c->peers);
  return NULL;
}

int
control_open (struct control **control, const char *path,
              struct message *message)
{
  struct control *c = calloc (1, sizeof *c);
  int err;

  if (c == NULL) {
    message_set (message, "calloc: %s", strerror (ENOMEM));
    return ENOMEM;
  }
  c->peers.jobs.wake_fd = -1;
  c->announcement.fd = -1;
  if (pthread_atfork (NULL, after_fork_in_parent, NULL) == 0)
    remover = getpid ();
  err = control_socket_open (&c->socket, path, message);
  if (err) {
    free (c);
    return err;
  }
  *control = to_remove = c;
  return 0;
}

int
control_start (struct control *c, const struct control_target *target,
               struct message *message)
{
  int err = ENOMEM;

  c->target = *target;
  c->target.history = spare_history_new (target->spare, target->map);
  if (c->target.history)
    err = control_target_init (&c->target);
  if (err == 0)
    err = peers_init (&c->peers, c->socket.fd, &c->target);
  if (err == 0)
    err = thread_start (&c->thread, serve, c);
  c->thread_runs = err == 0;
  if (err == 0)
    announce (&c->announcement, c->socket.path);
  else
    message_set (message, "remap-control=%s: can't be served: %s",
                 c->socket.path, strerror (err));
  return err;
}

void
control_news (struct control *c)
{
  peers_news (&c->peers);
}

void
control_close (struct control *c)
{
  if (c->thread_runs) {
    peers_tell_to_stop (&c->peers);
    pthread_join (c->thread, NULL);
  }
  peers_free (&c->peers);
  spare_history_free (c->target.history);
  control_target_free (&c->target);
  to_remove = NULL;
  announce_end (&c->announcement);
  control_socket_close (&c->socket);
  free (c);
}
