/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * create: from key=value arguments to a running server, as dm-remap's
 * remap_create_safe.sh sets out to make a device.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>

#include "create/create.h"

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
  };
  const struct { const char *key; uint64_t *n; } numbers[] = {
    { "main_start", &c->main_start }, { "spare_start", &c->spare_start },
    { "spare_total", &c->spare_total },
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
  if ((value = value_of (argument, "spare_same_disk")) != NULL) {
    c->same_disk = strcmp (value, "yes") == 0;
    return c->same_disk || strcmp (value, "no") == 0 ||
           wrong (argument, "must be yes or no");
  }
  if ((value = value_of (argument, "listen")) != NULL)
    return parse_listen (c, argument, value);
  return wrong (argument, strchr (argument, '=') ? "there is no such key "
                "(see remapctl create --help)" : "is not key=value");
}

static bool
parse_arguments (struct create *c, int argc, char **argv)
{
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
  c->pid = server_path (c->name, "pid");
  c->nbd = server_path (c->name, "nbd");
  return true;
}

/* The directory for logs of who hasn't the installation's to write to. */
static char *
own_log_directory (void)
{
  const char *state = getenv ("XDG_STATE_HOME"), *home = getenv ("HOME");

  if (state && *state == '/')
    return text_of ("%s/nbdkit-remap", state);
  if (home && *home == '/')
    return text_of ("%s/.local/state/nbdkit-remap", home);
  return copy_text (".");
}

static bool
make_directories (char *path)
{
  for (char *p = path + 1; ; p++)
    if (*p == '/' || *p == '\0') {
      const char end = *p;

      *p = '\0';
      const bool ok = mkdir (path, 0755) == 0 || errno == EEXIST;

      *p = end;
      if (!ok || end == '\0')
        return ok;
    }
}

static int
choose_logfile (struct create *c)
{
  const char *dir = getenv ("REMAP_LOG_DIR");
  const time_t now = time (NULL);
  struct tm tm;
  char stamp[32], *path;

  if (c->logfile_arg) {
    c->logfile = copy_text (c->logfile_arg);
    return 0;
  }
  path = dir && *dir ? copy_text (dir)
    : geteuid () == 0 ? copy_text (LOGDIR) : own_log_directory ();
  if (!c->dry_run && !make_directories (path)) {
    error ("create: the directory for logs %s can't be made: %s (or say "
           "logfile=PATH)", path, strerror (errno));
    free (path);
    return CREATE_FILES;
  }
  localtime_r (&now, &tm);
  strftime (stamp, sizeof stamp, "%Y%m%d_%H%M%S", &tm);
  c->logfile = text_of ("%s/remap_%s_%s.log", path, c->name, stamp);
  free (path);
  return 0;
}

static FILE *
open_log (const struct create *c)
{
  const int fd = open (c->logfile,
                       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY,
                       0600);
  FILE *fp = fd == -1 ? NULL : fdopen (fd, "a");

  if (fp == NULL)
    error ("create: the log file %s can't be written: %s", c->logfile,
           strerror (errno));
  return fp;
}

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
}

static int
start (struct create *c)
{
  char *text = create_command_text (c);
  FILE *both[2] = { stdout, open_log (c) };
  int status = CREATE_FILES;

  if (both[1] == NULL)
    goto out;
  for (int i = 0; i < 2; i++) {
    print_parameters (c, both[i]);
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

static int
create (struct create *c)
{
  char *text;
  int status;

  /* Or the error would be that its spare is in use. */
  if (server_pid (c->name) != 0)
    return create_name_taken (c);
  status = create_look (c);
  if (status == 0)
    status = create_align (c);
  if (status == 0)
    status = choose_logfile (c);
  if (status)
    return status;
  if (run_directory (!c->dry_run) == NULL)
    return CREATE_FILES;
  create_command (c);
  if (c->unit)
    return create_print_unit (c, stdout);
  if (!c->dry_run)
    return start (c);

  text = create_command_text (c);
  print_parameters (c, stdout);
  printf ("%s\n", text);
  free (text);
  return *c->adjusted ? CREATE_ADJUSTED : CREATE_DONE;
}

int
command_create (struct ctl *ctl, int argc, char **argv)
{
  static const struct option own[] = {
    { "dry-run", no_argument, NULL, 256 },
    { "unit", no_argument, NULL, 257 }, { 0 }
  };
  static struct create c = { .name = "test_remap" };
  int o;

  c.adjusted = copy_text ("");
  while ((o = next_option (ctl, argc, argv, own)) != -1) {
    if (o == '?')
      return CREATE_ARGUMENTS;
    c.dry_run = true;
    c.unit |= o == 257;
  }
  if (ctl->name)
    c.name = ctl->name;
  if (!parse_arguments (&c, argc, argv))
    return CREATE_ARGUMENTS;
  return create (&c);
}
