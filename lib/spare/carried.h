/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The attributes that a checkpoint carries over: copies, since commits may
 * change them while it is written.
 */

#ifndef REMAP_SPARE_CARRIED_H
#define REMAP_SPARE_CARRIED_H

#include "spare/internal.h"

struct carried {
  struct attribute **v;         /* sorted */
  size_t n;
};

/* All zeroes to begin with.  Copies those of the spare.  The leader's.
 * Returns 0 or ENOMEM; to be freed in either case.
 */
extern int carried_copy (struct carried *c, const struct spare *s);

/* A takes the place of the one with its tag and key; the same. */
extern int carried_put (struct carried *c, const struct attribute *a);

/* What the attributes of a page of the log make of them; the page is in order.
 * Returns 0 or ENOMEM.
 */
extern int carried_add_page (struct carried *c, const void *page,
                             const struct log_page *info);

/* The transient ones aren't carried over after all. */
extern void carried_drop_transient (struct carried *c);

extern void carried_free (struct carried *c);

/* How many entries of the log N attributes with so many bytes take at most,
 * what they leave empty at the ends of pages included.
 */
static inline uint64_t
carried_entries_at_most (uint64_t n, uint64_t bytes)
{
  /* Of two pages that follow each other more than one is full. */
  return n == 0 ? 0
    : 2 * (2 * n + bytes / LOG_ENTRY_SIZE) + ENTRIES_PER_PAGE;
}

#endif /* REMAP_SPARE_CARRIED_H */
