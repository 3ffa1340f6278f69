/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sector.h"
#include "exit-status.h"
#include "numbers.h"
#include "options.h"
#include "text.h"
#include "units.h"

static const struct option shared_options[] = {
  { "socket", required_argument, NULL, 's' },
  { "name", required_argument, NULL, 'n' },
  { "json", no_argument, NULL, 'j' },
  { "timeout", required_argument, NULL, 't' },
  { "help", no_argument, NULL, 'h' },
  { "version", no_argument, NULL, 'V' },
};

#define NR_SHARED (sizeof shared_options / sizeof shared_options[0])

static void
print_usage (const struct command *commands)
{
  printf ("Usage: remapctl [-s SOCKET | -n NAME] COMMAND [ARGUMENT...]\n\n"
          "Commands (remapctl COMMAND --help says more):\n");
  for (size_t i = 0; commands[i].name; i++)
    printf ("  %-15s %s\n", commands[i].name, commands[i].what);
  printf ("\nOptions:\n"
          "  -s, --socket=SOCKET   the server's control socket "
          "($REMAP_CONTROL)\n"
          "  -n, --name=NAME       a server that 'create' has started\n"
          "      --json            the server's reply as it is\n"
          "      --timeout=SECONDS how long to wait for a reply\n"
          "\nExit status: 0 done, 1 the server says no, 2 usage, "
          "3 no server.\nSee remapctl(1).\n");
}

static void
print_help (const struct ctl *ctl)
{
  const struct command *c = ctl->commands;

  if (ctl->command == NULL) {
    print_usage (c);
    return;
  }
  for (; c->name; c++)
    if (strcmp (c->name, ctl->command) == 0)
      printf ("Usage: remapctl %s %s\n\n%s; see remapctl(1).\n\n"
              "Example:\n  %s\n", c->name, c->arguments, c->what, c->example);
}

/* Has the command, once it is known, a --json? */
static bool
may_be_json (const struct ctl *ctl)
{
  const struct command *c = ctl->commands;

  while (ctl->command && c->name && strcmp (c->name, ctl->command) != 0)
    c++;
  if (ctl->command == NULL || !c->no_json)
    return true;
  error ("%s: there is no --json of this command", ctl->command);
  return false;
}

/* Acts on a shared option; OK is false after a message.  False: C is none. */
static bool
shared_option (struct ctl *ctl, int c, bool *ok)
{
  uint64_t n;

  *ok = true;
  switch (c) {
  case 's':
    ctl->socket = optarg;
    ctl->name = NULL;
    return true;
  case 'n':
    ctl->name = optarg;
    ctl->socket = NULL;
    return true;
  case 'j':
    ctl->json = true;
    return true;
  case 't':
    if (!parse_number (optarg, &n) || n > 1000000) {
      error ("--timeout=%s: must be a number of seconds", optarg);
      *ok = false;
    }
    else
      ctl->timeout = n;
    return true;
  case 'h':
    print_help (ctl);
    exit (finish_output (STATUS_DONE));
  case 'V':
    printf ("remapctl %s\n", PACKAGE_VERSION);
    exit (finish_output (STATUS_DONE));
  }
  return false;
}

int
next_option (struct ctl *ctl, int argc, char **argv, const struct option *own)
{
  struct option all[NR_SHARED + 16] = { 0 };
  size_t n = 0;
  bool ok;
  int c, before;

  memcpy (all, shared_options, sizeof shared_options);
  for (; own && own[n].name; n++)
    all[NR_SHARED + n] = own[n];

  opterr = 0;
  do {
    before = optind ? optind : 1;
    /* Before the command options end at it; after it they stand anywhere. */
    c = getopt_long (argc, argv, ctl->command ? ":s:n:h" : "+:s:n:hV", all,
                     NULL);
    if (c == '?' || c == ':') {
      error ("%s%s%s: %s (see --help)", ctl->command ? ctl->command : "",
             ctl->command ? ": " : "",
             argv[optind > before ? optind - 1 : before],
             c == ':' ? "needs an argument" : "unknown option");
      return '?';
    }
  } while (c != -1 && shared_option (ctl, c, &ok) && ok);
  if (c == -1 && ctl->json && !may_be_json (ctl))
    return '?';
  return c == 't' ? '?' : c;
}

bool
count_arguments (const struct ctl *ctl, int argc, int min, int max)
{
  const int n = argc - optind;

  if (n >= min && n <= max)
    return true;
  error ("%s: too %s arguments (see remapctl %s --help)", ctl->command,
         n < min ? "few" : "many", ctl->command);
  return false;
}

bool
only_arguments (struct ctl *ctl, int argc, char **argv, int min, int max)
{
  return next_option (ctl, argc, argv, NULL) == -1 &&
         count_arguments (ctl, argc, min, max);
}

bool
parse_offset (const struct ctl *ctl, const char *s, uint64_t *offset)
{
  if (parse_bytes (s, offset))
    return true;
  error ("%s: --spare-offset=%s: must be a size", ctl->command, s);
  return false;
}

bool
parse_range (const struct ctl *ctl, int argc, char **argv, uint64_t *start,
             uint64_t *count)
{
  *start = *count = 0;
  if (optind < argc && !parse_number (argv[optind], start)) {
    error ("%s: '%s' is not a sector number (decimal or 0x)", ctl->command,
           argv[optind]);
    return false;
  }
  if (optind + 1 < argc &&
      (!parse_number (argv[optind + 1], count) || *count == 0)) {
    error ("%s: '%s' is not a number of sectors (decimal or 0x, not 0)",
           ctl->command, argv[optind + 1]);
    return false;
  }
  return true;
}

bool
find_range_end (uint64_t start, uint64_t count, uint64_t main_size,
                uint64_t *end)
{
  const uint64_t sectors = bytes_to_sectors (main_size);

  if (start >= sectors || count > sectors - start) {
    error ("sectors from %" PRIu64 " on: the disk has %s", start,
           show_count (sectors, "sector").s);
    return false;
  }
  *end = count ? start + count : sectors;
  return true;
}
