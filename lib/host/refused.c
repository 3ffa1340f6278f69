/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/parent.h"
#include "host/refused.h"
#include "host/run-directory.h"

/* FNV-1a.  Paths that collide take each other's file: the path that is in it
 * says whose it is.
 */
static uint64_t
hash (const char *s)
{
  uint64_t h = UINT64_C (0xcbf29ce484222325);

  for (; *s; s++)
    h = (h ^ (unsigned char) *s) * UINT64_C (0x100000001b3);
  return h;
}

/* In new memory; NULL: there is none. */
static char *
path_of (const char *dir, const char *control)
{
  char *path;

  if (*dir == '\0' ||
      asprintf (&path, "%s/%016" PRIx64 REFUSED_SUFFIX, dir,
                hash (control)) == -1)
    return NULL;
  return path;
}

void
refused_note (const char *control, const char *why)
{
  struct run_directory d;
  char *path, *temporary = NULL;
  int fd = -1;
  bool ok;

  if (strlen (control) >= sizeof ((struct refused *) 0)->control ||
      run_directory_find (&d, true, NULL) != 0 ||
      asprintf (&temporary, "%s/.XXXXXX", d.path) == -1)
    return;
  path = path_of (d.path, control);
  if (path)
    fd = mkostemp (temporary, O_CLOEXEC);
  if (fd != -1) {
    ok = dprintf (fd, "%s\n%s\n", control, why) > 0;
    close (fd);
    if (!ok || rename (temporary, path) == -1)
      unlink (temporary);
  }
  free (path);
  free (temporary);
}

void
refused_forget (const char *control)
{
  struct run_directory d;
  char *path;

  if (run_directory_find (&d, false, NULL) != 0)
    return;
  for (int i = 0; i < 2; i++) {
    path = path_of (i == 0 ? d.path : d.other, control);
    if (path)
      unlink (path);
    free (path);
  }
}

bool
refused_read (const char *path, struct refused *r)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  char text[sizeof *r + 2], *why;
  ssize_t n;

  if (fd == -1)
    return false;
  n = read (fd, text, sizeof text - 1);
  close (fd);
  if (n <= 0)
    return false;
  text[n] = '\0';
  why = strchr (text, '\n');
  if (text[0] != '/' || why == NULL ||
      (size_t) (why - text) >= sizeof r->control)
    return false;
  *why++ = '\0';
  why[strcspn (why, "\n")] = '\0';
  strcpy (r->control, text);
  message_set (&r->why, "%s", why);
  if (!parent_is_missing (r->control))
    return true;
  unlink (path);
  return false;
}

bool
refused_find (const char *control, struct refused *r)
{
  struct run_directory d;
  bool found = false;
  char *path;

  if (run_directory_find (&d, false, NULL) != 0)
    return false;
  for (int i = 0; i < 2 && !found; i++) {
    path = path_of (i == 0 ? d.path : d.other, control);
    found = path && refused_read (path, r) && strcmp (r->control, control) == 0;
    free (path);
  }
  return found;
}
