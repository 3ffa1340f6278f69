/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "events.h"
#include "exit-status.h"
#include "numbers.h"
#include "reply.h"
#include "text.h"
#include "units.h"

/* Health says its reasons in place of a text. */
static void
print_health (struct reader *r)
{
  const json_t *reasons = get_array (r, "reasons");

  print_text (stdout, get_string (r, "from"));
  printf (" -> ");
  print_text (stdout, get_string (r, "to"));
  for (size_t i = 0; i < json_array_size (reasons); i++) {
    const char *s = json_string_value (json_array_get (reasons, i));

    printf ("%s", i == 0 ? ": " : "; ");
    print_text (stdout, s ? s : "?");
  }
}

/* NUMBER TIME KIND TEXT */
static bool
print_event (struct reader *r)
{
  const uint64_t number = get_uint (r, "number"), t = get_uint (r, "time");
  const char *kind = get_string (r, "kind");

  if (r->bad)
    return false;
  printf ("%" PRIu64 " %s ", number, show_time (t).s);
  print_text (stdout, kind);
  printf (": ");
  if (strcmp (kind, "health") == 0)
    print_health (r);
  else
    print_text (stdout, get_string (r, "text"));
  putchar ('\n');
  return !r->bad;
}

static bool
print_events (json_t *reply, uint64_t *next)
{
  struct reader r = { .root = reply };
  const json_t *events = get_array (&r, "events");
  const uint64_t missed = get_uint (&r, "missed");

  *next = get_uint (&r, "next");
  if (r.bad)
    return false;
  if (missed > 0)
    printf ("(%" PRIu64 " events are missing here: the server keeps only the "
            "newest)\n", missed);
  for (size_t i = 0; i < json_array_size (events); i++) {
    struct reader er = array_reader (events, i);

    if (!print_event (&er))
      return false;
  }
  return true;
}

/* With --json each reply that says something is printed as it is. */
static bool
show (const struct ctl *ctl, json_t *reply, uint64_t *next)
{
  struct reader r = { .root = reply };

  if (!ctl->json)
    return print_events (reply, next);
  *next = get_uint (&r, "next");
  print_json (reply);
  return !r.bad;
}

/* All that there is; then, with FOLLOW, what comes, until the server has gone
 * or nobody reads any more.
 */
static int
ask_events (const struct ctl *ctl, uint64_t since, bool follow)
{
  struct connection *c;
  bool first = true;
  uint64_t before;
  json_t *reply;
  size_t n;
  int status;

  c = client_open (ctl, &status);
  if (c == NULL)
    return status;
  do {
    reply = client_request (c, &status, "events %" PRIu64 "%s", since,
                            follow ? " wait" : "");
    if (reply == NULL)
      break;
    before = since;
    n = json_array_size (json_object_get (reply, "events"));
    /* An empty reply ends the list, or says that nothing has happened. */
    if ((n > 0 || (first && !follow)) && !show (ctl, reply, &since))
      status = STATUS_NO_SERVER;
    first = false;
    if (status == STATUS_DONE && n > 0 && since == before) {
      error ("the server's reply can't be understood: the next events are "
             "the same");
      status = STATUS_NO_SERVER;
    }
    json_decref (reply);
    status = finish_output (status);
  } while (status == STATUS_DONE && (follow || n > 0));
  connection_close (c);
  return status;
}

int
command_events (struct ctl *ctl, int argc, char **argv)
{
  enum { FOLLOW = FIRST_OPTION };
  static const struct option own[] = {
    { "follow", no_argument, NULL, FOLLOW }, { 0 }
  };
  uint64_t since = 0;
  bool follow = false;
  int c;

  while ((c = next_option (ctl, argc, argv, own)) != -1) {
    if (c != FOLLOW)
      return STATUS_USAGE;
    follow = true;
  }
  if (!count_arguments (ctl, argc, 0, 1))
    return STATUS_USAGE;
  if (optind < argc && !parse_number (argv[optind], &since)) {
    error ("events: '%s' is not the number of an event", argv[optind]);
    return STATUS_USAGE;
  }
  if (follow && ctl->timeout > 0 && ctl->timeout <= 30) {
    error ("events: --timeout=%u is too short for --follow: the server "
           "answers after 30 seconds if nothing happens", ctl->timeout);
    return STATUS_USAGE;
  }
  client_guess (ctl);
  return ask_events (ctl, since, follow);
}
