/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A header may have been written by anybody.  What it says of the layout is
 * checked here in full (promise 23 of remap-promises(7)): all else relies on
 * areas and segments that lie within the device and don't overlap.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>

#include "base/bytes.h"
#include "spare/layout.h"
#include "spare/logpage.h"

/* The space that each part of a spare takes, in bytes. */
struct extent {
  uint64_t offset, count;
};

static bool
extents_ok (const struct extent *v, unsigned n, uint64_t size)
{
  unsigned i, j;

  for (i = 0; i < n; i++) {
    if (v[i].offset > size || v[i].count > size - v[i].offset)
      return false;
    for (j = 0; j < i; j++) {
      if (ranges_overlap (v[i].offset, v[i].offset + v[i].count,
                          v[j].offset, v[j].offset + v[j].count))
        return false;
    }
  }
  return true;
}

static bool
geometry_ok (const struct header *h)
{
  struct extent v[MAX_SEGMENTS + 3];
  unsigned i, n = 0;
  uint64_t nslots = 0;

  v[n++] = (struct extent) { 0, METADATA_PAGE * SPARE_PAGE };
  for (i = 0; i < 2; i++) {
    if (h->area[i].pages < 2 || h->area[i].pages > UINT32_MAX ||
        h->area[i].offset % SPARE_PAGE != 0)
      return false;
    v[n++] = (struct extent) { h->area[i].offset,
                               h->area[i].pages * SPARE_PAGE };
  }
  if (h->nsegments < 1 || h->nsegments > MAX_SEGMENTS)
    return false;
  for (i = 0; i < h->nsegments; i++) {
    if (h->segment[i].nslots < 1 || h->segment[i].nslots >= MAP_MAX_SLOT ||
        h->segment[i].offset % SECTOR_SIZE != 0)
      return false;
    nslots += h->segment[i].nslots;
    v[n++] = (struct extent) { h->segment[i].offset,
                               h->segment[i].nslots * SECTOR_SIZE };
  }
  return nslots < MAP_MAX_SLOT && extents_ok (v, n, h->size);
}

int
header_check (const struct header *h, uint64_t dev_size, bool read_only,
              struct message *message)
{
  uint64_t pages;
  char text[200];

  if (h->ro_compat != 0 && !read_only) {
    features_text (&h->names, 0, h->ro_compat, text, sizeof text);
    message_set (message, "the spare uses features that this program can "
                 "only read (%s): use the program that made it", text);
    return ENOTSUP;
  }
  if (h->size < SPARE_MIN_SIZE || h->size > INT64_MAX ||
      h->claimed < h->size || h->claimed > INT64_MAX ||
      h->main_size > INT64_MAX || !geometry_ok (h) || h->active > 1) {
    message_set (message, "the spare's header is damaged: it describes a "
                 "layout that can't be (size %" PRIu64 " bytes, %" PRIu32
                 " segments)", h->size, h->nsegments);
    return EINVAL;
  }
  pages = h->area[h->active].pages;
  if (h->generation < 1 || h->checkpoint_commit < 1 ||
      h->checkpoint_pages < 1 || h->checkpoint_pages > h->high_water ||
      h->high_water > pages || h->commit_floor < h->checkpoint_commit ||
      h->commit_floor >= UINT64_MAX / 2 || h->sequence >= UINT64_MAX / 2 ||
      h->generation >= UINT64_MAX / 2) {
    message_set (message, "the spare's header is damaged: it describes a "
                 "log that can't be (generation %" PRIu64 ", checkpoint of %"
                 PRIu32 " pages in an area of %" PRIu64 ")",
                 h->generation, h->checkpoint_pages, pages);
    return EINVAL;
  }
  if (h->size > dev_size) {
    message_set (message, "the spare is truncated: it needs %" PRIu64
                 " bytes, the device has %" PRIu64 " for it: restore the "
                 "missing part", h->size, dev_size);
    return EINVAL;
  }
  return 0;
}

uint64_t
area_pages_for (uint64_t nslots, uint64_t others)
{
  uint64_t n = nslots + others;

  return max_u64 (div_up (n + n / 2, ENTRIES_PER_PAGE) + 8, 16);
}

uint64_t
area_pages_least (uint64_t nslots, uint64_t others, uint64_t commits)
{
  return div_up (nslots + others, ENTRIES_PER_PAGE) + commits;
}

int
header_layout (struct header *h, uint64_t size, struct message *message)
{
  const uint64_t metadata = METADATA_PAGE * SPARE_PAGE;
  uint64_t low = 12, high, mid, nslots;

  if (size < SPARE_MIN_SIZE || size > INT64_MAX ||
      size / SECTOR_SIZE >= MAP_MAX_SLOT) {
    message_set (message, "a spare of %" PRIu64 " bytes can't be made: it "
                 "must have at least %" PRIu64 " bytes and at most %" PRIu64,
                 size, SPARE_MIN_SIZE, (MAP_MAX_SLOT - 1) * SECTOR_SIZE);
    return EINVAL;
  }

  /* The smallest area that suffices for the slots that it leaves. */
  high = (size - metadata) / (2 * SPARE_PAGE) - 1;
  while (low < high) {
    mid = low + (high - low) / 2;
    nslots = (size - metadata - 2 * mid * SPARE_PAGE) / SECTOR_SIZE;
    if (mid >= area_pages_for (nslots, 0))
      high = mid;
    else
      low = mid + 1;
  }
  h->area[0].offset = metadata;
  h->area[0].pages = low;
  h->area[1].offset = metadata + low * SPARE_PAGE;
  h->area[1].pages = low;
  h->nsegments = 1;
  h->segment[0].offset = metadata + 2 * low * SPARE_PAGE;
  h->segment[0].nslots = (size - h->segment[0].offset) / SECTOR_SIZE;
  h->size = h->claimed = size;
  return 0;
}
