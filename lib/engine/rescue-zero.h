/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Zeroes and trims with a copy (promise 9 of remap-promises(7)).  Nothing of
 * them reaches main.
 *
 * For zeroes no content is needed where the copy has none: what is DIRECT or
 * LOST becomes ZERO, pending.  What is RESCUED is zeroed in the copy, and
 * WRITTEN. What has a slot becomes ZERO, durable at once.  A trim says ZERO of
 * what is DIRECT, since nothing there is worth copying, unless trims are to be
 * ignored.
 */

#ifndef REMAP_ENGINE_RESCUE_ZERO_H
#define REMAP_ENGINE_RESCUE_ZERO_H

#include "engine/request.h"

/* Any bytes.  They return 0, an errno, or NOT_FAST. */
extern int rescue_zero (struct request *r, uint64_t start, uint64_t end);
extern int rescue_trim (struct request *r, uint64_t start, uint64_t end);

#endif /* REMAP_ENGINE_RESCUE_ZERO_H */
