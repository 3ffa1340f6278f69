/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Random areas, and random coins, that are the same on every machine.
 */

#ifndef BADDISK_RANDOM_H
#define BADDISK_RANDOM_H

#include "base/areas.h"
#include "base/message.h"

/* Millionths of a percent in all. */
#define WHOLE_PERCENT UINT64_C (100000000)

struct random_choice {
  bool is_percent;
  uint64_t amount;              /* sectors, or millionths of a percent */
  uint64_t seed;
  uint64_t cluster;             /* sectors of a run, at least 1 */
};

/* Areas for a disk of SIZE bytes; LIST is overwritten, and the caller frees
 * it.  0, or an errno with MESSAGE set: EINVAL (the disk is too small, or
 * there are too many runs), ENOMEM.
 */
extern int random_areas (const struct random_choice *choice, uint64_t size,
                         struct area_list *list, struct message *message);

/* A coin for one sector of one operation, the same each time. */
extern bool random_coin (const struct random_choice *choice, uint64_t offset,
                         uint32_t count, sector_t sector);

#endif /* BADDISK_RANDOM_H */
