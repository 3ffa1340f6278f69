/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * remapctl: shows and steers servers with the remap filter.  Options and
 * the list of commands; remapctl.h says what the other parts are.
 */

#include <config.h>

#include <inttypes.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "remapctl.h"

static const struct command commands[] = {
  { "status", command_status,
    "[--json|--prometheus|--dm] [--all] [--watch[=SECONDS]]",
    "counters and health" },
  { "table", command_table,
    "[--json|--csv|--mapfile|--badblocks] [--states=LIST]\n"
    "           [--block-size=N] [--spare=PATH [--spare-offset=SIZE]]\n"
    "           [START [COUNT]]",
    "every sector that isn't on the disk itself" },
  { "map", command_map,
    "[--png=FILE] [--svg=FILE] [--rows=N]\n"
    "         [--spare=PATH [--spare-offset=SIZE]]",
    "a picture of the disk" },
  { "remap", command_remap, "START [COUNT]", "moves sectors to the spare" },
  { "verify", command_verify, "START [COUNT]",
    "reads sectors where they are now" },
  { "unmap", command_unmap, "START [COUNT]",
    "gives sectors back to the disk" },
  { "retry", command_retry, "[START [COUNT]]", "reads LOST sectors again" },
  { "forget-lost", command_forget_lost, "START [COUNT]",
    "declares LOST sectors to be zeroes" },
  { "import", command_import,
    "--as=lost|remap [--block-size=N] FILE",
    "marks the bad areas of a ddrescue mapfile or badblocks list" },
  { "set_auto_remap", command_set_auto_remap, "0|1",
    "switches automatic remapping" },
  { "grow", command_grow, "SIZE | --spare=PATH [--spare-offset=SIZE] SIZE",
    "enlarges the spare, of a server or offline" },
  { "clear_stats", command_clear_stats, "", "sets event counters to zero" },
  { "sync", command_sync, "", "makes everything durable" },
  { "ping", command_ping, "", "is the server there?" },
  { "info", command_info, "[--spare-offset=SIZE] SPARE",
    "what a spare is, offline" },
  { "check", command_check, "[--spare-offset=SIZE] SPARE",
    "is a spare sound? 0 sound, 1 damaged but readable, 2 unusable" },
  { "format", command_format,
    "[--force] [--spare-offset=SIZE] SPARE main-size=SIZE\n"
    "            [size=SIZE] [label=TEXT]",
    "makes a new spare, offline" },
  { "relabel", command_relabel, "[--spare-offset=SIZE] SPARE LABEL",
    "gives a spare to a copy of its disk, offline" },
  { "create", command_create,
    "[--dry-run|--unit] main_dev=PATH spare_dev=PATH [main_start=N]\n"
    "            [spare_start=N] [spare_total=N] [dm_name=NAME]\n"
    "            [logfile=PATH] [listen=ADDR:PORT] [spare_same_disk=yes]",
    "starts a server" },
  { "list", command_list, "", "the servers that create has started" },
  { "stop", command_stop, "NAME", "ends one of them" },
};

#define NR_COMMANDS (sizeof commands / sizeof commands[0])

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
usage (void)
{
  printf ("Usage: remapctl [-s SOCKET | -n NAME] COMMAND [ARGUMENT...]\n\n"
          "Commands (remapctl COMMAND --help says more):\n");
  for (size_t i = 0; i < NR_COMMANDS; i++)
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
usage_of (const char *name)
{
  for (size_t i = 0; i < NR_COMMANDS; i++)
    if (strcmp (commands[i].name, name) == 0)
      printf ("Usage: remapctl %s %s\n\n%s; see remapctl(1).\n",
              commands[i].name, commands[i].arguments, commands[i].what);
}

/* Those that are the same everywhere.  False: not one of them. */
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
    if (ctl->command)
      usage_of (ctl->command);
    else
      usage ();
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
    /* Before the command: stop at it.  A command's own come anywhere. */
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
  return c == 't' ? '?' : c;
}

bool
count_arguments (const struct ctl *ctl, int argc, int min, int max)
{
  const int n = argc - optind;

  if (n >= min && (max < 0 || n <= max))
    return true;
  error ("%s: too %s arguments (see remapctl %s --help)", ctl->command,
         n < min ? "few" : "many", ctl->command);
  return false;
}

/* dm-remap has set_auto_remap, and a shell's user set-auto-remap. */
static bool
same_name (const char *a, const char *b)
{
  for (; *a && *b; a++, b++)
    if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b))
      return false;
  return *a == *b;
}

int
main (int argc, char **argv)
{
  struct ctl ctl = { .socket = getenv ("REMAP_CONTROL") };
  const char *name;

  setlocale (LC_CTYPE, "");
  /* A server that goes away is an error of a call. */
  signal (SIGPIPE, SIG_IGN);
  if (ctl.socket && *ctl.socket == '\0')
    ctl.socket = NULL;

  if (next_option (&ctl, argc, argv, NULL) == '?')
    return STATUS_USAGE;
  if (optind == argc) {
    error ("which command? (see remapctl --help)");
    return STATUS_USAGE;
  }
  argc -= optind;
  argv += optind;
  optind = 0;
  name = argv[0];
  for (size_t i = 0; i < NR_COMMANDS; i++)
    if (same_name (commands[i].name, name)) {
      ctl.command = commands[i].name;
      return finish_output (commands[i].run (&ctl, argc, argv));
    }
  error ("there is no command '%s' (see remapctl --help)", name);
  return STATUS_USAGE;
}
