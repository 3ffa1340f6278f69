/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask-all.h"
#include "exit-status.h"
#include "known.h"
#include "process.h"
#include "refusal.h"
#include "reply.h"
#include "rundir.h"
#include "servers.h"
#include "text.h"
#include "units.h"

/* What the server says, as the line of it ends. */
static bool
print_answer (const struct known *k, const json_t *reply)
{
  struct reader r = { .root = reply };
  const char *health = get_string (&r, "health");
  const uint64_t size = get_uint (&r, "main.size");
  const uint64_t remapped = get_uint (&r, "sectors.remapped");
  const uint64_t lost = get_uint (&r, "sectors.lost");

  if (r.bad)
    return false;
  printf ("%-20s %8ld  ", k->title, k->pid);
  print_text (stdout, health);
  printf ("%*s %10s  %" PRIu64 " remapped, %" PRIu64 " LOST%s%s\n",
          strlen (health) < 9 ? (int) (9 - strlen (health)) : 0, "",
          show_bytes (size).s, remapped, lost,
          json_is_true (json_object_get (reply, "read_only"))
          ? ", read-only" : "",
          json_is_true (json_object_get (reply, "stopping"))
          ? ", stopping" : "");
  return true;
}

static void
print_listed (const struct known *k, const json_t *reply)
{
  if (reply && print_answer (k, reply))
    return;
  printf ("%-20s %8ld  ", k->title, k->pid);
  if (k->refused) {
    fputs ("not started: ", stdout);
    print_text (stdout, k->refused);
    putchar ('\n');
  }
  else
    puts (k->pid ? "no answer" : "not running: 'stop' removes its files");
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
listed_json (const struct known *k, json_t *reply)
{
  return json_pack ("{s:s,s:I,s:b,s:s,s:o,s:o,s:o,s:o,s:o}",
                    "name", k->title, "pid", (json_int_t) k->pid,
                    "running", k->pid != 0, "control", k->control,
                    "nbd", text_or_null (k->nbd),
                    "health", value_or_null (reply, "health"),
                    "read_only", value_or_null (reply, "read_only"),
                    "stopping", value_or_null (reply, "stopping"),
                    "refused", text_or_null (k->refused));
}

/* Leaves them alone if a server of that name was created meanwhile. */
static bool
remove_files (const char *name)
{
  static const char *const suffixes[] = { "ctl", "nbd", "pid", "failed" };
  const int lock = lock_run_directory (false);

  if (lock == -1)
    return false;
  for (size_t i = 0; server_pid (name) == 0 &&
       i < sizeof suffixes / sizeof suffixes[0]; i++) {
    char *path = server_path (name, suffixes[i]);

    if (path)
      unlink (path);
    free (path);
  }
  close (lock);
  return true;
}

/* False: there is none. */
static bool
forget_refusal (const char *name)
{
  char *why = refusal_read (name);

  if (why == NULL)
    return false;
  free (why);
  refusal_forget (name);
  error ("the server '%s' was not running; the note about why it did not "
         "start is forgotten", name);
  return true;
}

int
command_list (struct ctl *ctl, int argc, char **argv)
{
  json_t *all = json_array ();
  struct known *known;
  struct asked *a;
  size_t n;

  if (next_option (ctl, argc, argv, NULL) == '?' ||
      !count_arguments (ctl, argc, 0, 0) || run_directory (false) == NULL) {
    json_decref (all);
    return STATUS_USAGE;
  }
  n = known_servers (&known);
  a = allocate (n, sizeof *a);
  for (size_t i = 0; i < n; i++)
    a[i].path = known[i].control;
  ask_all (a, n, "status", ctl->timeout);
  for (size_t i = 0; i < n; i++)
    if (ctl->json)
      json_array_append_new (all, listed_json (&known[i], a[i].reply));
    else
      print_listed (&known[i], a[i].reply);
  if (ctl->json)
    print_json (all);
  else if (n == 0)
    printf ("no servers\n");
  ask_all_free (a, n);
  free (a);
  known_free (known, n);
  json_decref (all);
  return STATUS_DONE;
}

int
command_stop (struct ctl *ctl, int argc, char **argv)
{
  const char *name;
  char *path;
  long pid;
  int err;

  if (next_option (ctl, argc, argv, NULL) == '?' ||
      !count_arguments (ctl, argc, ctl->name ? 0 : 1, ctl->name ? 0 : 1))
    return STATUS_USAGE;
  name = ctl->name ? ctl->name : argv[optind];
  path = server_path (name, "pid");
  if (path == NULL)
    return STATUS_USAGE;
  if (access (path, F_OK) == -1 && forget_refusal (name)) {
    free (path);
    return STATUS_NO_SERVER;
  }
  if (access (path, F_OK) == -1) {
    error ("there is no server '%s' (no file %s)", name, path);
    free (path);
    return STATUS_NO_SERVER;
  }
  free (path);
  pid = server_pid (name);
  if (pid == 0) {
    if (!remove_files (name))
      return STATUS_REFUSED;
    error ("the server '%s' was not running any more; its files are removed",
           name);
    return STATUS_NO_SERVER;
  }
  err = server_end (pid, name);
  if (err) {
    error ("the server '%s' (process %ld) did not end: %s", name, pid,
           strerror (err));
    return STATUS_REFUSED;
  }
  printf ("%s stopped\n", name);
  return remove_files (name) ? STATUS_DONE : STATUS_REFUSED;
}
