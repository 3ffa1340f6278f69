/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * One request to many servers at once: one that doesn't answer costs the
 * others no time.
 */

#ifndef REMAPCTL_ASK_ALL_H
#define REMAPCTL_ASK_ALL_H

#include <stddef.h>
#include <jansson.h>

struct asked {
  const char *path;                     /* of the control socket; not owned */
  json_t *reply;                        /* whose "ok" is true; NULL: none */
  char *why;                            /* and then, what is wrong */
};

/* Sends LINE to each of them, and sets reply or why of each.  All together
 * have TIMEOUT seconds; 0: CONNECTION_PATIENCE.
 */
extern void ask_all (struct asked *v, size_t n, const char *line,
                     unsigned timeout);

/* Frees what that has set. */
extern void ask_all_free (struct asked *v, size_t n);

#endif /* REMAPCTL_ASK_ALL_H */
