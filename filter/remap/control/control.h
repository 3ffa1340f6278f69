/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The control socket and the status socket, from beginning to end.
 */

#ifndef REMAP_CONTROL_H
#define REMAP_CONTROL_H

#include <sys/types.h>

#include "base/message.h"
#include "control/target.h"

struct control;

/* Where they are; either may be NULL.  GROUP is the status socket's, or
 * CONTROL_NO_GROUP (socket.h).
 */
struct control_places {
  const char *control, *status;
  gid_t group;
};

/* Creates the sockets; the paths must live as long.  There are no threads yet,
 * and this is called once.  Returns 0, or an errno with MESSAGE set.
 */
extern int control_open (struct control **control,
                         const struct control_places *places,
                         struct message *message);

/* Serves them, in a thread, from what TARGET says; its history, times and
 * samples are made here.  The run-time directory tells of it from now on.
 * Returns 0, or an errno with MESSAGE set: then control_close is still to be
 * called.
 */
extern int control_start (struct control *control,
                          const struct control_target *target,
                          struct message *message);

/* Is work that nobody waits for held up?  From control_open on. */
extern bool control_background_held (struct control *control);

/* There are new events: whoever waits for some is told soon.  Any thread,
 * between control_start and control_close; it isn't held up.
 */
extern void control_news (struct control *control);

/* Ends the thread and all requests, and removes the sockets. */
extern void control_close (struct control *control);

#endif /* REMAP_CONTROL_H */
