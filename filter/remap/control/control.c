/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Start and end of the two sockets, and of the thread that serves them.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/announce.h"
#include "host/refused.h"
#include "base/clock.h"
#include "control/background.h"
#include "control/control.h"
#include "control/peers.h"
#include "control/socket.h"
#include "control/status.h"
#include "thread.h"

struct control {
  struct control_socket socket[NR_DOORS];
  struct control_target target;
  struct background background;
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

static void
close_sockets (struct control *c)
{
  for (unsigned i = 0; i < NR_DOORS; i++)
    control_socket_close (&c->socket[i]);
}

static void __attribute__ ((destructor))
remove_at_exit (void)
{
  if (to_remove && remover == getpid ()) {
    announce_end (&to_remove->announcement);
    close_sockets (to_remove);
  }
}

static void *
serve (void *arg)
{
  struct control *c = arg;

  peers_serve (&c->peers);
  return NULL;
}

static int
open_sockets (struct control *c, const struct control_places *places,
              struct message *message)
{
  int err = 0;

  if (places->control)
    err = control_socket_open (&c->socket[DOOR_CONTROL], "remap-control",
                               places->control, false, CONTROL_NO_GROUP,
                               message);
  if (err == 0 && places->status)
    err = control_socket_open (&c->socket[DOOR_STATUS], "remap-status",
                               places->status, true, places->group, message);
  return err;
}

int
control_open (struct control **control, const struct control_places *places,
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
  c->socket[DOOR_CONTROL].fd = c->socket[DOOR_STATUS].fd = -1;
  if (pthread_atfork (NULL, after_fork_in_parent, NULL) == 0)
    remover = getpid ();
  err = open_sockets (c, places, message);
  if (err) {
    close_sockets (c);
    free (c);
    return err;
  }
  background_init (&c->background);
  *control = to_remove = c;
  return 0;
}

int
control_start (struct control *c, const struct control_target *target,
               struct message *message)
{
  const char *path;
  int err = ENOMEM;

  c->target = *target;
  c->target.background = &c->background;
  c->target.history = spare_history_new (target->spare, target->map);
  if (c->target.history)
    err = control_target_init (&c->target);
  if (err == 0)
    err = peers_init (&c->peers, c->socket[DOOR_CONTROL].fd,
                      c->socket[DOOR_STATUS].fd, &c->target);
  if (err == 0)
    err = thread_start (&c->thread, serve, c);
  c->thread_runs = err == 0;
  if (err == 0) {
    path = c->socket[DOOR_CONTROL].fd != -1
      ? c->socket[DOOR_CONTROL].path : c->socket[DOOR_STATUS].path;
    announce (&c->announcement, path);
    refused_forget (path);
  }
  else
    message_set (message, "remap: the control socket can't be served: %s",
                 strerror (err));
  return err;
}

bool
control_background_held (struct control *c)
{
  return background_held (&c->background, clock_now_ms ());
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
  close_sockets (c);
  background_destroy (&c->background);
  free (c);
}
