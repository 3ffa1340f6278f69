/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Notes: reason and time of each change.  These are nowhere but in the log,
 * and are read from it into maps of MAP_NOTE runs.
 *
 * The maps are the caller's.
 */

#ifndef REMAP_SPARE_NOTES_H
#define REMAP_SPARE_NOTES_H

#include "map/map.h"
#include "spare/logpage.h"

/* The value of a note: the reason, and below it so many bits of the time. */
#define NOTE_TIME_BITS 34
#define NOTE_TIME_MAX ((UINT64_C (1) << NOTE_TIME_BITS) - 1)

/* By sector, and by slot for the retired ones (NULL if nobody wants to
 * know).
 */
struct notes {
  struct map *sectors, *slots;
};

/* Returns 0 or ENOMEM. */
extern int notes_init (struct notes *n, bool with_slots);
extern void notes_free (struct notes *n);

/* Adds what the pages FROM .. TO - 1 of the active area of H say, and shows
 * it.  BAD: how many of them can't be read, or aren't H's.  Returns 0 or
 * ENOMEM; then nothing was added.
 */
extern int notes_read (const struct device *dev, struct notes *n,
                       const struct header *h, uint32_t from, uint32_t to,
                       uint32_t *bad);

/* The same in pieces: begin, any number of notes_add, end.  Only then is any
 * of it seen.  After an error, and in place of the end, abort.  BAD is added
 * to.
 */
extern void notes_begin (struct notes *n);
extern int notes_add (const struct device *dev, struct notes *n,
                      const struct header *h, uint32_t from, uint32_t to,
                      uint32_t *bad);
extern void notes_end (struct notes *n);
extern void notes_abort (struct notes *n);

/* Between begin and end: what one page of the log says, which is known to be
 * in order.
 */
extern int notes_add_page (struct notes *n, const void *page,
                           const struct log_page *info);

#endif /* REMAP_SPARE_NOTES_H */
