/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "host/parent.h"

bool
parent_is_missing (const char *path)
{
  const char *slash = strrchr (path, '/');
  const size_t n = slash ? slash - path : 0;
  char dir[PATH_MAX];
  struct stat st;

  /* In the working directory, in the root directory; or nobody can make it. */
  if (n == 0 || n >= sizeof dir)
    return false;
  memcpy (dir, path, n);
  dir[n] = '\0';
  if (stat (dir, &st) == 0)
    return !S_ISDIR (st.st_mode);
  return errno == ENOENT || errno == ENOTDIR;
}
