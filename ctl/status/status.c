/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "exit-status.h"
#include "numbers.h"
#include "reply.h"
#include "rundir.h"
#include "status/dm.h"
#include "status/human.h"
#include "status/parse.h"
#include "status/prometheus.h"
#include "status/status.h"
#include "text.h"

struct status_options {
  enum { TEXT, PROMETHEUS, DM } format;
  bool all;
  unsigned watch;               /* seconds; 0: once */
};

/* A scraper's name for the server. */
static const char *
name_of (const struct ctl *ctl)
{
  return ctl->name ? ctl->name : ctl->socket ? ctl->socket : "";
}

static json_t *
ask_status (const struct ctl *ctl, int *status)
{
  struct client *c = client_open (ctl, status);
  json_t *json;

  if (c == NULL)
    return NULL;
  json = client_request (c, status, "status");
  client_close (c);
  return json;
}

static int
print_status (const struct status_options *o, json_t *json,
              const char *title)
{
  struct status st;

  if (!status_parse (&st, json))
    return STATUS_NO_SERVER;
  if (o->format == DM) {
    if (title) {
      /* dmsetup status shows several devices so. */
      print_text (stdout, title);
      printf (": ");
    }
    status_print_dm (&st);
  }
  else
    status_print_text (&st, title);
  status_free (&st);
  return STATUS_DONE;
}

static int
show_one (const struct ctl *ctl, const struct status_options *o)
{
  struct scraped s = { .server = name_of (ctl) };
  int status;

  s.json = ask_status (ctl, &status);
  if (s.json == NULL)
    return status;
  if (ctl->json)
    print_json (s.json);
  else if (o->format == PROMETHEUS)
    status = status_print_prometheus (&s, 1) ? STATUS_DONE : STATUS_NO_SERVER;
  else
    return print_status (o, s.json, NULL);
  json_decref (s.json);
  return status;
}

/* One JSON object, a member for each server; null: it doesn't answer. */
static void
print_all_json (const struct scraped *v, size_t n)
{
  json_t *all = json_object ();

  for (size_t i = 0; i < n; i++)
    json_object_set_new (all, v[i].server,
                         v[i].json ? json_incref (v[i].json) : json_null ());
  print_json (all);
  json_decref (all);
}

static int
show_all (const struct ctl *ctl, const struct status_options *o)
{
  int status = STATUS_DONE, r;
  struct scraped *v;
  char **names;
  size_t n;

  if (run_directory (false) == NULL)
    return STATUS_USAGE;
  n = server_names (&names);
  v = allocate (n, sizeof *v);
  for (size_t i = 0; i < n; i++) {
    struct ctl one = *ctl;

    one.socket = NULL;
    one.name = v[i].server = names[i];
    if (one.timeout == 0)
      one.timeout = CLIENT_PATIENCE;
    v[i].json = ask_status (&one, &r);
    if (v[i].json == NULL)
      status = r;
  }
  if (ctl->json)
    print_all_json (v, n);
  else if (o->format == PROMETHEUS) {
    if (!status_print_prometheus (v, n))
      status = STATUS_NO_SERVER;
  }
  else
    for (size_t i = 0; i < n; i++) {
      if (i > 0 && o->format == TEXT)
        putchar ('\n');
      if (v[i].json == NULL)
        printf ("%s: no answer\n", names[i]);
      else if (print_status (o, json_incref (v[i].json), names[i]))
        status = STATUS_NO_SERVER;
    }
  for (size_t i = 0; i < n; i++) {
    json_decref (v[i].json);
    free (names[i]);
  }
  free (names);
  free (v);
  return status;
}

static int
show (const struct ctl *ctl, const struct status_options *o)
{
  return o->all ? show_all (ctl, o) : show_one (ctl, o);
}

/* Shows the status until the user interrupts it, or the server has gone.  A
 * terminal shows only the newest; elsewhere one follows the other.
 */
static int
watch (const struct ctl *ctl, const struct status_options *o)
{
  const bool redraw = isatty (STDOUT_FILENO) && !ctl->json;
  int status;

  for (;;) {
    if (redraw)
      printf ("\033[H\033[2J");
    status = show (ctl, o);
    if (redraw)
      printf ("\nevery %u s, Ctrl-C ends it\n", o->watch);
    else if (!ctl->json && o->format == TEXT)
      putchar ('\n');
    if (finish_output (status) != STATUS_DONE)
      return status ? status : STATUS_REFUSED;
    sleep (o->watch);
  }
}

static bool
parse_seconds (const char *s, unsigned *seconds)
{
  uint64_t n;

  if (parse_number (s, &n) && n > 0 && n <= 86400) {
    *seconds = n;
    return true;
  }
  error ("status: --watch %s: must be a number of seconds, 1 to 86400", s);
  return false;
}

int
command_status (struct ctl *ctl, int argc, char **argv)
{
  enum { TO_PROMETHEUS = FIRST_OPTION, TO_DM, ALL, WATCH };
  static const struct option own[] = {
    { "prometheus", no_argument, NULL, TO_PROMETHEUS },
    { "dm", no_argument, NULL, TO_DM },
    { "all", no_argument, NULL, ALL },
    { "watch", optional_argument, NULL, WATCH }, { 0 }
  };
  struct status_options o = { 0 };
  int c;

  while ((c = next_option (ctl, argc, argv, own)) != -1)
    switch (c) {
    case TO_PROMETHEUS: o.format = PROMETHEUS; break;
    case TO_DM: o.format = DM; break;
    case ALL: o.all = true; break;
    case WATCH:
      o.watch = 2;
      if (optarg && !parse_seconds (optarg, &o.watch))
        return STATUS_USAGE;
      break;
    default: return STATUS_USAGE;
    }
  /* In "--watch 5" getopt takes "5" for an argument. */
  if (o.watch && optind < argc) {
    if (!parse_seconds (argv[optind], &o.watch))
      return STATUS_USAGE;
    optind++;
  }
  if (!count_arguments (ctl, argc, 0, 0))
    return STATUS_USAGE;
  return o.watch ? watch (ctl, &o) : show (ctl, &o);
}
