/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "exit-status.h"
#include "rundir.h"
#include "text.h"

#define MAX_NAME 64

static bool
server_name_ok (const char *name)
{
  const size_t n = strlen (name);

  if (n == 0 || n > MAX_NAME || name[0] == '.' || name[0] == '-')
    return false;
  for (; *name; name++)
    if (!(isascii ((unsigned char) *name) && isalnum ((unsigned char) *name))
        && strchr ("_.-", *name) == NULL)
      return false;
  return true;
}

static int
compare_names (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

const char *
run_directory (bool create)
{
  static char path[PATH_MAX];
  const char *dir = getenv ("REMAP_RUNTIME_DIR");
  const char *xdg = getenv ("XDG_RUNTIME_DIR");
  struct stat st;

  if (dir != NULL && *dir != '\0')
    snprintf (path, sizeof path, "%s", dir);
  else if (geteuid () == 0)
    strcpy (path, "/run/nbdkit-remap");
  else if (xdg != NULL && *xdg != '\0')
    snprintf (path, sizeof path, "%s/nbdkit-remap", xdg);
  else {
    error ("there is no run-time directory: set XDG_RUNTIME_DIR, or "
           "REMAP_RUNTIME_DIR");
    return NULL;
  }
  /* A server's process is recognised by a path that begins so. */
  if (path[0] != '/') {
    error ("the run-time directory '%s' must be an absolute path", path);
    return NULL;
  }
  if (!create)
    return path;
  if (mkdir (path, 0700) == -1 && errno != EEXIST) {
    error ("the run-time directory %s can't be made: %s", path,
           strerror (errno));
    return NULL;
  }
  /* Whoever can write there could replace a socket, or put a link where
   * nbdkit writes its pid file; a sticky bit doesn't prevent that.
   */
  if (stat (path, &st) == -1 || !S_ISDIR (st.st_mode) ||
      (st.st_uid != geteuid () && st.st_uid != 0) || st.st_mode & S_IWOTH) {
    error ("the run-time directory %s is not a directory of yours, or "
           "everybody can write to it", path);
    return NULL;
  }
  return path;
}

int
lock_run_directory (bool create)
{
  const char *dir = run_directory (create);
  int fd = dir ? open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  int err;

  if (fd != -1 && flock (fd, LOCK_EX) == 0)
    return fd;
  err = errno;
  if (fd != -1)
    close (fd);
  if (dir)
    error ("the run-time directory %s can't be locked: %s", dir,
           strerror (err));
  return -1;
}

char *
server_path (const char *name, const char *suffix)
{
  const char *dir;

  if (!server_name_ok (name)) {
    error ("'%s' is not the name of a server: letters, digits, '_', '.' and "
           "'-', at most %d, no dot or dash at first", name, MAX_NAME);
    return NULL;
  }
  dir = run_directory (false);
  return dir ? text_of ("%s/%s.%s", dir, name, suffix) : NULL;
}

size_t
server_names (char ***names)
{
  const char *dir = run_directory (false);
  DIR *d = dir ? opendir (dir) : NULL;
  struct dirent *e;
  size_t n = 0, len;
  char **v = allocate (1, sizeof *v), *name;

  while (d != NULL && (e = readdir (d)) != NULL) {
    len = strlen (e->d_name);
    if (len <= 4 || strcmp (e->d_name + len - 4, ".pid") != 0)
      continue;
    name = copy_text (e->d_name);
    name[len - 4] = '\0';
    if (!server_name_ok (name)) {
      free (name);
      continue;
    }
    v = realloc (v, (n + 1) * sizeof *v);
    if (v == NULL) {
      error ("out of memory");
      exit (STATUS_REFUSED);
    }
    v[n++] = name;
  }
  if (d != NULL)
    closedir (d);
  qsort (v, n, sizeof *v, compare_names);
  *names = v;
  return n;
}
