/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The servers of this user that the run-time directory tells of: those of
 * create and of the systemd unit, which have a name, and those that were
 * started by hand; and those of others whose status socket this user may use.
 */

#ifndef REMAPCTL_KNOWN_H
#define REMAPCTL_KNOWN_H

#include <stddef.h>

struct known {
  char *title;             /* the name; by hand: the control socket's path */
  char *control;           /* path; another user's: of the status socket */
  char *nbd;               /* path; NULL: started by hand, or another user's */
  char *refused;           /* why it didn't start; NULL: it wasn't so */
  long pid;                /* 0: not running; -1: running, but unknown */
};

/* Sorted, each of these three.  known_free frees the list. */
extern size_t known_servers (struct known **v);
extern void known_free (struct known *v, size_t n);

#endif /* REMAPCTL_KNOWN_H */
