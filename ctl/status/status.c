/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ask-all.h"
#include "check.h"
#include "client.h"
#include "exit-status.h"
#include "known.h"
#include "numbers.h"
#include "outfile.h"
#include "reply.h"
#include "rundir.h"
#include "status/dm.h"
#include "status/human.h"
#include "status/parse.h"
#include "status/prometheus.h"
#include "status/screen.h"
#include "status/status.h"
#include "text.h"

struct status_options {
  enum { TEXT, PROMETHEUS, DM } format;
  bool all;
  bool check;
  const char *output;           /* a file; NULL: stdout */
  unsigned watch;               /* seconds; 0: once */
};

/* A server, and what it says. */
struct shown {
  const char *title;            /* not owned */
  const char *refused;          /* why it didn't start; NULL */
  struct asked asked;
  struct status st;             /* if HAS_STATUS */
  bool has_status;
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
  struct connection *c = client_open (ctl, status);
  json_t *json;

  if (c == NULL)
    return NULL;
  json = client_request (c, status, "status");
  connection_close (c);
  return json;
}

static int
show_one (const struct ctl *ctl, const struct status_options *o)
{
  struct scraped s = { .server = name_of (ctl) };
  struct status st;
  int status;

  s.json = ask_status (ctl, &status);
  if (s.json == NULL)
    return status;
  if (!status_parse (&st, json_incref (s.json)))
    status = STATUS_NO_SERVER;
  else {
    if (ctl->json)
      print_json (s.json);
    else if (o->format == PROMETHEUS)
      status_print_prometheus (stdout, &s, 1);
    else if (o->format == DM)
      status_print_dm (&st);
    else if (o->watch && isatty (STDOUT_FILENO))
      screen_show (&st, o->watch);
    else
      status_print_text (&st, NULL);
    if (o->check)
      status = check_health (st.health);
    status_free (&st);
  }
  json_decref (s.json);
  return status;
}

/* One JSON object, a member for each server; null: it doesn't answer. */
static void
print_all_json (const struct shown *v, size_t n)
{
  json_t *all = json_object ();

  for (size_t i = 0; i < n; i++)
    json_object_set_new (all, v[i].title, v[i].has_status
                         ? json_incref (v[i].asked.reply) : json_null ());
  print_json (all);
  json_decref (all);
}

static void
print_all_prometheus (const struct shown *v, size_t n)
{
  struct scraped *s = allocate (n, sizeof *s);

  for (size_t i = 0; i < n; i++)
    s[i] = (struct scraped) {
      .server = v[i].title,
      .json = v[i].has_status ? v[i].asked.reply : NULL,
    };
  status_print_prometheus (stdout, s, n);
  free (s);
}

static void
print_absent (const struct shown *s)
{
  print_text (stdout, s->title);
  fputs (s->refused ? ": not started: " : ": no answer: ", stdout);
  print_text (stdout, s->refused ? s->refused : s->asked.why
              ? s->asked.why : "it can't be understood");
  putchar ('\n');
}

static void
print_all_text (const struct shown *v, size_t n, bool dm)
{
  if (n == 0 && !dm)
    puts ("no servers");
  for (size_t i = 0; i < n; i++) {
    if (i > 0 && !dm)
      putchar ('\n');
    if (!v[i].has_status)
      print_absent (&v[i]);
    else if (dm) {
      /* dmsetup status shows several devices so. */
      print_text (stdout, v[i].title);
      printf (": ");
      status_print_dm (&v[i].st);
    }
    else
      status_print_text (&v[i].st, v[i].title);
  }
}

static void
show_screen (const struct shown *v, size_t n, unsigned seconds)
{
  struct screen_server *s = allocate (n, sizeof *s);

  for (size_t i = 0; i < n; i++)
    s[i] = (struct screen_server) {
      .title = v[i].title, .st = v[i].has_status ? &v[i].st : NULL,
      .why = v[i].refused ? v[i].refused : v[i].asked.why
        ? v[i].asked.why : "it can't be understood",
    };
  screen_show_all (s, n, seconds);
  free (s);
}

/* Asks all of them at once. */
static struct shown *
ask_known (const struct ctl *ctl, const struct known *known, size_t n)
{
  struct shown *v = allocate (n, sizeof *v);
  struct asked *a = allocate (n, sizeof *a);

  for (size_t i = 0; i < n; i++)
    a[i].path = known[i].control;
  ask_all (a, n, "status", ctl->timeout);
  for (size_t i = 0; i < n; i++) {
    v[i].title = known[i].title;
    v[i].refused = known[i].refused;
    v[i].asked = a[i];
    v[i].has_status = a[i].reply &&
      status_parse (&v[i].st, json_incref (a[i].reply));
  }
  free (a);
  return v;
}

