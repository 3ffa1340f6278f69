/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the requests of the control socket do.  Knows nothing of sockets or
 * nbdkit.
 */

#ifndef REMAP_CONTROL_REQUESTS_H
#define REMAP_CONTROL_REQUESTS_H

#include <stdatomic.h>

#include "control/protocol.h"
#include "control/reply.h"
#include "control/target.h"

/* Executes a request that control_parse has accepted, and returns the reply, a
 * line of LEN bytes, in malloc'd memory (NULL: out of memory).  A request that
 * is slow (control_is_slow) may be executed by any thread, several at once,
 * and ends soon after STOP has become true; all others are for the thread that
 * the target's samples belong to.  TOLD: an event has said that it is under
 * way, so that another one is to say how far it has come; NULL: it never does.
 */
extern char *control_execute (struct control_target *t,
                              struct control_request *rq,
                              const atomic_bool *stop,
                              const atomic_bool *told, size_t *len);

#endif /* REMAP_CONTROL_REQUESTS_H */
