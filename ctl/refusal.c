/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/refused.h"
#include "host/run-directory.h"
#include "refusal.h"
#include "rundir.h"
#include "text.h"

static void
forget_servers_own (const char *name)
{
  char *control = server_path (name, "ctl");

  if (control != NULL)
    refused_forget (control);
  free (control);
}

static bool
find_servers_own (const char *name, struct refused *r)
{
  char *control = server_path (name, "ctl");
  const bool found = control && refused_find (control, r);

  free (control);
  return found;
}

void
refusal_note (const char *name, const char *why)
{
  struct run_directory d;
  char *path = NULL;
  int fd = -1;

  if (run_directory_find (&d, true, NULL) == 0)
    path = server_path (name, "failed");
  if (path != NULL)
    fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
               0600);
  if (fd != -1) {
    dprintf (fd, "%s\n", why);
    close (fd);
    forget_servers_own (name);
  }
  free (path);
}

char *
refusal_read (const char *name)
{
  char *path = server_path (name, "failed");
  FILE *fp = path ? fopen (path, "re") : NULL;
  char line[2048] = "";
  struct refused r;

  free (path);
  if (fp == NULL)
    return NULL;
  if (find_servers_own (name, &r)) {
    fclose (fp);
    return copy_text (r.why.text);
  }
  if (fgets (line, sizeof line, fp) == NULL)
    line[0] = '\0';
  fclose (fp);
  line[strcspn (line, "\n")] = '\0';
  return copy_text (*line ? line : "the reason could not be noted");
}

void
refusal_forget (const char *name)
{
  char *path = server_path (name, "failed");

  if (path != NULL)
    unlink (path);
  free (path);
  forget_servers_own (name);
}
