/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/numbers.h"
#include "ctl/text.h"
#include "options.h"

#define MAX_SECONDS 31536000            /* a year */

enum { CONFIG = 256, GATHER, GRACE, HELP, HOOK_TIMEOUT, HOT, INTERVAL, LISTEN,
       QUIET, REMINDER, SERVER, SETTLE, STATE, TEST, TOKEN, VERSION_ };

static const struct option long_options[] = {
  { "config", required_argument, NULL, CONFIG },
  { "gather", required_argument, NULL, GATHER },
  { "grace", required_argument, NULL, GRACE },
  { "help", no_argument, NULL, HELP },
  { "hook-timeout", required_argument, NULL, HOOK_TIMEOUT },
  { "hot", required_argument, NULL, HOT },
  { "interval", required_argument, NULL, INTERVAL },
  { "listen", required_argument, NULL, LISTEN },
  { "quiet", required_argument, NULL, QUIET },
  { "reminder", required_argument, NULL, REMINDER },
  { "server", required_argument, NULL, SERVER },
  { "settle", required_argument, NULL, SETTLE },
  { "state", required_argument, NULL, STATE },
  { "test", no_argument, NULL, TEST },
  { "token", required_argument, NULL, TOKEN },
  { "version", no_argument, NULL, VERSION_ },
  { 0 }
};

static const char help[] =
"remap-monitor [OPTION...]\n"
"\n"
"Watches servers with the remap filter at their status sockets, and tells\n"
"the programs of /etc/nbdkit-remap/events.d what is wrong.\n"
"\n"
"  --server=NAME|SOCKET    a server that should be there; may be repeated\n"
"  --config=DIR            has events.d, and NAME.conf of servers that should\n"
"                          be there\n"
"  --state=DIR             where the history is kept\n"
"  --listen=ADDR:PORT|SOCKET  shows pages and metrics there\n"
"  --token=FILE            what whoever looks must know\n"
"  --hot=DEGREES           background work waits then (50; 0: never)\n"
"  --test                  sends a test message to each program, and ends\n"
"\n"
"Seconds:\n"
"  --interval=N            between looks at a server (10)\n"
"  --gather=N              what happens in this time is one message (3)\n"
"  --quiet=N               between messages about one server (300)\n"
"  --grace=N               a server may be away for so long (15)\n"
"  --settle=N              before it is said that all is well again (60)\n"
"  --reminder=N            between reminders (86400)\n"
"  --hook-timeout=N        a program is ended after this (30)\n"
"\n"
"remap-monitor(1) has more.\n";

static const char *
default_state (void)
{
  const char *systemd = getenv ("STATE_DIRECTORY");

  return systemd && *systemd ? systemd : STATEDIR;
}

/* Where the value of an option that is a number of seconds goes; NULL: it is
 * none.
 */
static unsigned *
seconds_of (struct settings *s, int c)
{
  switch (c) {
  case GATHER: return &s->gather;
  case GRACE: return &s->grace;
  case HOOK_TIMEOUT: return &s->hook_timeout;
  case INTERVAL: return &s->interval;
  case QUIET: return &s->quiet;
  case REMINDER: return &s->reminder;
  case SETTLE: return &s->settle;
  default: return NULL;
  }
}

static bool
set_seconds (unsigned *seconds, const char *name, const char *value)
{
  uint64_t n;

  if (!parse_number (value, &n) || n > MAX_SECONDS) {
    error ("--%s=%s: a number of seconds is wanted, at most %d", name, value,
           MAX_SECONDS);
    return false;
  }
  *seconds = n;
  return true;
}

static bool
set_degrees (struct settings *s, const char *value)
{
  uint64_t n;

  if (!parse_number (value, &n) || n > 150) {
    error ("--hot=%s: degrees Celsius are wanted, at most 150", value);
    return false;
  }
  s->hot = n;
  return true;
}

/* One option; false: the program ends with *STATUS. */
static bool
take (struct settings *s, int c, int i, int *status)
{
  unsigned *seconds = seconds_of (s, c);

  *status = 2;
  if (seconds)
    return set_seconds (seconds, long_options[i].name, optarg);
  switch (c) {
  case HOT:
    return set_degrees (s, optarg);
  case CONFIG:
    s->config = optarg;
    return true;
  case LISTEN:
    s->listen = optarg;
    return true;
  case TOKEN:
    s->token = optarg;
    return true;
  case SERVER:
    s->servers[s->nr_servers++] = optarg;
    return true;
  case STATE:
    s->state = optarg;
    return true;
  case TEST:
    s->test = true;
    return true;
  case HELP:
  case VERSION_:
    fputs (c == HELP ? help : "remap-monitor " PACKAGE_VERSION "\n", stdout);
    *status = finish_output (0);
    return false;
  default:                              /* getopt has said what is wrong */
    return false;
  }
}

bool
options_parse (struct settings *s, int argc, char **argv, int *status)
{
  int c, i = 0;

  *s = (struct settings) {
    .state = default_state (), .config = CONFIGDIR, .gather = 3, .quiet = 300,
    .grace = 15, .settle = 60, .reminder = 86400, .interval = 10,
    .hook_timeout = 30, .hot = 50,
  };
  s->servers = allocate (argc, sizeof *s->servers);
  *status = 2;
  while ((c = getopt_long (argc, argv, "", long_options, &i)) != -1)
    if (!take (s, c, i, status))
      return false;
  if (optind < argc) {
    error ("'%s': only options are understood, see --help", argv[optind]);
    return false;
  }
  if (s->token && !s->listen) {
    error ("--token: is of no use without --listen");
    return false;
  }
  if (s->interval == 0 || s->hook_timeout == 0) {
    error ("--%s=0: at least 1", s->interval ? "hook-timeout" : "interval");
    return false;
  }
  return true;
}
