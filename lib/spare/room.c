/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "base/bytes.h"
#include "spare/errors.h"
#include "spare/header.h"
#include "spare/room.h"

int
room_reach (struct spare *s, const struct log_area *area, uint64_t *have,
            uint64_t pages)
{
  uint64_t n;
  int err;

  pages = min_u64 (pages, area->pages);
  if (pages <= *have)
    return 0;
  n = pages - *have;
  err = device_allocate (s->dev, log_page_offset (area, *have),
                         n * SPARE_PAGE);
  if (err == 0)
    *have = pages;
  if (!is_space_error (err))
    return err;
  /* What is left on a filesystem that is nearly full, or what has storage
   * from an earlier session.
   */
  while (*have < pages) {
    n = min_u64 (pages - *have, HIGH_WATER_STEP);
    err = device_allocate (s->dev, log_page_offset (area, *have),
                           n * SPARE_PAGE);
    if (err)
      return err;
    *have += n;
  }
  return 0;
}

int
room_for_high_water (struct spare *s, uint64_t high)
{
  int err = 0, e;

  for (unsigned i = 0; i < 2; i++) {
    e = room_reach (s, &s->hdr.area[i], &s->room[i], high + ROOM_RESERVE);
    err = err ? err : e;
  }
  s->room_short = err != 0;
  return err;
}

struct log_area
room_area (const struct spare *s, unsigned area)
{
  struct log_area a = s->hdr.area[area];

  a.pages = min_u64 (a.pages, s->room[area]);
  return a;
}
