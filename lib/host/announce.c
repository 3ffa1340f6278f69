/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "host/announce.h"
#include "host/run-directory.h"

/* Nobody reads it before it has its name, and then it is locked. */
static bool
write_and_lock (struct announcement *a, const char *control)
{
  char line[256];
  int n;

  n = snprintf (line, sizeof line, "%ld %s\n", (long) getpid (), control);
  return n < (int) sizeof line && flock (a->fd, LOCK_EX | LOCK_NB) == 0 &&
    write (a->fd, line, n) == n;
}

void
announce (struct announcement *a, const char *control)
{
  struct run_directory d;
  char *temporary = NULL;

  a->fd = -1;
  a->path = NULL;
  if (run_directory_find (&d, true, NULL) != 0 ||
      asprintf (&temporary, "%s/.XXXXXX", d.path) == -1)
    return;
  a->fd = mkostemp (temporary, O_CLOEXEC);
  if (a->fd != -1 &&
      asprintf (&a->path, "%s/%s" ANNOUNCE_SUFFIX, d.path,
                strrchr (temporary, '/') + 2) == -1)
    a->path = NULL;
  if (a->fd != -1 && !(a->path && write_and_lock (a, control) &&
                       rename (temporary, a->path) == 0)) {
    unlink (temporary);
    close (a->fd);
    free (a->path);
    a->fd = -1;
  }
  free (temporary);
}

void
announce_end (struct announcement *a)
{
  struct stat st, mine;

  if (a->fd == -1)
    return;
  if (stat (a->path, &st) == 0 && fstat (a->fd, &mine) == 0 &&
      st.st_dev == mine.st_dev && st.st_ino == mine.st_ino)
    unlink (a->path);
  close (a->fd);
  free (a->path);
  a->fd = -1;
}

bool
announced_read (const char *path, struct announced *a)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  char line[256];
  bool there;
  ssize_t n;
  int at = 0;

  if (fd == -1)
    return false;
  there = flock (fd, LOCK_SH | LOCK_NB) == -1;
  if (!there)
    unlink (path);
  n = read (fd, line, sizeof line - 1);
  close (fd);
  if (!there || n <= 0)
    return false;
  line[n] = '\0';
  line[strcspn (line, "\n")] = '\0';
  if (sscanf (line, "%ld %n", &a->pid, &at) != 1 || a->pid <= 0 ||
      line[at] != '/' || strlen (line + at) >= sizeof a->control)
    return false;
  strcpy (a->control, line + at);
  return true;
}
