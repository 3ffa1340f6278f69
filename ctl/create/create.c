/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "create/arguments.h"
#include "create/command.h"
#include "create/create.h"
#include "create/devices.h"
#include "create/fit.h"
#include "create/log.h"
#include "create/start.h"
#include "create/unit.h"
#include "process.h"
#include "refusal.h"
#include "rundir.h"
#include "text.h"
#include "units.h"

static void
print_sector_size (FILE *fp, const char *name, const struct target *t)
{
  if (t->physical)
    fprintf (fp, "%s %" PRIu32 " B\n", name, t->physical);
  else
    fprintf (fp, "%s any (a file)\n", name);
}

/* The block that dm-remap's wrapper prints. */
static void
print_parameters (const struct create *c, FILE *fp)
{
  fprintf (fp, "=== remapctl create parameters ===\n"
           "Main device:   %s\n"
           "Main start:    %" PRIu64 " sectors\n"
           "Spare device:  %s\n"
           "Spare start:   %" PRIu64 " sectors\n"
           "Spare total:   %" PRIu64 " sectors\n",
           c->main.path, c->main_start, c->spare.path, c->spare_start,
           c->spare_total);
  print_sector_size (fp, "Main phys size: ", &c->main);
  print_sector_size (fp, "Spare phys size:", &c->spare);
  fprintf (fp, "DM name:       %s\n"
           "Log file:      %s\n"
           "==================================\n", c->name, c->logfile);
  if (*c->adjusted)
    fputs (c->adjusted, fp);
  if (c->main.is_image && !c->same_disk)
    fprintf (fp, "Note: %s is a loop device: whether its file lies on the "
             "spare's disk is not looked at\n", c->main.path);
}

static void
print_uri (const struct create *c, FILE *fp)
{
  const bool v6 = c->listen_address && strchr (c->listen_address, ':');

  if (c->listen_address)
    fprintf (fp, "NBD:           nbd://%s%s%s:%s\n", v6 ? "[" : "",
             c->listen_address, v6 ? "]" : "", c->listen_port);
  else
    fprintf (fp, "NBD:           nbd+unix:///?socket=%s\n", c->nbd);
  fprintf (fp, "Control:       %s\n", c->control);
  if (c->for_copying)
    fprintf (fp, "Read-only; what can't be read is copied as zeroes.  Which "
             "sectors that were, for\nddrescue: remapctl -n %s table "
             "--mapfile\n", c->name);
}

static int
start (struct create *c)
{
  char *text = create_command_text (c);
  FILE *both[2] = { stdout, create_open_log (c) };
  int status = CREATE_FILES;

  if (both[1] == NULL)
    goto out;
  for (int i = 0; i < 2; i++) {
    print_parameters (c, both[i]);
    if (i == 1)
      fprintf (both[i], "At %s:\n", show_time (time (NULL)).s);
    fprintf (both[i], "Starting nbdkit...\n%s with: %s\n", c->name, text);
    fflush (both[i]);
  }
  status = create_start (c, both[1]);
  if (status == CREATE_DONE) {
    print_uri (c, stdout);
    for (int i = 0; i < 2; i++)
      fprintf (both[i], "Mapping created successfully via remapctl "
               "create.\n");
    if (*c->adjusted)
      status = CREATE_ADJUSTED;
  }
  fclose (both[1]);
 out:
  free (text);
  return status;
}

/* The unit says spare-create=no from the beginning: what is missing at its
 * start is then missed, and isn't made anew.  So the spare is made here, by the
 * server itself, which notes it in the state folder, too.
 */
static int
make_spare (struct create *c)
{
  struct create maker = *c;
  FILE *log;
  int status = CREATE_FILES;

  maker.argv = NULL;            /* its own */
  maker.argc = 0;
  maker.unit = false;
  maker.listen_address = maker.status_group = NULL;
  create_command (&maker);
  log = create_open_log (&maker);
  if (log != NULL) {
    status = create_start_once (&maker, log);
    fclose (log);
  }
  create_drop_command (&maker);
  c->spare_valid |= status == CREATE_DONE;
  return status;
}

static int
unit (struct create *c)
{
  int status;

  create_command (c);
  status = create_check_unit (c);
  if (status == 0 && !c->dry_run) {
    status = make_spare (c);
    create_command (c);
  }
  if (status)
    return status;
  create_print_unit (c, stdout);
  return *c->adjusted ? CREATE_ADJUSTED : CREATE_DONE;
}

static int
create (struct create *c)
{
  char *text;
  int status;

  /* Otherwise the error would be that its spare is in use. */
  if (server_pid (c->name) != 0)
    return create_name_taken (c);
  status = create_look (c);
  if (status == 0)
    status = create_fit (c);
  if (c->unit && c->spare_valid && !c->new_spare && !c->older_spare)
    c->dry_run = true;          /* nothing is to be made */
  if (status == 0)
    status = create_choose_log (c);
  if (status == 0)
    status = create_choose_state (c);
  if (status)
    return status;
  if (run_directory (!c->dry_run) == NULL)
    return CREATE_FILES;
  if (c->unit)
    return unit (c);
  create_command (c);
  if (!c->dry_run)
    return start (c);

  text = create_command_text (c);
  print_parameters (c, stdout);
  printf ("%s\n", text);
  free (text);
  return *c->adjusted ? CREATE_ADJUSTED : CREATE_DONE;
}

/* Whoever asks later why there is no such server finds it with list. */
static void
note_result (const struct create *c, int status)
{
  const char *why = last_error ();

  switch (status) {
  case CREATE_DONE:
  case CREATE_ADJUSTED:
    refusal_forget (c->name);
    break;
  case CREATE_ARGUMENTS:
  case CREATE_NAME_TAKEN:
    break;
  default:
    refusal_note (c->name, strncmp (why, "create: ", 8) == 0 ? why + 8 : why);
  }
}

/* Cuts off what follows "--", before getopt puts the arguments in order. */
static void
take_extra (struct create *c, int *argc, char **argv)
{
  for (int i = 0; i < *argc; i++)
    if (strcmp (argv[i], "--") == 0) {
      c->extra = argv + i + 1;
      c->nr_extra = *argc - i - 1;
      *argc = i;
    }
}

int
command_create (struct ctl *ctl, int argc, char **argv)
{
  enum { COPYING = FIRST_OPTION, DRY_RUN, READ_ONLY, UNIT };
  static const struct option own[] = {
    { "for-copying", no_argument, NULL, COPYING },
    { "dry-run", no_argument, NULL, DRY_RUN },
    { "read-only", no_argument, NULL, READ_ONLY },
    { "unit", no_argument, NULL, UNIT }, { 0 }
  };
  static struct create c = { .name = "test_remap" };
  int o;

  c.adjusted = copy_text ("");
  take_extra (&c, &argc, argv);
  while ((o = next_option (ctl, argc, argv, own)) != -1) {
    if (o == '?')
      return CREATE_ARGUMENTS;
    c.dry_run |= o == DRY_RUN;
    c.unit |= o == UNIT;
    c.read_only |= o == READ_ONLY || o == COPYING;
    c.for_copying |= o == COPYING;
  }
  if (ctl->name)
    c.name = ctl->name;
  if (!create_parse (&c, argc, argv))
    return CREATE_ARGUMENTS;
  o = create (&c);
  if (!c.dry_run && !c.unit)
    note_result (&c, o);
  return o;
}
