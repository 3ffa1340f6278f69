/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Areas of a disk, in bytes: ascending, not overlapping, adjacent ones
 * joined.
 *
 * A list belongs to its owner alone, and has no lock.  It begins as zeroes.
 */

#ifndef REMAP_AREAS_H
#define REMAP_AREAS_H

#include "base/sector.h"

struct area {
  uint64_t offset, count;  /* bytes */
};

struct area_list {
  struct area *v;
  size_t n;

  /* Only areas.c uses these. */
  size_t cap;              /* of v, entries */
  bool unsorted;           /* areas were added out of order */
};

/* Adds an area, in any order; OFFSET + COUNT must fit into 64 bits.  The
 * list is one again, as promised above, after area_list_finish.  Returns 0
 * or ENOMEM.
 */
extern int area_list_add (struct area_list *list, uint64_t offset,
                          uint64_t count);
extern void area_list_finish (struct area_list *list);
extern void area_list_free (struct area_list *list);

/* The first area that overlaps the byte range, or NULL. */
extern const struct area *area_list_find (const struct area_list *list,
                                          uint64_t offset, uint64_t count);

#endif /* REMAP_AREAS_H */
