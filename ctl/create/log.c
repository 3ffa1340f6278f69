/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "host/state.h"
#include "create/log.h"
#include "text.h"

/* The directory for the logs of a user who isn't root. */
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

int
create_choose_state (struct create *c)
{
  char folder[PATH_MAX];
  struct message message;
  char *parent;
  bool ok;

  if (state_folder (folder, &message)) {
    error ("create: %s", message.text);
    return CREATE_FILES;
  }
  c->state_folder = copy_text (folder);
  if (c->dry_run)
    return 0;
  parent = copy_text (folder);
  *strrchr (parent, '/') = '\0';
  ok = (*parent == '\0' || make_directories (parent)) &&
    (mkdir (folder, 0700) == 0 || errno == EEXIST);
  free (parent);
  if (!ok)
    error ("create: the state folder %s can't be made: %s", folder,
           strerror (errno));
  return ok ? 0 : CREATE_FILES;
}

int
create_choose_log (struct create *c)
{
  const char *dir = getenv ("REMAP_LOG_DIR");
  char *path;

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
  c->logfile = text_of ("%s/%s.log", path, c->name);
  free (path);
  return 0;
}

FILE *
create_open_log (const struct create *c)
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
