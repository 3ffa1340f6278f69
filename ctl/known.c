/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "host/announce.h"
#include "host/refused.h"
#include "known.h"
#include "process.h"
#include "refusal.h"
#include "rundir.h"
#include "text.h"

static void
look_at_named (struct known *k, const char *name)
{
  k->title = copy_text (name);
  k->control = server_path (name, "ctl");
  k->nbd = server_path (name, "nbd");
  k->pid = server_pid (name);
  k->refused = k->pid == 0 ? refusal_read (name) : NULL;
}

static bool
is_listed (const struct known *v, size_t n, const struct announced *a)
{
  for (size_t i = 0; i < n; i++)
    if (v[i].pid == a->pid && strcmp (v[i].control, a->control) == 0)
      return true;
  return false;
}

/* Is it one of those that V has already, running or named? */
static bool
has_control (const struct known *v, size_t n, const char *control)
{
  for (size_t i = 0; i < n; i++)
    if (strcmp (v[i].control, control) == 0)
      return true;
  return false;
}

/* Those by hand that were refused; returns how many servers V has then. */
static size_t
add_refused (struct known *v, size_t n, const struct names *files)
{
  struct refused r;

  for (size_t i = 0; i < files->n; i++)
    if (refused_read (files->v[i], &r) && !has_control (v, n, r.control)) {
      v[n].title = copy_text (r.control);
      v[n].control = copy_text (r.control);
      v[n++].refused = copy_text (r.why.text);
    }
  return n;
}

static bool
has_title (const struct known *v, size_t n, const char *title)
{
  for (size_t i = 0; i < n; i++)
    if (strcmp (v[i].title, title) == 0)
      return true;
  return false;
}

/* Those of others; returns how many servers V has then. */
static size_t
add_others (struct known *v, size_t n, const struct names *sockets)
{
  char *name;
  long pid;

  for (size_t i = 0; i < sockets->n; i++) {
    name = name_of_socket (sockets->v[i]);
    if (name == NULL || !listener_pid (sockets->v[i], &pid)) {
      free (name);
      continue;
    }
    if (has_title (v, n, name)) {
      free (name);
      name = copy_text (sockets->v[i]);
    }
    v[n].title = name;
    v[n].control = copy_text (sockets->v[i]);
    v[n++].pid = pid;
  }
  return n;
}

static int
compare_titles (const void *a, const void *b)
{
  const struct known *k = a, *l = b;

  return strcmp (k->title, l->title);
}

size_t
known_servers (struct known **v)
{
  struct names names = server_names (), files = server_announcements ();
  struct names sockets = server_sockets_of_others ();
  struct names refusals = server_refusals ();
  struct announced a;
  size_t n = 0;

  *v = allocate (names.n + files.n + refusals.n + sockets.n, sizeof **v);
  for (; n < names.n; n++)
    look_at_named (&(*v)[n], names.v[n]);
  for (size_t i = 0; i < files.n; i++)
    if (announced_read (files.v[i], &a) && !is_listed (*v, n, &a)) {
      (*v)[n].title = copy_text (a.control);
      (*v)[n].control = copy_text (a.control);
      (*v)[n++].pid = a.pid;
    }
  n = add_refused (*v, n, &refusals);
  qsort (*v + names.n, n - names.n, sizeof **v, compare_titles);
  n = add_others (*v, n, &sockets);
  names_free (&names);
  names_free (&files);
  names_free (&refusals);
  names_free (&sockets);
  return n;
}

void
known_free (struct known *v, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    free (v[i].title);
    free (v[i].control);
    free (v[i].nbd);
    free (v[i].refused);
  }
  free (v);
}
