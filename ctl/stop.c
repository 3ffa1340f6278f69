/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * nbdkit that was told to end answers its clients until they have gone.  So
 * whoever stops it is told for whom that waits.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/announce.h"
#include "host/refused.h"
#include "ask-all.h"
#include "exit-status.h"
#include "process.h"
#include "refusal.h"
#include "reply.h"
#include "rundir.h"
#include "stop.h"
#include "text.h"
#include "units.h"

#define STOP_SECONDS 60
#define FLUSH_SECONDS 60

/* Clients that are named. */
#define MAX_NAMED 4

/* Looking at them removes those whose server has gone. */
static void
look_at_announcements (void)
{
  struct names files = server_announcements ();
  struct announced a;

  for (size_t i = 0; i < files.n; i++)
    announced_read (files.v[i], &a);
  names_free (&files);
}

/* Leaves them alone if a server of that name was created meanwhile. */
static bool
remove_files (const char *name)
{
  static const char *const suffixes[] = { "ctl", "nbd", "pid", "failed" };
  const int lock = lock_run_directory (name, false);
  char *status_path;

  if (lock == -1)
    return false;
  /* The others say where it is: so it goes first. */
  status_path = public_path (name);
  if (status_path && server_pid (name) == 0)
    unlink (status_path);
  free (status_path);
  for (size_t i = 0; server_pid (name) == 0 &&
       i < sizeof suffixes / sizeof suffixes[0]; i++) {
    char *path = server_path (name, suffixes[i]);

    if (path)
      unlink (path);
    free (path);
  }
  refusal_forget (name);
  look_at_announcements ();
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

/* A client as text, in new memory. */
static char *
client_text (const json_t *client)
{
  const json_t *pid = json_object_get (client, "pid");
  const char *address =
    json_string_value (json_object_get (client, "address"));
  char *name, *text;

  if (!json_is_integer (pid))
    return copy_text (address ? address : "one that isn't known");
  name = process_name (json_integer_value (pid));
  text = *name ? text_of ("process %lld (%s)",
                          (long long) json_integer_value (pid), name)
    : text_of ("process %lld", (long long) json_integer_value (pid));
  free (name);
  return text;
}

/* Who uses the server, in new memory; NULL: nobody, or it doesn't say. */
static char *
users_text (const char *control)
{
  struct asked a = { .path = control };
  struct reader r = { 0 };
  const json_t *list;
  char *text = NULL, *one, *more;
  uint64_t n;

  ask_all (&a, 1, "clients", 0);
  r.root = a.reply;
  n = a.reply ? get_uint (&r, "count") : 0;
  list = a.reply ? get_array (&r, "clients") : NULL;
  if (n > 0 && !r.bad)
    text = text_of ("%s:", show_count (n, "client").s);
  for (size_t i = 0; text && i < json_array_size (list) && i < MAX_NAMED; i++) {
    one = client_text (json_array_get (list, i));
    more = text_of ("%s%s %s", text, i ? "," : "", one);
    free (one);
    free (text);
    text = more;
  }
  if (n > MAX_NAMED && text) {
    more = text_of ("%s, ...", text);
    free (text);
    text = more;
  }
  ask_all_free (&a, 1);
  return text;
}

/* Makes everything durable.  NULL, or why it isn't, in new memory. */
static char *
flush (const char *control)
{
  struct asked a = { .path = control };
  char *why;

  ask_all (&a, 1, "sync", FLUSH_SECONDS);
  why = a.why ? copy_text (a.why) : NULL;
  ask_all_free (&a, 1);
  return why;
}

/* Ends a server that has clients.  What they were told is durable is so anyway;
 * what they weren't is made durable, as far as the server has answered it.
 */
static int
end_by_force (const struct held_process *p, const char *name,
              const char *control)
{
  char *why = flush (control);
  int err = 0;

  /* It may have ended by itself meanwhile. */
  if (process_await (p, 0) != 0) {
    if (why) {
      error ("the server '%s' can't be made to write everything to stable "
             "storage, and goes on: %s", name, why);
      free (why);
      return STATUS_REFUSED;
    }
    err = process_signal (p, SIGKILL);
    if (err == 0)
      err = process_await (p, STOP_SECONDS);
  }
  free (why);
  if (err)
    error ("the server '%s' did not end: %s", name, strerror (err));
  return err ? STATUS_REFUSED : STATUS_DONE;
}

static int
end (const struct ctl *ctl, const struct held_process *p, const char *name,
     const char *control, bool force)
{
  char *users = users_text (control);
  int err = process_signal (p, SIGTERM), status = STATUS_REFUSED;

  if (err)
    error ("the server '%s' can't be told to end: %s", name, strerror (err));
  else if (users && force)
    status = end_by_force (p, name, control);
  else {
    if (users) {
      printf ("%s: waits for %s\n", name, users);
      fflush (stdout);
    }
    if (process_await (p, ctl->timeout ? ctl->timeout : STOP_SECONDS) == 0)
      status = STATUS_DONE;
    else
      error ("the server '%s' takes no new clients and ends when the last one "
             "has gone; it still waits%s%s (stop --force ends it now)", name,
             users ? " for " : "", users ? users : "");
  }
  free (users);
  return status;
}

/* Nothing runs: what is left of it goes. */
static int
stop_what_is_left (const char *name, const char *pid_file)
{
  if (access (pid_file, F_OK) == -1) {
    if (!forget_refusal (name))
      error ("there is no server '%s' (no file %s): remapctl list shows "
             "which there are; one that was started by hand is ended with "
             "kill, and its process number", name, pid_file);
  }
  else if (!remove_files (name))
    return STATUS_REFUSED;
  else
    error ("the server '%s' was not running any more; its files are removed",
           name);
  return STATUS_NO_SERVER;
}

/* One that was started by hand, which only its own process number ends. */
static int
stop_by_hand (const char *control)
{
  struct refused r;

  if (refused_find (control, &r)) {
    refused_forget (control);
    error ("the server at %s was not running; the note about why it did not "
           "start is forgotten", control);
    return STATUS_NO_SERVER;
  }
  error ("the server at %s was not started by create: 'list' says which "
         "process it is, if it runs", control);
  return STATUS_USAGE;
}

static int
stop (const struct ctl *ctl, const char *name, bool force)
{
  char *pid_file = server_path (name, "pid"), *control;
  struct held_process p;
  int status, err;
  long pid;

  if (pid_file == NULL)
    return STATUS_USAGE;
  control = server_path (name, "ctl");
  pid = server_pid (name);
  if (pid == 0)
    status = stop_what_is_left (name, pid_file);
  else if ((err = process_hold (&p, pid, name)) != 0) {
    error ("the server '%s' (process %ld): %s", name, pid, strerror (err));
    status = STATUS_REFUSED;
  }
  else {
    status = end (ctl, &p, name, control, force);
    process_release (&p);
    if (status == STATUS_DONE) {
      printf ("%s stopped\n", name);
      if (!remove_files (name))
        status = STATUS_REFUSED;
    }
  }
  free (control);
  free (pid_file);
  return status;
}

int
command_stop (struct ctl *ctl, int argc, char **argv)
{
  enum { FORCE = FIRST_OPTION };
  static const struct option own[] = {
    { "force", no_argument, NULL, FORCE }, { 0 }
  };
  bool force = false;
  int c;

  while ((c = next_option (ctl, argc, argv, own)) != -1)
    if (c == '?')
      return STATUS_USAGE;
    else
      force = true;
  if (!count_arguments (ctl, argc, ctl->name ? 0 : 1, ctl->name ? 0 : 1))
    return STATUS_USAGE;
  if (ctl->name == NULL && argv[optind][0] == '/')
    return stop_by_hand (argv[optind]);
  return stop (ctl, ctl->name ? ctl->name : argv[optind], force);
}
