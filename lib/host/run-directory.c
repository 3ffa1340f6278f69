/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "host/run-directory.h"

#define NAME "nbdkit-remap"

static bool
is_directory_of_mine (const char *path)
{
  struct stat st;

  return lstat (path, &st) == 0 && S_ISDIR (st.st_mode) &&
    st.st_uid == geteuid () && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* Of a user who is logged in; "" for all others.  Returns the length, as
 * snprintf does.
 */
static int
find_xdg (char *path, size_t size)
{
  const char *xdg = getenv ("XDG_RUNTIME_DIR");
  char own[64];
  struct stat st;

  path[0] = '\0';
  snprintf (own, sizeof own, "/run/user/%u", (unsigned) geteuid ());
  if (xdg != NULL && stat (xdg, &st) == 0 && st.st_uid == geteuid ())
    return snprintf (path, size, "%s/" NAME, xdg);
  if (is_directory_of_mine (own))
    return snprintf (path, size, "%s/" NAME, own);
  return 0;
}

/* Whoever can write there could replace a socket, or put a link where nbdkit
 * writes its pid file; a sticky bit doesn't prevent that.
 */
static int
make_directory (const char *path, struct message *message)
{
  struct stat st;
  int err;

  if (mkdir (path, 0700) == -1 && errno != EEXIST) {
    err = errno;
    message_set (message, "the run-time directory %s can't be made: %s", path,
                 strerror (err));
    return err;
  }
  if (stat (path, &st) == 0 && S_ISDIR (st.st_mode) &&
      (st.st_uid == geteuid () || st.st_uid == 0) &&
      (st.st_mode & S_IWOTH) == 0)
    return 0;
  message_set (message, "the run-time directory %s is not a directory of "
               "yours, or everybody can write to it", path);
  return EPERM;
}

/* In /tmp somebody else may have been first, and nothing of that is believed,
 * not even for reading.
 */
static int
check_temporary (const char *path, struct message *message)
{
  struct stat st;

  if (is_directory_of_mine (path) ||
      (lstat (path, &st) == -1 && errno == ENOENT))
    return 0;
  message_set (message, "the run-time directory %s is not a directory of "
               "yours, or others can write to it: set REMAP_RUNTIME_DIR to "
               "another one", path);
  return EPERM;
}

int
run_directory_find (struct run_directory *d, bool create,
                    struct message *message)
{
  const char *dir = getenv ("REMAP_RUNTIME_DIR");
  char temporary[64];
  int err = 0, length = 0;

  d->other[0] = '\0';
  d->roots = NULL;
  snprintf (temporary, sizeof temporary, "/tmp/" NAME "-%u",
            (unsigned) geteuid ());
  if (dir != NULL && *dir != '\0')
    length = snprintf (d->path, sizeof d->path, "%s", dir);
  else if (geteuid () == 0)
    strcpy (d->path, RUN_DIRECTORY_OF_ROOT);
  else {
    d->roots = RUN_DIRECTORY_OF_ROOT;
    length = find_xdg (d->path, sizeof d->path);
    if (d->path[0] == '\0') {
      strcpy (d->path, temporary);
      err = check_temporary (temporary, message);
    }
    else if (is_directory_of_mine (temporary))
      strcpy (d->other, temporary);
  }
  /* Cut off, it would be the path of another directory. */
  if (length >= (int) sizeof d->path) {
    message_set (message, "the run-time directory %.64s... has too long a "
                 "path: more than %zu bytes", d->path, sizeof d->path - 1);
    err = ENAMETOOLONG;
  }
  /* A server's process is recognised by a path that begins so. */
  if (err == 0 && d->path[0] != '/') {
    message_set (message, "the run-time directory '%s' must be an absolute "
                 "path", d->path);
    err = EINVAL;
  }
  if (err == 0 && create)
    err = make_directory (d->path, message);
  if (err == 0 && create && strcmp (d->path, temporary) == 0)
    err = check_temporary (temporary, message);
  return err;
}
