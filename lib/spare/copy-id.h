/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a spare knows of the copy of main: attributes with the tag "copy", see
 * remap-spare(5) (promise 32 of remap-promises(7)).
 *
 * A copy that is a file has a stamp, 16 random bytes, which is renewed at each
 * start of a server: the spare notes the next one, then the copy gets it, then
 * the spare confirms it.  Until then either is right.  Of others samples are
 * taken at a clean end, and struck out at the next start.
 *
 * For one thread at a time, but as to the spare any.
 */

#ifndef REMAP_SPARE_COPY_ID_H
#define REMAP_SPARE_COPY_ID_H

#include "spare/sample.h"
#include "spare/spare.h"

#define COPY_STAMP 16           /* bytes */
#define COPY_PATH_MAX 2048
#define COPY_SAMPLES_MAX 16U

struct copy_id {
  bool is_device;
  bool stamped;                 /* STAMP is confirmed */
  bool has_next;                /* NEXT was noted, and isn't confirmed */
  bool is_alone;                /* it is the disk, without main and spare */
  uint64_t size;                /* of a device, bytes; else of main */
  uint8_t stamp[COPY_STAMP], next[COPY_STAMP];
  char label[SPARE_LABEL_MAX + 1];      /* serial number or WWN, or "" */
  char path[COPY_PATH_MAX];             /* where it was last */
};

/* ID is all zeroes if the spare knows of no copy, and *THERE is false then.
 * Returns 0, ENOMEM, or EINVAL for what makes no sense.
 */
extern int copy_id_read (struct spare *spare, struct copy_id *id,
                         bool *there);

/* Durable when it returns 0; else what the commit returned. */
extern int copy_id_write (struct spare *spare, const struct copy_id *id);

/* The spare knows of no copy any more: neither it, nor its samples, nor where
 * clients have written.
 */
extern int copy_id_forget (struct spare *spare);

/* What places of the copy held at the last clean end: offsets and hashes. */
extern int copy_samples_read (struct spare *spare,
                              struct sample v[COPY_SAMPLES_MAX], unsigned *n);
/* N may be 0. */
extern int copy_samples_write (struct spare *spare, const struct sample *v,
                               unsigned n);

#endif /* REMAP_SPARE_COPY_ID_H */
