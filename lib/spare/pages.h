/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reading the pages of a log area, in ascending order as a rule, many at a
 * time.
 *
 * A reader belongs to one thread.  It keeps pointers to the device and the
 * area.
 */

#ifndef REMAP_SPARE_PAGES_H
#define REMAP_SPARE_PAGES_H

#include "spare/logpage.h"

/* Pages read or written at once: 1 MiB.  Fuzzers have a smaller one. */
#ifndef WINDOW_PAGES
#define WINDOW_PAGES 256U
#endif

struct page_reader {
  const struct device *dev;
  const struct log_area *area;
  uint32_t limit;               /* never reads at or beyond this page */
  uint32_t first, count;        /* what the window holds */
  uint8_t *window;
};

/* Returns 0 or ENOMEM. */
extern int page_reader_init (struct page_reader *r, const struct device *dev,
                             const struct log_area *area, uint32_t limit);
extern void page_reader_free (struct page_reader *r);

/* Points PAGE at the page, which stays until the next call.  Returns 0 or
 * the errno of reading it.
 */
extern int page_reader_get (struct page_reader *r, uint32_t position,
                            const uint8_t **page);

#endif /* REMAP_SPARE_PAGES_H */
