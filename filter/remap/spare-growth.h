/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A spare file that grows by itself, by doubling, before it is full: a thread
 * that waits until it is told that the spare is low.
 */

#ifndef REMAP_SPARE_GROWTH_H
#define REMAP_SPARE_GROWTH_H

#include "base/message.h"
#include "engine/events.h"
#include "host/sparefile.h"
#include "spare/spare.h"

struct growth;

/* Who does it: enlarges the spare to SIZE bytes.  Returns 0, or an errno with
 * MESSAGE set.
 */
typedef int growth_function (void *opaque, uint64_t size,
                             struct message *message);

/* FILE, SPARE and EVENTS must live longer.  MAX: bytes; 0: what the filesystem
 * has, less a tenth.  Why the spare can't be enlarged is told as an event, once
 * for each errno until it was enlarged.  Returns NULL after nbdkit_error.
 */
extern struct growth *growth_start (const struct spare_file *file,
                                    struct spare *spare, uint64_t max,
                                    struct events *events,
                                    growth_function *grow, void *opaque);

/* The spare is low.  Any thread, at any time; doesn't wait. */
extern void growth_wake (struct growth *growth);

/* Waits until what is under way has ended.  GROWTH may be NULL. */
extern void growth_stop (struct growth *growth);

#endif /* REMAP_SPARE_GROWTH_H */
