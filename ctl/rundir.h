/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The run-time directory, where the servers that create has started have
 * their files: NAME.ctl (control socket), NAME.nbd (NBD socket) and NAME.pid.
 * A server that was killed leaves them behind.
 */

#ifndef REMAPCTL_RUNDIR_H
#define REMAPCTL_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>

/* The directory's path, which lives as long as the program; NULL after a
 * message.  With CREATE it is made if it is missing, and refused if somebody
 * else could put files there.
 */
extern const char *run_directory (bool create);

/* Waits until nobody else starts a server or removes one's files.  Returns a
 * descriptor, with which the lock ends; -1 after a message.
 */
extern int lock_run_directory (bool create);

/* DIRECTORY/NAME.SUFFIX in new memory, which is the caller's.  NULL after a
 * message: there is no directory, or NAME can't be a server's.
 */
extern char *server_path (const char *name, const char *suffix);

/* The names of all servers, sorted; also of those that have been killed.  The
 * caller frees each, and the list.
 */
extern size_t server_names (char ***names);

#endif /* REMAPCTL_RUNDIR_H */
