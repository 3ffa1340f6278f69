/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/pages.h"

int
page_reader_init (struct page_reader *r, const struct device *dev,
                  const struct log_area *area, uint32_t limit)
{
  memset (r, 0, sizeof *r);
  r->dev = dev;
  r->area = area;
  r->limit = limit;
  r->window = malloc (min_u64 (limit, WINDOW_PAGES) * SPARE_PAGE);
  return r->window ? 0 : ENOMEM;
}

void
page_reader_free (struct page_reader *r)
{
  free (r->window);
  r->window = NULL;
}

int
page_reader_get (struct page_reader *r, uint32_t position,
                 const uint8_t **page)
{
  int err;

  if (position - r->first >= r->count) {
    r->first = position;
    r->count = min_u64 (r->limit - position, WINDOW_PAGES);
    err = device_pread (r->dev, r->window, r->count * SPARE_PAGE,
                        log_page_offset (r->area, position));
    if (err && r->count > 1) {
      /* Perhaps another page of the window is the bad one. */
      r->count = 1;
      err = device_pread (r->dev, r->window, SPARE_PAGE,
                          log_page_offset (r->area, position));
    }
    if (err) {
      r->count = 0;
      return err;
    }
  }
  *page = r->window + (size_t) (position - r->first) * SPARE_PAGE;
  return 0;
}
