/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Requests about the copy, and what status says of it.
 */

#ifndef REMAP_CONTROL_RESCUE_H
#define REMAP_CONTROL_RESCUE_H

#include "control/protocol.h"
#include "control/reply.h"
#include "control/target.h"

/* CONTROL_RESCUE_COPY, _PAUSE, _RESUME: quick. */
extern json_t *control_rescue_copy (struct control_target *t,
                                    const struct control_request *rq);

/* CONTROL_RESCUE_FINISH: slow. */
extern json_t *control_rescue_finish (struct control_target *t,
                                      const struct control_request *rq,
                                      const struct engine_watch *watch);

/* The object "rescue" of status. */
extern json_t *control_rescue_status (const struct control_target *t,
                                      const struct engine_status *st);

#endif /* REMAP_CONTROL_RESCUE_H */
