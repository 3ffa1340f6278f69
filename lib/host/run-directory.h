/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The run-time directory: where servers leave a word that they are there, and
 * where remapctl keeps the files of those that it has started.  Server and
 * remapctl look for it in the same way, each as its own user:
 *
 *   $REMAP_RUNTIME_DIR
 *   /run/nbdkit-remap              root
 *   $XDG_RUNTIME_DIR/nbdkit-remap  if that is there, and the user's own: su
 *                                  may leave root's
 *   /run/user/UID/nbdkit-remap     if the user is logged in somewhere
 *   /tmp/nbdkit-remap-UID          cron, su, sudo -u
 *
 * The last one is looked at besides whichever comes first, since the same user
 * may be logged in at one time and not at another.
 */

#ifndef REMAP_RUN_DIRECTORY_H
#define REMAP_RUN_DIRECTORY_H

#include <limits.h>
#include <stdbool.h>

#include "base/message.h"

#define RUN_DIRECTORY_OF_ROOT "/run/nbdkit-remap"

struct run_directory {
  char path[PATH_MAX];                  /* absolute */
  char other[PATH_MAX];                 /* "": there is none */
  const char *roots;                    /* root's, which only the directory
                                         * beside it shows to others; NULL:
                                         * this is root, or
                                         * $REMAP_RUNTIME_DIR is set */
};

/* With CREATE the directory is made if it is missing, and refused if somebody
 * else could put files there.  Returns 0, or an errno with MESSAGE set.
 */
extern int run_directory_find (struct run_directory *d, bool create,
                               struct message *message);

#endif /* REMAP_RUN_DIRECTORY_H */
