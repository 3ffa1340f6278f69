/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The run-time directory (host/run-directory.h), where the servers that create
 * has started have their files: NAME.ctl (control socket), NAME.nbd (NBD
 * socket) and NAME.pid; and the one beside it for NAME.status (status socket).
 * A server that was killed leaves them behind.  Of a start that was refused
 * NAME.failed has the reason.
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

/* Can it be seen which servers there are?  False after a message; where there
 * is no directory there is no server.
 */
extern bool can_list_servers (void);

/* Waits until nobody else starts a server or removes one's files in the
 * directory that is the server NAME's.  Returns a descriptor, with which the
 * lock ends; -1 after a message.
 */
extern int lock_run_directory (const char *name, bool create);

/* DIRECTORY/NAME.SUFFIX, in the directory where the server's files are or will
 * be, in new memory, which is the caller's.  NULL after a
 * message: there is no directory, or NAME can't be a server's.
 */
extern char *server_path (const char *name, const char *suffix);

/* The same for the status socket, which others than the server's user may use:
 * it is in a directory of its own, beside the other one.
 */
extern char *public_path (const char *name);

/* Where the one of root's server of that name would be, for other users; NULL:
 * for root, and where the run-time directory was chosen.
 */
extern char *root_public_path (const char *name);

/* Makes that directory, with mode 0750, and gives it to GROUP (NULL: the user's
 * own) if it wasn't there.  False after a message.
 */
extern bool make_public_directory (const char *group);

/* A sorted list, which names_free frees. */
struct names {
  char **v;
  size_t n, cap;
};

/* The names of all servers that have a file NAME.pid or NAME.failed; also of
 * those that have been killed.
 */
extern struct names server_names (void);

/* The paths of the status sockets of servers that this user sees nothing else
 * of: root's, or those of a directory that is closed to him.
 */
extern struct names server_sockets_of_others (void);

/* The name of such a server, in new memory; NULL if it can't be one. */
extern char *name_of_socket (const char *path);

/* The paths of what servers have announced, see host/announce.h. */
extern struct names server_announcements (void);

/* The same of starts that were refused, see host/refused.h. */
extern struct names server_refusals (void);

extern void names_free (struct names *all);

#endif /* REMAPCTL_RUNDIR_H */
