/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a spare uses beyond the first version of the format: a bit each, with
 * a name that the header carries, so that a program that doesn't know a
 * feature can say which it is.
 *
 * A bit is set when the feature is used for the first time, not before: until
 * then older programs open the spare.
 */

#ifndef REMAP_SPARE_FEATURES_H
#define REMAP_SPARE_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "base/sector.h"

#define FEATURE_NAME 16         /* bytes on the disk, NULs at the end */

/* Incompatible ones that this program knows. */
#define FEATURE_ATTRIBUTES (UINT32_C (1) << 0)
#define FEATURE_REASONS (UINT32_C (1) << 1)
#define FEATURE_RESCUED (UINT32_C (1) << 2)
#define FEATURES_KNOWN (FEATURE_ATTRIBUTES | FEATURE_REASONS | FEATURE_RESCUED)

/* The names of 32 incompatible features, and of 32 read-only compatible. */
struct feature_names {
  char name[64][FEATURE_NAME];
};

/* Fills in the names of features that this program knows. */
extern void features_name (struct feature_names *names, uint32_t incompat);

/* What an entry of this kind (see changes.h) needs that has this reason. */
static inline uint32_t
features_of (unsigned kind, enum change_reason reason)
{
  return (kind == KEPT || kind == WRITTEN ? FEATURE_RESCUED : 0) |
    (reason > WHY_CLIENT ? FEATURE_REASONS : 0);
}

/* The names of the bits that are set, or their numbers, as one text, cut off
 * if it is too long.
 */
extern void features_text (const struct feature_names *names,
                           uint32_t incompat, uint32_t ro_compat,
                           char *text, size_t size);

#endif /* REMAP_SPARE_FEATURES_H */
