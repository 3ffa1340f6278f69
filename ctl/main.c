/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * remapctl: shows and steers servers with the remap filter.  The list of its
 * commands.
 */

#include <config.h>

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "spare/check.h"
#include "spare/info.h"
#include "spare/make.h"
#include "spare/relabel.h"
#include "backup.h"
#include "create/create.h"
#include "events.h"
#include "exit-status.h"
#include "grow.h"
#include "import.h"
#include "options.h"
#include "picture/picture.h"
#include "ranges.h"
#include "requests.h"
#include "rescue/rescue.h"
#include "servers.h"
#include "status/status.h"
#include "stop.h"
#include "table/table.h"
#include "text.h"

static const struct command commands[] = {
  { "status", command_status,
    "[--json|--prometheus|--dm] [--all] [--check] [--output=FILE]\n"
    "            [--watch[=SECONDS]]",
    "counters and health",
    .example = "remapctl -n backup status --watch=5" },
  { "table", command_table,
    "[--json|--csv|--mapfile|--badblocks] [--states=LIST]\n"
    "           [--block-size=N] [--spare=PATH [--spare-offset=SIZE]]\n"
    "           [START [COUNT]]",
    "every sector that isn't on the disk itself",
    .example = "remapctl -n backup table --badblocks --block-size=4096 "
    ">lost.blocks" },
  { "map", command_map,
    "[--png=FILE] [--svg=FILE] [--rows=N]\n"
    "         [--spare=PATH [--spare-offset=SIZE]]",
    "a picture of the disk",
    .example = "remapctl -n backup map --png=disk.png" },
  { "events", command_events, "[--follow] [SINCE]",
    "what has happened, and what happens",
    .example = "remapctl -n backup events --follow" },
  { "remap", command_remap, "[--dry-run] [--yes] START [COUNT]",
    "moves sectors to the spare",
    .example = "remapctl -n backup remap 2048 8" },
  { "verify", command_verify, "[--check] START [COUNT]",
    "reads sectors where they are now",
    .example = "remapctl -n backup verify --check 0 204800" },
  { "unmap", command_unmap, "[--dry-run] [--yes] START [COUNT]",
    "gives sectors back to the disk",
    .example = "remapctl -n backup unmap --dry-run 2048 8" },
  { "retry", command_retry, "[START [COUNT]]", "reads LOST sectors again",
    .example = "remapctl -n backup retry" },
  { "forget-lost", command_forget_lost,
    "[--dry-run] [--yes] START [COUNT]",
    "declares LOST sectors to be zeroes",
    .example = "remapctl -n backup forget-lost 2048 8" },
  { "import", command_import,
    "--as=lost|remap [--dry-run] [--offset=SIZE] [--block-size=N]\n"
    "            [--format=FORMAT] [--device=NAME] FILE",
    "takes over what other programs found to be bad",
    .example = "dmesg | remapctl -n backup import --as=remap --device=sdb -" },
  { "set_auto_remap", command_set_auto_remap, "0|1",
    "switches automatic remapping",
    .example = "remapctl -n backup set_auto_remap 0" },
  { "grow", command_grow, "SIZE | --spare=PATH [--spare-offset=SIZE] SIZE",
    "enlarges the spare, of a server or offline",
    .example = "remapctl -n backup grow 8G" },
  { "backup", command_backup, "[--spare=PATH [--spare-offset=SIZE]] FILE",
    "a copy of the spare, while it is in use or offline",
    .example = "remapctl -n backup backup /srv/copy.spare", .no_json = true },
  { "rescue", command_rescue,
    "status [--watch|--wait] | copy [--wait] [START [COUNT]]\n"
    "            | pause | resume\n"
    "            | finish [--fill=zero|marker] [--verify] [--give-up --yes]\n"
    "            | abandon [--yes] SPARE | new-main SPARE",
    "moves the disk to a copy while it is in use",
    .example = "remapctl -n backup rescue status --watch" },
  { "clear_stats", command_clear_stats, "", "sets event counters to zero",
    .example = "remapctl -n backup clear_stats" },
  { "sync", command_sync, "", "makes everything durable",
    .example = "remapctl -n backup sync" },
  { "background", command_background, "hold|release [NAME]",
    "holds up work that nobody waits for, for ten minutes",
    .example = "remapctl -n backup background hold thermometer" },
  { "ping", command_ping, "", "is the server there?",
    .example = "remapctl -n backup ping" },
  { "info", command_info, "[--spare-offset=SIZE] SPARE",
    "what a spare is, offline",
    .example = "remapctl info disk.spare" },
  { "check", command_check, "[--spare-offset=SIZE] SPARE",
    "is a spare sound? 0 sound, 1 damaged but readable, 2 unusable",
    .example = "remapctl check disk.spare", .no_json = true },
  { "format", command_format,
    "[--force] [--spare-offset=SIZE] SPARE main-size=SIZE\n"
    "            [size=SIZE] [label=TEXT]",
    "makes a new spare, offline",
    .example = "remapctl format disk.spare main-size=4T "
    "label=5000c500a1b2c3d4", .no_json = true },
  { "relabel", command_relabel, "[--spare-offset=SIZE] SPARE LABEL",
    "gives a spare to a copy of its disk, offline",
    .example = "remapctl relabel disk.spare 5000c500a1b2c3d4",
    .no_json = true },
  { "create", command_create,
    "[--dry-run] [--unit] [--read-only|--for-copying]\n"
    "            main_dev=PATH spare_dev=PATH [main_start=N]\n"
    "            [spare_start=N] [spare_total=N] [dm_name=NAME]\n"
    "            [logfile=PATH] [listen=ADDR:PORT] [spare_same_disk=yes]\n"
    "            [status_group=GROUP] [new-spare=yes] [spare-older=yes]\n"
    "            [-- NBDKIT-ARGUMENT...]",
    "starts a server",
    .example = "remapctl create dm_name=backup main_dev=/dev/sdb "
    "spare_dev=/srv/sdb.spare", .no_json = true },
  { "list", command_list, "", "the servers of this user",
    .example = "remapctl list" },
  { "stop", command_stop, "[--force] NAME",
    "ends one that create has started",
    .example = "remapctl stop backup", .no_json = true },
  { 0 }
};

/* dm-remap writes set_auto_remap, users of a shell write set-auto-remap. */
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
  struct ctl ctl = {
    .commands = commands, .socket = getenv ("REMAP_CONTROL"),
  };
  const char *name;

  setlocale (LC_CTYPE, "");
  /* A server that goes away makes a call fail, and doesn't end remapctl. */
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
  for (size_t i = 0; commands[i].name; i++)
    if (same_name (commands[i].name, name)) {
      ctl.command = commands[i].name;
      return finish_output (commands[i].run (&ctl, argc, argv));
    }
  error ("there is no command '%s' (see remapctl --help)", name);
  return STATUS_USAGE;
}
