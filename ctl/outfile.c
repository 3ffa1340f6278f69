/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "outfile.h"
#include "text.h"

/* The name begins with a dot, and doesn't end as PATH's does: node_exporter
 * takes every *.prom.
 */
static char *
temporary_name (const char *path)
{
  const char *slash = strrchr (path, '/');
  const int dir = slash ? (int) (slash + 1 - path) : 0;

  return text_of ("%.*s.%s.XXXXXX", dir, path, path + dir);
}

/* For others to read, as a file that a shell makes. */
static bool
set_mode (int fd)
{
  const mode_t mask = umask (0);

  umask (mask);
  return fchmod (fd, 0666 & ~mask) == 0;
}

bool
outfile_begin (struct outfile *o, const char *path)
{
  int fd, err;

  o->path = path;
  o->temporary = temporary_name (path);
  fflush (stdout);
  fd = mkostemp (o->temporary, O_CLOEXEC);
  if (fd != -1 && set_mode (fd) && dup2 (fd, STDOUT_FILENO) != -1) {
    close (fd);
    return true;
  }
  err = errno;
  error ("%s: can't be written: %s", path, strerror (err));
  if (fd != -1) {
    close (fd);
    unlink (o->temporary);
  }
  free (o->temporary);
  return false;
}

bool
outfile_end (struct outfile *o, bool complete)
{
  /* Without fsync a crash could leave the new name and nothing in it. */
  bool ok = complete;

  if (ok && (fflush (stdout) != 0 || ferror (stdout) ||
             fsync (STDOUT_FILENO) == -1 ||
             rename (o->temporary, o->path) == -1)) {
    error ("%s: can't be written: %s", o->path, strerror (errno));
    ok = false;
  }
  if (!ok)
    unlink (o->temporary);
  free (o->temporary);
  return ok;
}
