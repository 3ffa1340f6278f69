/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/run-directory.h"
#include "refusal.h"
#include "rundir.h"
#include "text.h"

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
  }
  free (path);
}

char *
refusal_read (const char *name)
{
  char *path = server_path (name, "failed");
  FILE *fp = path ? fopen (path, "re") : NULL;
  char line[2048] = "";

  free (path);
  if (fp == NULL)
    return NULL;
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
}
