/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <grp.h>
#include <stdlib.h>

#include "host/group.h"

/* A group with more members than this has room for isn't found: bytes. */
#define GROUP_MAX (1U << 24)

bool
group_by_name (const char *name, gid_t *gid)
{
  struct group g, *found = NULL;
  size_t size = 4096;
  int err = ERANGE;
  char *buf;

  for (; err == ERANGE && size <= GROUP_MAX; size *= 4) {
    buf = malloc (size);
    if (buf == NULL)
      return false;
    err = getgrnam_r (name, &g, buf, size, &found);
    if (err == 0 && found)
      *gid = g.gr_gid;
    free (buf);
  }
  return err == 0 && found;
}
