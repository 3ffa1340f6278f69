/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "ask-all.h"
#include "connection.h"
#include "reply.h"
#include "text.h"

/* Connects and asks.  NULL: A says why not. */
static struct connection *
begin (struct asked *a, const char *line)
{
  struct connection *c = NULL;
  const int err = connection_open (a->path, CONNECTION_NEVER_WAITS, &c);

  if (err)
    a->why = text_of ("%s: %s", a->path, connection_why_not (err));
  else if (!connection_send (c, line, &a->why)) {
    connection_close (c);
    c = NULL;
  }
  return c;
}

/* Takes what has come; false: there is more to come. */
static bool
take (struct asked *a, struct connection *c)
{
  json_t *reply = connection_receive_some (c, &a->why);

  if (reply != NULL && !json_is_true (json_object_get (reply, "ok"))) {
    a->why = refusal_text (reply);
    json_decref (reply);
  }
  else
    a->reply = reply;
  return a->reply != NULL || a->why != NULL;
}

/* Waits for the next one of those that have a client.  False: there is no
 * such, or the time is over.
 */
static bool
await (struct pollfd *p, struct connection *const *c, size_t n, uint64_t end)
{
  bool any = false;
  uint64_t now = clock_now_ms ();
  int r;

  for (size_t i = 0; i < n; i++) {
    p[i] = (struct pollfd) { .fd = c[i] ? connection_fd (c[i]) : -1,
                             .events = POLLIN };
    any |= c[i] != NULL;
  }
  if (!any)
    return false;
  do {
    r = poll (p, n, now < end ? end - now : 0);
    now = clock_now_ms ();
  } while (r == -1 && errno == EINTR);
  return r > 0;
}

void
ask_all (struct asked *v, size_t n, const char *line, unsigned timeout)
{
  const uint64_t end = clock_now_ms () + UINT64_C (1000) *
    (timeout ? min_u64 (timeout, 1000000) : CONNECTION_PATIENCE);
  struct connection **c = allocate (n, sizeof *c);
  struct pollfd *p = allocate (n, sizeof *p);

  for (size_t i = 0; i < n; i++) {
    v[i].reply = NULL;
    v[i].why = NULL;
    c[i] = begin (&v[i], line);
  }
  while (await (p, c, n, end))
    for (size_t i = 0; i < n; i++)
      if (c[i] && p[i].revents && take (&v[i], c[i])) {
        connection_close (c[i]);
        c[i] = NULL;
      }
  for (size_t i = 0; i < n; i++)
    if (c[i]) {
      v[i].why = text_of ("%s: %s", v[i].path, connection_why_not (EAGAIN));
      connection_close (c[i]);
    }
  free (p);
  free (c);
}

void
ask_all_free (struct asked *v, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    json_decref (v[i].reply);
    free (v[i].why);
  }
}
