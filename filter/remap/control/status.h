/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The reply to the request status, and the samples that its rates are made
 * of.  All functions are for the one thread that the samples belong to.
 */

#ifndef REMAP_CONTROL_STATUS_H
#define REMAP_CONTROL_STATUS_H

#include <jansson.h>

#include "control/target.h"

/* Fills in times and samples; the rest was filled in before.  Returns 0 or
 * ENOMEM.
 */
extern int control_target_init (struct control_target *t);
extern void control_target_free (struct control_target *t);

/* To be called every CONTROL_SAMPLE_MS.  NOW: clock_now_ms. */
extern void control_target_sample (struct control_target *t, uint64_t now);

/* Who holds background work, and for how long: the reply to `background'. */
extern json_t *control_held (struct control_target *t);

/* NULL: out of memory. */
extern json_t *control_status (struct control_target *t);

#endif /* REMAP_CONTROL_STATUS_H */
