/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The reply to the request events.  Its keys are an interface: they are
 * documented in nbdkit-remap-filter(1), and never change their meaning.
 *
 * Any thread may call these functions.
 */

#ifndef REMAP_CONTROL_EVENTS_H
#define REMAP_CONTROL_EVENTS_H

#include <jansson.h>

#include "control/target.h"

/* Is there something to be told to a program that has been told everything
 * before number SINCE?
 */
extern bool control_has_events (const struct control_target *t,
                                uint64_t since);

/* NULL: out of memory. */
extern json_t *control_events (const struct control_target *t,
                               uint64_t since);

#endif /* REMAP_CONTROL_EVENTS_H */
