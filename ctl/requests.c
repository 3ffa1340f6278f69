/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "client.h"
#include "exit-status.h"
#include "reply.h"
#include "requests.h"
#include "text.h"
#include "units.h"

/* A request without arguments.  TEXT is printed when it is done. */
static int
plain_request (struct ctl *ctl, int argc, char **argv, const char *line,
               const char *text)
{
  int status;
  json_t *reply;

  if (!only_arguments (ctl, argc, argv, 0, 0))
    return STATUS_USAGE;
  reply = ask_server (ctl, line, &status);
  if (reply != NULL)
    printf ("%s\n", text);
  json_decref (reply);
  return status;
}

int
command_background (struct ctl *ctl, int argc, char **argv)
{
  struct reader r = { 0 };
  const json_t *holders;
  const char *what, *name;
  char line[256];
  json_t *reply;
  int status;

  if (!only_arguments (ctl, argc, argv, 1, 2))
    return STATUS_USAGE;
  what = argv[optind];
  name = optind + 1 < argc ? argv[optind + 1] : "";
  if (strcmp (what, "hold") != 0 && strcmp (what, "release") != 0) {
    error ("background: '%s' must be hold or release", what);
    return STATUS_USAGE;
  }
  if (strlen (name) > 100 || name[strcspn (name, " \t\n")] != '\0') {
    error ("background: '%s' can't be a name: one word is", name);
    return STATUS_USAGE;
  }
  snprintf (line, sizeof line, "background %s%s%s", what, *name ? " " : "",
            name);
  reply = ask_server (ctl, line, &status);
  if (reply == NULL)
    return status;
  r.root = reply;
  holders = get_array (&r, "holders");
  if (!r.bad && json_array_size (holders) == 0)
    printf ("background work isn't held\n");
  for (size_t i = 0; i < json_array_size (holders); i++) {
    struct reader hr = array_reader (holders, i);
    const char *holder = get_string (&hr, "holder");
    const uint64_t seconds = get_uint (&hr, "seconds");

    r.bad |= hr.bad;
    printf ("background work is held by ");
    print_text (stdout, holder);
    printf (" for another %s\n", show_seconds (seconds).s);
  }
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
}

int
command_clear_stats (struct ctl *ctl, int argc, char **argv)
{
  return plain_request (ctl, argc, argv, "clear_stats",
                        "the event counters are zero");
}

int
command_ping (struct ctl *ctl, int argc, char **argv)
{
  struct reader r = { 0 };
  const char *version;
  uint64_t uptime;
  json_t *reply;
  int status;

  if (!only_arguments (ctl, argc, argv, 0, 0))
    return STATUS_USAGE;
  client_guess (ctl);
  reply = ask_server (ctl, "ping", &status);
  if (reply == NULL)
    return status;
  r.root = reply;
  version = get_string (&r, "version");
  uptime = get_uint (&r, "uptime");
  if (!r.bad) {
    printf ("the server answers: version ");
    print_text (stdout, version);
    printf (", up for %s\n", show_seconds (uptime).s);
  }
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
}

int
command_set_auto_remap (struct ctl *ctl, int argc, char **argv)
{
  struct reader r = { 0 };
  const char *value;
  char line[32];
  json_t *reply;
  bool on;
  int status;

  if (!only_arguments (ctl, argc, argv, 1, 1))
    return STATUS_USAGE;
  value = argv[optind];
  if (strcmp (value, "0") != 0 && strcmp (value, "1") != 0) {
    error ("set_auto_remap: '%s' must be 0 or 1", value);
    return STATUS_USAGE;
  }
  snprintf (line, sizeof line, "set_auto_remap %s", value);
  reply = ask_server (ctl, line, &status);
  if (reply == NULL)
    return status;
  r.root = reply;
  on = get_bool (&r, "auto_remap");
  if (!r.bad)
    printf ("automatic remapping is %s, until the server restarts\n",
            on ? "on" : "off");
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
}

int
command_sync (struct ctl *ctl, int argc, char **argv)
{
  return plain_request (ctl, argc, argv, "sync",
                        "disk, spare and map are on stable storage");
}
