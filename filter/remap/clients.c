/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include <nbdkit-filter.h>

#include "clients.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct client_note *list;        /* the newest first */

/* ADDRESS:PORT, or "" where a process is known, or nothing is. */
static void
look_at_peer (struct control_client *c)
{
  struct sockaddr_storage address;
  socklen_t len = sizeof address;
  char text[INET6_ADDRSTRLEN];
  union {
    struct sockaddr_storage *storage;
    struct sockaddr_in *v4;
    struct sockaddr_in6 *v6;
  } a = { .storage = &address };
  int64_t pid;

  if (nbdkit_peer_name ((struct sockaddr *) &address, &len) == -1)
    return;
  switch (address.ss_family) {
  case AF_UNIX:
    pid = nbdkit_peer_pid ();
    c->pid = pid > 0 ? pid : 0;
    break;
  case AF_INET:
    if (inet_ntop (AF_INET, &a.v4->sin_addr, text, sizeof text))
      snprintf (c->address, sizeof c->address, "%s:%u", text,
                ntohs (a.v4->sin_port));
    break;
  case AF_INET6:
    if (inet_ntop (AF_INET6, &a.v6->sin6_addr, text, sizeof text))
      snprintf (c->address, sizeof c->address, "[%s]:%u", text,
                ntohs (a.v6->sin6_port));
    break;
  }
}

void
clients_note (struct client_note *note)
{
  note->client.since = time (NULL);
  look_at_peer (&note->client);
  pthread_mutex_lock (&mutex);
  note->next = list;
  note->back = &list;
  if (list)
    list->back = &note->next;
  list = note;
  pthread_mutex_unlock (&mutex);
}

void
clients_forget (struct client_note *note)
{
  pthread_mutex_lock (&mutex);
  if (note->back) {
    *note->back = note->next;
    if (note->next)
      note->next->back = note->back;
    note->back = NULL;
  }
  pthread_mutex_unlock (&mutex);
}

unsigned
clients_list (struct control_client *v, unsigned max)
{
  unsigned n = 0;

  pthread_mutex_lock (&mutex);
  for (const struct client_note *c = list; c; c = c->next) {
    if (n < max)
      v[n] = c->client;
    n++;
  }
  pthread_mutex_unlock (&mutex);
  return n;
}
