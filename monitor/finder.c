/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/run-directory.h"
#include "ctl/text.h"
#include "finder.h"
#include "log.h"

#define PUBLIC "-public"
#define STATUS ".status"
#define MAX_NAME 64

/* As remapctl has it. */
static bool
is_name (const char *name, size_t n)
{
  if (n == 0 || n > MAX_NAME || name[0] == '.' || name[0] == '-')
    return false;
  for (size_t i = 0; i < n; i++)
    if (!isascii ((unsigned char) name[i]) ||
        (!isalnum ((unsigned char) name[i]) && !strchr ("_.-", name[i])))
      return false;
  return true;
}

static struct watched *
by_path (struct watch_list *list, const char *path)
{
  for (size_t i = 0; i < list->n; i++)
    if (strcmp (list->v[i]->path, path) == 0)
      return list->v[i];
  return NULL;
}

static bool
has_name (const struct watch_list *list, const char *name)
{
  for (size_t i = 0; i < list->n; i++)
    if (strcmp (list->v[i]->name, name) == 0)
      return true;
  return false;
}

/* The server at PATH, which is added if it is new.  Two directories may have
 * a NAME: the second one is known by its path.  NULL: there are too many.
 */
static struct watched *
look_up (struct watch_list *list, const char *path, const char *name, size_t n)
{
  struct watched *w = by_path (list, path);
  static bool complained;

  if (w != NULL)
    return w;
  if (list->n == MAX_WATCHED) {
    if (!complained)
      log_line (LOG_IS_WARNING, "there are more than %d servers: %s and others "
                "aren't watched", MAX_WATCHED, path);
    complained = true;
    return NULL;
  }
  w = allocate (1, sizeof *w);
  w->path = copy_text (path);
  w->name = text_of ("%.*s", (int) n, name);
  if (has_name (list, w->name)) {
    free (w->name);
    w->name = copy_text (path);
  }
  list->v[list->n++] = w;
  return w;
}

/* How long the name before SUFFIX is; 0: it isn't one. */
static size_t
name_before (const char *file, const char *suffix)
{
  const size_t n = strlen (file), m = strlen (suffix);

  return n > m && strcmp (file + n - m, suffix) == 0 && is_name (file, n - m)
    ? n - m : 0;
}

static void
look_for_sockets (struct watch_list *list, const char *dir)
{
  DIR *d = opendir (dir);
  struct dirent *e;

  while (d != NULL && (e = readdir (d)) != NULL) {
    const size_t n = name_before (e->d_name, STATUS);
    char *path = n > 0 ? text_of ("%s/%s", dir, e->d_name) : NULL;

    if (path)
      look_up (list, path, e->d_name, n);
    free (path);
  }
  if (d != NULL)
    closedir (d);
}

/* The public directory that a NAME without a path is in. */
static char *
first_directory (const struct run_directory *d)
{
  return text_of ("%s" PUBLIC, d->roots ? d->roots : d->path);
}

static void
look_for_configured (struct watch_list *list, const char *config,
                     const char *public)
{
  DIR *d = opendir (config);
  struct dirent *e;

  while (d != NULL && (e = readdir (d)) != NULL) {
    const size_t n = name_before (e->d_name, ".conf");
    char *path = n > 0 ? text_of ("%s/%.*s" STATUS, public, (int) n, e->d_name)
      : NULL;
    struct watched *w = path ? look_up (list, path, e->d_name, n) : NULL;

    if (w)
      w->configured = true;
    free (path);
  }
  if (d != NULL)
    closedir (d);
}

static void
add_named (struct watch_list *list, const char *server, const char *public)
{
  const char *slash = strrchr (server, '/');
  const char *file = slash ? slash + 1 : server;
  const size_t n = name_before (file, STATUS);
  char *path = slash ? copy_text (server)
    : text_of ("%s/%s" STATUS, public, server);
  struct watched *w = slash == NULL || n > 0
    ? look_up (list, path, file, slash ? n : strlen (file))
    : look_up (list, path, path, strlen (path));

  if (w)
    w->configured = true;
  free (path);
}

static int
compare (const void *a, const void *b)
{
  const struct watched *const *v = a, *const *w = b;

  return strcmp ((*v)->name, (*w)->name);
}

void
find_servers (const struct settings *set, struct watch_list *list)
{
  static struct run_directory d;
  struct message message;
  struct stat st;
  char *public, *dir;

  for (size_t i = 0; i < list->n; i++)
    list->v[i]->configured = false;
  if (run_directory_find (&d, false, &message) != 0) {
    error ("%s", message.text);
    return;
  }
  public = first_directory (&d);
  for (size_t i = 0; i < set->nr_servers; i++)
    add_named (list, set->servers[i], public);
  look_for_configured (list, set->config, public);
  look_for_sockets (list, public);
  for (int i = 0; i < 2; i++) {
    const char *home = i == 0 ? d.path : d.other;

    dir = *home ? text_of ("%s" PUBLIC, home) : NULL;
    if (dir && strcmp (dir, public) != 0)
      look_for_sockets (list, dir);
    free (dir);
  }
  free (public);
  for (size_t i = 0; i < list->n; i++)
    list->v[i]->present = stat (list->v[i]->path, &st) == 0 &&
      S_ISSOCK (st.st_mode);
  qsort (list->v, list->n, sizeof list->v[0], compare);
}