static int
show_known (const struct ctl *ctl, const struct status_options *o,
            const struct known *known, size_t n)
{
  struct shown *v = ask_known (ctl, known, n);
  int status = STATUS_DONE;

  if (ctl->json)
    print_all_json (v, n);
  else if (o->format == PROMETHEUS)
    print_all_prometheus (v, n);
  else if (o->watch && isatty (STDOUT_FILENO) && o->format == TEXT)
    show_screen (v, n, o->watch);
  else
    print_all_text (v, n, o->format == DM);
  for (size_t i = 0; i < n; i++) {
    if (!v[i].has_status)
      status = STATUS_NO_SERVER;
    else if (o->check)
      status = check_worse (status, check_health (v[i].st.health));
    if (v[i].has_status)
      status_free (&v[i].st);
    ask_all_free (&v[i].asked, 1);
  }
  free (v);
  /* A server that is down is something that a scraper is told. */
  return o->format == PROMETHEUS && !ctl->json && !o->check ? STATUS_DONE
    : status;
}

static int
show_all (const struct ctl *ctl, const struct status_options *o)
{
  struct known *known;
  int status;
  size_t n;

  if (run_directory (false) == NULL)
    return STATUS_USAGE;
  n = known_servers (&known);
  status = show_known (ctl, o, known, n);
  known_free (known, n);
  return status;
}

/* One server, for a file that a scraper reads: as with --all. */
static int
show_scraped (const struct ctl *ctl, const struct status_options *o)
{
  struct known one = { .title = copy_text (name_of (ctl)) };
  int status = STATUS_USAGE;

  one.control = ctl->name ? server_path (ctl->name, "ctl")
    : copy_text (one.title);
  if (one.control)
    status = show_known (ctl, o, &one, 1);
  free (one.title);
  free (one.control);
  return status;
}

static int
show (const struct ctl *ctl, const struct status_options *o)
{
  if (o->all)
    return show_all (ctl, o);
  return o->output && o->format == PROMETHEUS && !ctl->json && *name_of (ctl)
    ? show_scraped (ctl, o) : show_one (ctl, o);
}

/* Into a file, which is replaced whole, or stays as it was. */
static int
show_in_file (const struct ctl *ctl, const struct status_options *o)
{
  struct outfile out;
  bool complete;
  int status;

  if (!outfile_begin (&out, o->output))
    return STATUS_REFUSED;
  status = show (ctl, o);
  complete = o->all || status == STATUS_DONE || status == STATUS_DEGRADED ||
    status == STATUS_CRITICAL;
  if (!outfile_end (&out, complete) && complete)
    return STATUS_REFUSED;
  return status;
}

/* Shows the status until the user interrupts it, or the server has gone; with
 * --all it goes on.  A terminal shows only the newest; elsewhere one follows
 * the other.
 */
static int
watch (const struct ctl *ctl, const struct status_options *o)
{
  int status;

  for (;;) {
    status = show (ctl, o);
    if (!ctl->json && o->format == TEXT && !isatty (STDOUT_FILENO))
      putchar ('\n');
    if (o->all && status != STATUS_USAGE)
      status = STATUS_DONE;
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
  enum { TO_PROMETHEUS = FIRST_OPTION, TO_DM, ALL, CHECK, OUTPUT, WATCH };
  static const struct option own[] = {
    { "prometheus", no_argument, NULL, TO_PROMETHEUS },
    { "dm", no_argument, NULL, TO_DM },
    { "all", no_argument, NULL, ALL },
    { "check", no_argument, NULL, CHECK },
    { "output", required_argument, NULL, OUTPUT },
    { "watch", optional_argument, NULL, WATCH }, { 0 }
  };
  struct status_options o = { 0 };
  int c;

  while ((c = next_option (ctl, argc, argv, own)) != -1)
    switch (c) {
    case TO_PROMETHEUS: o.format = PROMETHEUS; break;
    case TO_DM: o.format = DM; break;
    case ALL: o.all = true; break;
    case CHECK: o.check = true; break;
    case OUTPUT: o.output = optarg; break;
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
  if (o.watch && (o.check || o.output)) {
    error ("status: --watch goes on and on: it can't be combined with "
           "--%s", o.check ? "check" : "output");
    return STATUS_USAGE;
  }
  if (!o.all)
    client_guess (ctl);
  else if (run_directory (false) != NULL && !can_list_servers ())
    return STATUS_NO_SERVER;
  return o.watch ? watch (ctl, &o) : o.output ? show_in_file (ctl, &o)
    : show (ctl, &o);
}
