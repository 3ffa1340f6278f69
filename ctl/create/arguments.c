/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/sector.h"
#include "create/arguments.h"
#include "numbers.h"
#include "rundir.h"
#include "text.h"

static bool
wrong (const char *argument, const char *what)
{
  error ("create: %s: %s", argument, what);
  return false;
}

/* ADDR:PORT, [ADDR]:PORT. */
static bool
parse_listen (struct create *c, char *argument, char *value)
{
  char *colon = strrchr (value, ':');
  uint64_t port;

  if (colon == NULL || colon == value ||
      !parse_number (colon + 1, &port) || port < 1 || port > 65535)
    return wrong (argument, "must be ADDR:PORT, as in 127.0.0.1:10809");
  *colon = '\0';
  if (value[0] == '[' && colon[-1] == ']') {
    colon[-1] = '\0';
    value++;
  }
  c->listen_address = value;
  c->listen_port = colon + 1;
  return true;
}

static bool
parse_sectors (const char *argument, const char *value, uint64_t *n)
{
  if (parse_number (value, n) && *n <= INT64_MAX >> SECTOR_SHIFT)
    return true;
  return wrong (argument, "must be a number of sectors of 512 bytes");
}

/* The value of KEY=VALUE, or NULL if it is another key. */
static char *
value_of (char *argument, const char *key)
{
  const size_t n = strlen (key);

  return strncmp (argument, key, n) == 0 && argument[n] == '='
    ? argument + n + 1 : NULL;
}

static bool
parse_argument (struct create *c, char *argument)
{
  const struct { const char *key; const char **text; } texts[] = {
    { "main_dev", &c->main_arg }, { "spare_dev", &c->spare_arg },
    { "logfile", &c->logfile_arg }, { "dm_name", &c->name },
    { "status_group", &c->status_group },
  };
  const struct { const char *key; uint64_t *n; } numbers[] = {
    { "main_start", &c->main_start }, { "spare_start", &c->spare_start },
    { "spare_total", &c->spare_total },
  };
  const struct { const char *key; bool *on; } switches[] = {
    { "spare_same_disk", &c->same_disk }, { "new-spare", &c->new_spare },
    { "spare-older", &c->older_spare },
  };
  char *value;

  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    if ((value = value_of (argument, texts[i].key)) != NULL) {
      *texts[i].text = value;
      return *value != '\0' || wrong (argument, "a value is needed");
    }
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    if ((value = value_of (argument, numbers[i].key)) != NULL) {
      c->has_total |= numbers[i].n == &c->spare_total;
      return parse_sectors (argument, value, numbers[i].n);
    }
  for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++)
    if ((value = value_of (argument, switches[i].key)) != NULL) {
      *switches[i].on = strcmp (value, "yes") == 0;
      return *switches[i].on || strcmp (value, "no") == 0 ||
             wrong (argument, "must be yes or no");
    }
  if ((value = value_of (argument, "listen")) != NULL)
    return parse_listen (c, argument, value);
  return wrong (argument, strchr (argument, '=') ? "there is no such key "
                "(see remapctl create --help)" : "is not key=value");
}

/* What list and stop rely on is create's, and nbdkit stays where it is. */
static bool
check_extra (const char *argument)
{
  static const char *const own[] = {
    "-f", "--foreground", "--no-fork", "-P", "--pidfile", "-U", "--unix", "-i",
    "--ipaddr", "-p", "--port", "-s", "--single", "--run", "--vsock",
    "remap-control=", "remap-status=",
  };
  size_t len;

  for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
    len = strlen (own[i]);
    if (strncmp (argument, own[i], len) == 0 &&
        (own[i][1] != '-' || argument[len] == '\0' || argument[len] == '='))
      return wrong (argument, "is create's own: it can't be given to nbdkit "
                    "(listen=ADDR:PORT says where it listens)");
  }
  return true;
}

bool
create_parse (struct create *c, int argc, char **argv)
{
  for (int i = 0; i < c->nr_extra; i++)
    if (!check_extra (c->extra[i]))
      return false;
  for (int i = optind; i < argc; i++)
    if (!parse_argument (c, argv[i]))
      return false;
  if (c->main_arg == NULL || c->spare_arg == NULL) {
    error ("create: %s=PATH is needed", c->main_arg ? "spare_dev"
           : "main_dev");
    return false;
  }
  c->control = server_path (c->name, "ctl");
  if (c->control == NULL)
    return false;
  c->status = public_path (c->name);
  c->pid = server_path (c->name, "pid");
  c->nbd = server_path (c->name, "nbd");
  return true;
}
