/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/array.h"
#include "host/group.h"
#include "host/announce.h"
#include "host/refused.h"
#include "host/run-directory.h"
#include "exit-status.h"
#include "numbers.h"
#include "rundir.h"
#include "text.h"

#define MAX_NAME 64

#define PUBLIC "-public"
#define STATUS ".status"

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

static void
names_add (struct names *all, char *name)
{
  char **v = array_room (all->v, all->n, &all->cap, sizeof *v, 16);

  if (v == NULL) {
    error ("out of memory");
    exit (STATUS_REFUSED);
  }
  all->v = v;
  all->v[all->n++] = name;
}

static int
compare_names (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* The directory, and the one that is looked at besides.  NULL after a
 * message.
 */
static const struct run_directory *
find_directory (bool create)
{
  static struct run_directory d;
  struct message message;

  if (run_directory_find (&d, create, &message) == 0)
    return &d;
  error ("%s", message.text);
  return NULL;
}

static bool
has_file (const char *dir, const char *name, const char *suffix)
{
  char *path = text_of ("%s/%s.%s", dir, name, suffix);
  const bool r = access (path, F_OK) == 0;

  free (path);
  return r;
}

/* In which of the two the server's files are. */
static const char *
home_of (const struct run_directory *d, const char *name)
{
  static const char *const suffixes[] = { "pid", "ctl" };

  for (int i = 0; *d->other && i < 2; i++)
    if (has_file (d->path, name, suffixes[i]))
      return d->path;
  for (int i = 0; *d->other && i < 2; i++)
    if (has_file (d->other, name, suffixes[i]))
      return d->other;
  return d->path;
}

/* Adds what is called *SUFFIX in a directory to the list: with CUT its name
 * without the suffix, if that is a server's, else its path.
 */
static void
add_files (const char *dir, const char *suffix, bool cut, struct names *all)
{
  DIR *d = opendir (dir);
  struct dirent *e;

  while (d != NULL && (e = readdir (d)) != NULL) {
    const size_t n = strlen (e->d_name), cut_to = n - strlen (suffix);

    if (n <= strlen (suffix) || strcmp (e->d_name + cut_to, suffix) != 0)
      continue;
    if (cut)
      e->d_name[cut_to] = '\0';
    if (!cut || server_name_ok (e->d_name))
      names_add (all, cut ? copy_text (e->d_name)
                 : text_of ("%s/%s", dir, e->d_name));
  }
  if (d != NULL)
    closedir (d);
}

/* Sorts, and leaves one of each. */
static void
names_sort (struct names *all)
{
  size_t kept = 0;

  if (all->n > 0)                       /* else V is NULL */
    qsort (all->v, all->n, sizeof *all->v, compare_names);
  for (size_t i = 0; i < all->n; i++)
    if (kept > 0 && strcmp (all->v[kept - 1], all->v[i]) == 0)
      free (all->v[i]);
    else
      all->v[kept++] = all->v[i];
  all->n = kept;
}

static void
list_files (const char *suffix, bool cut, struct names *all)
{
  const struct run_directory *d = find_directory (false);

  if (d == NULL)
    return;
  add_files (d->path, suffix, cut, all);
  if (*d->other)
    add_files (d->other, suffix, cut, all);
}

static void
add_public_files (const char *dir, struct names *all)
{
  char *path = text_of ("%s" PUBLIC, dir);

  add_files (path, STATUS, false, all);
  free (path);
}

/* Whoever can write there could replace a socket, or put a link where
 * nbdkit writes its pid file; a sticky bit doesn't prevent that.
 */
static bool
is_ours (const char *path)
{
  struct stat st;

  if (stat (path, &st) == 0 && S_ISDIR (st.st_mode) &&
      (st.st_uid == geteuid () || st.st_uid == 0) && !(st.st_mode & S_IWOTH))
    return true;
  error ("the run-time directory %s is not a directory of yours, or "
         "everybody can write to it", path);
  return false;
}

/* The group of a directory that was made a moment ago. */
static bool
give_to_group (const char *path, const char *group)
{
  uint64_t number;
  gid_t gid;

  if (group_by_name (group, &gid))
    number = gid;
  else if (!parse_number (group, &number) || number >= UINT32_MAX) {
    error ("there is no group '%s'", group);
    return false;
  }
  if (chown (path, -1, number) == 0)
    return true;
  error ("the run-time directory %s can't be given to the group %s: %s", path,
         group, strerror (errno));
  return false;
}

const char *
run_directory (bool create)
{
  const struct run_directory *d = find_directory (create);

  return d ? d->path : NULL;
}

bool
can_list_servers (void)
{
  const struct run_directory *d = find_directory (false);
  const char *const dirs[] = { d ? d->path : "", d ? d->other : "" };

  for (size_t i = 0; i < 2; i++) {
    DIR *dir = *dirs[i] ? opendir (dirs[i]) : NULL;

    if (dir != NULL)
      closedir (dir);
    else if (*dirs[i] && errno != ENOENT) {
      error ("the run-time directory %s can't be read: %s", dirs[i],
             strerror (errno));
      return false;
    }
  }
  return d != NULL;
}

int
lock_run_directory (const char *name, bool create)
{
  const struct run_directory *d = find_directory (create);
  const char *dir = d ? home_of (d, name) : NULL;
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
  const struct run_directory *d;

  if (!server_name_ok (name)) {
    error ("'%s' is not the name of a server: letters, digits, '_', '.' and "
           "'-', at most %d, no dot or dash at first", name, MAX_NAME);
    return NULL;
  }
  d = find_directory (false);
  return d ? text_of ("%s/%s.%s", home_of (d, name), name, suffix) : NULL;
}

char *
public_path (const char *name)
{
  const struct run_directory *d = find_directory (false);

  return d ? text_of ("%s" PUBLIC "/%s" STATUS, home_of (d, name), name) : NULL;
}

struct names
server_sockets_of_others (void)
{
  const struct run_directory *d = find_directory (false);
  struct names all = { 0 };

  if (d != NULL && access (d->path, R_OK | X_OK) == -1 && errno == EACCES)
    add_public_files (d->path, &all);
  if (d != NULL && d->roots != NULL)
    add_public_files (d->roots, &all);
  names_sort (&all);
  return all;
}

char *
name_of_socket (const char *path)
{
  const char *slash = strrchr (path, '/');
  char *name = copy_text (slash ? slash + 1 : path);
  const size_t n = strlen (name);

  if (n > strlen (STATUS)) {
    name[n - strlen (STATUS)] = '\0';
    if (server_name_ok (name))
      return name;
  }
  free (name);
  return NULL;
}

char *
root_public_path (const char *name)
{
  const struct run_directory *d = find_directory (false);

  return d && d->roots && server_name_ok (name)
    ? text_of ("%s" PUBLIC "/%s" STATUS, d->roots, name) : NULL;
}

bool
make_public_directory (const char *group)
{
  const char *dir = run_directory (false);
  char *path;
  bool ok;

  if (dir == NULL)
    return false;
  path = text_of ("%s" PUBLIC, dir);
  if (mkdir (path, 0750) == -1) {
    ok = errno == EEXIST;
    if (!ok)
      error ("the run-time directory %s can't be made: %s", path,
             strerror (errno));
    ok = ok && is_ours (path);
  }
  else {
    ok = group == NULL || give_to_group (path, group);
    if (!ok)
      rmdir (path);
  }
  free (path);
  return ok;
}

struct names
server_names (void)
{
  struct names all = { 0 };

  list_files (".pid", true, &all);
  list_files (".failed", true, &all);
  names_sort (&all);
  return all;
}

static struct names
paths_of (const char *suffix)
{
  struct names all = { 0 };

  list_files (suffix, false, &all);
  names_sort (&all);
  return all;
}

struct names
server_announcements (void)
{
  return paths_of (ANNOUNCE_SUFFIX);
}

struct names
server_refusals (void)
{
  return paths_of (REFUSED_SUFFIX);
}

void
names_free (struct names *all)
{
  for (size_t i = 0; i < all->n; i++)
    free (all->v[i]);
  free (all->v);
}
