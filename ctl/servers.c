/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask-all.h"
#include "exit-status.h"
#include "known.h"
#include "reply.h"
#include "rundir.h"
#include "servers.h"
#include "text.h"
#include "units.h"

static void
print_name (const struct known *k)
{
  if (k->pid <= 0)
    printf ("%-20s %8s  ", k->title, k->pid < 0 ? "?" : "-");
  else
    printf ("%-20s %8ld  ", k->title, k->pid);
}

/* What the server says, as the line of it ends. */
static bool
print_answer (const struct known *k, const json_t *reply,
              const json_t *clients)
{
  struct reader r = { .root = reply };
  const char *health = get_string (&r, "health");
  const uint64_t size = get_uint (&r, "main.size");
  const uint64_t remapped = get_uint (&r, "sectors.remapped");
  const uint64_t lost = get_uint (&r, "sectors.lost");

  if (r.bad)
    return false;
  print_name (k);
  print_text (stdout, health);
  printf ("%*s %10s  %" PRIu64 " remapped, %" PRIu64 " LOST%s%s\n",
          strlen (health) < 9 ? (int) (9 - strlen (health)) : 0, "",
          show_bytes (size).s, remapped, lost,
          json_is_true (json_object_get (reply, "read_only"))
          ? ", read-only" : "",
          json_is_true (json_object_get (clients, "stopping"))
          ? ", stopping" : "");
  return true;
}

static void
print_listed (const struct known *k, const json_t *reply,
              const json_t *clients)
{
  if (reply && print_answer (k, reply, clients))
    return;
  print_name (k);
  if (k->refused) {
    fputs ("not started: ", stdout);
    print_text (stdout, k->refused);
    putchar ('\n');
  }
  else
    puts (k->pid ? "no answer" : k->nbd
          ? "not running: 'stop' removes its files" : "not running");
}

static json_t *
text_or_null (const char *s)
{
  json_t *json = s ? json_string (s) : NULL;

  return json ? json : json_null ();
}

/* A value of a reply; null: there is no reply, or it lacks it. */
static json_t *
value_or_null (json_t *reply, const char *key)
{
  json_t *value = json_object_get (reply, key);

  return value ? json_incref (value) : json_null ();
}

static json_t *
listed_json (const struct known *k, json_t *reply, json_t *clients)
{
  return json_pack ("{s:s,s:o,s:b,s:s,s:o,s:o,s:o,s:o,s:o}",
                    "name", k->title, "pid",
                    k->pid < 0 ? json_null () : json_integer (k->pid),
                    "running", k->pid != 0, "control", k->control,
                    "nbd", text_or_null (k->nbd),
                    "health", value_or_null (reply, "health"),
                    "read_only", value_or_null (reply, "read_only"),
                    "stopping", value_or_null (clients, "stopping"),
                    "refused", text_or_null (k->refused));
}

/* Asks all, or only those that have answered BEFORE: the others would cost as
 * much time again.
 */
static struct asked *
ask_known (const struct known *known, size_t n, const char *line,
           unsigned timeout, const struct asked *before)
{
  struct asked *a = allocate (n, sizeof *a);

  for (size_t i = 0; i < n; i++)
    a[i].path = before && before[i].reply == NULL ? "" : known[i].control;
  ask_all (a, n, line, timeout);
  return a;
}

int
command_list (struct ctl *ctl, int argc, char **argv)
{
  json_t *all = json_array ();
  struct known *known;
  struct asked *a, *b;
  size_t n;

  if (next_option (ctl, argc, argv, NULL) == '?' ||
      !count_arguments (ctl, argc, 0, 0) || run_directory (false) == NULL) {
    json_decref (all);
    return STATUS_USAGE;
  }
  if (!can_list_servers ()) {
    json_decref (all);
    return STATUS_NO_SERVER;
  }
  n = known_servers (&known);
  a = ask_known (known, n, "status", ctl->timeout, NULL);
  b = ask_known (known, n, "clients", ctl->timeout, a);
  for (size_t i = 0; i < n; i++)
    if (ctl->json)
      json_array_append_new (all, listed_json (&known[i], a[i].reply,
                                               b[i].reply));
    else
      print_listed (&known[i], a[i].reply, b[i].reply);
  if (ctl->json)
    print_json (all);
  else if (n == 0)
    printf ("no servers\n");
  ask_all_free (a, n);
  ask_all_free (b, n);
  free (a);
  free (b);
  known_free (known, n);
  json_decref (all);
  return STATUS_DONE;
}
