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

#include "client.h"
#include "exit-status.h"
#include "process.h"
#include "reply.h"
#include "rundir.h"
#include "servers.h"
#include "text.h"
#include "units.h"

/* A server's line in the list.  False: it doesn't answer. */
static bool
print_listed (const char *name, long pid)
{
  char *path = server_path (name, "ctl");
  struct client *c = NULL;
  struct reader r = { 0 };
  json_t *reply;
  int status;

  if (path == NULL || pid == 0 || client_try (path, CLIENT_PATIENCE, &c) != 0) {
    free (path);
    return false;
  }
  free (path);
  reply = client_request (c, &status, "status");
  client_close (c);
  r.root = reply;
  if (reply != NULL) {
    const char *health = get_string (&r, "health");
    const uint64_t size = get_uint (&r, "main.size");
    const uint64_t remapped = get_uint (&r, "sectors.remapped");
    const uint64_t lost = get_uint (&r, "sectors.lost");

    if (!r.bad) {
      printf ("%-20s %8ld  ", name, pid);
      print_text (stdout, health);
      printf ("%*s %10s  %" PRIu64 " remapped, %" PRIu64 " LOST\n",
              strlen (health) < 9 ? (int) (9 - strlen (health)) : 0, "",
              show_bytes (size).s, remapped, lost);
    }
    json_decref (reply);
  }
  return reply != NULL && !r.bad;
}

/* Leaves them alone if a server of that name was created meanwhile. */
static bool
remove_files (const char *name)
{
  static const char *const suffixes[] = { "ctl", "nbd", "pid" };
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

int
command_list (struct ctl *ctl, int argc, char **argv)
{
  json_t *all = json_array ();
  char **names;
  size_t n;

  if (next_option (ctl, argc, argv, NULL) == '?' ||
      !count_arguments (ctl, argc, 0, 0) || run_directory (false) == NULL) {
    json_decref (all);
    return STATUS_USAGE;
  }
  n = server_names (&names);
  for (size_t i = 0; i < n; i++) {
    const long pid = server_pid (names[i]);

    if (ctl->json) {
      char *ctl_path = server_path (names[i], "ctl");
      char *nbd_path = server_path (names[i], "nbd");

      json_array_append_new (all, json_pack
                             ("{s:s,s:I,s:b,s:s,s:s}", "name", names[i],
                              "pid", (json_int_t) pid, "running", pid != 0,
                              "control", ctl_path, "nbd", nbd_path));
      free (ctl_path);
      free (nbd_path);
    }
    else if (!print_listed (names[i], pid))
      printf ("%-20s %8ld  %s\n", names[i], pid,
              pid ? "no answer" : "not running: 'stop' removes its files");
    free (names[i]);
  }
  free (names);
  if (ctl->json)
    print_json (all);
  else if (n == 0)
    printf ("no servers\n");
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
