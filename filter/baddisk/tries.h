/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A table sector -> number, 0 where nobody has set one.  A struct of zeroes
 * is an empty table.  The caller locks.
 */

#ifndef BADDISK_TRIES_H
#define BADDISK_TRIES_H

#include "base/sector.h"

struct tries {
  struct tries_chunk **v;
  size_t size, used;            /* elements; size is a power of 2, or 0 */
};

/* The number of a sector that is in the table; NULL: it isn't, and so has
 * 0.  The pointer is valid until tries_free.
 */
extern uint32_t *tries_find (const struct tries *tries, sector_t sector);

/* The same, but makes room for the sector.  NULL: out of memory. */
extern uint32_t *tries_make (struct tries *tries, sector_t sector);

/* Sets to 0 the numbers of those sectors that KEEP (OPAQUE, sector) doesn't
 * want.
 */
extern void tries_forget (struct tries *tries,
                          bool (*keep) (const void *opaque, sector_t sector),
                          const void *opaque);

/* Calls FN (OPAQUE, sector, number) for each number that isn't 0, in the order
 * of sectors.  Returns 0, or -1: out of memory, and nothing has been called.
 */
extern int tries_each (const struct tries *tries,
                       void (*fn) (void *opaque, sector_t sector,
                                   uint32_t number),
                       void *opaque);

extern void tries_free (struct tries *tries);

#endif /* BADDISK_TRIES_H */
