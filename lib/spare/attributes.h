/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The attributes that a spare holds: a sorted array in memory, of which the
 * log is the durable form.
 *
 * Changed by the leader alone, with `lock' held; others look under `lock'.
 */

#ifndef REMAP_SPARE_ATTRIBUTES_H
#define REMAP_SPARE_ATTRIBUTES_H

#include "spare/internal.h"

/* Room for N more.  Returns 0 or ENOMEM. */
extern int attributes_reserve (struct spare *s, size_t n);

/* Takes over A, for which there is room; one without content is freed. */
extern void attributes_put (struct spare *s, struct attribute *a);

/* What the attributes of a commit add to those that the spare has, in their
 * order; all zeroes to begin with.
 */
struct attribute_sum {
  int64_t n;
  int64_t bytes;                /* of content */
  const struct attribute **latest;      /* one of each, sorted; not owned */
  size_t nlatest, cap;
};

/* Adds A, which takes the place of an earlier one, or of the spare's, and must
 * be there as long as SUM.  Returns 0 or ENOMEM.
 */
extern int attributes_count (const struct spare *s,
                             const struct attribute *a,
                             struct attribute_sum *sum);
extern void attribute_sum_free (struct attribute_sum *sum);

/* Would the spare hold too much then? */
extern bool attributes_too_many (const struct spare *s,
                                 const struct attribute_sum *sum);

/* What a reader of the log puts in.  Returns NULL or what is wrong: then
 * *ERR is EINVAL, ENOTSUP (it is critical, and the tag is unknown) or ENOMEM.
 */
extern const char *attributes_load (struct spare *s,
                                    const struct attribute *a, int *err);

extern void attributes_free (struct spare *s);

#endif /* REMAP_SPARE_ATTRIBUTES_H */
