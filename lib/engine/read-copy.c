/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/copy.h"
#include "engine/keep.h"
#include "engine/main-dev.h"
#include "engine/read-copy.h"
#include "engine/states.h"
#include "engine/touched.h"

/* Sectors that are KEPT, which the copy can't read.  Main holds the same,
 * unless clients were writing near by when a server was killed.  Main isn't
 * waited for if it is lost.
 */
static int
read_kept_from_main (struct request *r, uint8_t *buf, uint64_t start,
                     uint64_t end)
{
  struct engine *e = r->e;
  const bool met_lost = r->met_lost;
  const uint64_t first = block_of (e, start);
  const uint64_t last = block_end (e, end - 1);
  uint8_t *bounce;
  int err;

  if (touched_stale (e, sector_of (start), sectors_in (start, end)))
    return EIO;
  if (posix_memalign ((void **) &bounce, 4096, last - first) != 0)
    return ENOMEM;
  err = main_read (r, bounce, first, last);
  r->met_lost = met_lost;
  if (err == 0) {
    memcpy (buf, bounce + (start - first), end - start);
    keep_content (e, bounce, first, last, true);
  }
  free (bounce);
  return err ? EIO : 0;
}

/* What has become of RESCUED sectors that the copy was asked for, or can't be
 * asked for: LOOK_AGAIN if they are something else now.
 */
static int
rescued_again (struct engine *e, uint64_t start, uint64_t end,
               enum sector_state state)
{
  struct rescue *rescue = rescue_of (e);
  const sector_t sector = sector_of (start);
  const uint64_t count = sectors_in (start, end);
  const struct run run = state_lookup (e, sector, count);

  if (run.state != state || run.count < count)
    return LOOK_AGAIN;
  /* What wasn't recorded may be lost with the copy's cache. */
  return copy_has_failed (&rescue->copy) &&
    !state_is_recorded (e, rescue, sector, count) ? EIO : 0;
}

int
copy_read_sectors (struct request *r, uint8_t *buf, uint64_t start,
                   uint64_t end, enum sector_state state, uint64_t *done)
{
  struct engine *e = r->e;
  struct rescue *rescue = rescue_of (e);
  int err, again;

  if (rescue == NULL)
    return EIO;
  *done = end;
  err = copy_read (&rescue->copy, buf, start, end);
  if (err == 0 && !copy_has_failed (&rescue->copy))
    return 0;
  /* One sector after the other: each from where it can be read. */
  if (err && end - start > SECTOR_SIZE - (start & (SECTOR_SIZE - 1))) {
    *done = round_down (start, SECTOR_SIZE) + SECTOR_SIZE;
    err = copy_read (&rescue->copy, buf, start, *done);
  }
  if (err && state == KEPT)
    err = read_kept_from_main (r, buf, start, *done);
  again = rescued_again (e, start, *done, state);
  if (again == LOOK_AGAIN) {
    *done = start;
    return 0;
  }
  return again || err ? EIO : 0;
}

bool
copy_read_recorded (struct engine *e, void *buf, uint64_t start, uint64_t end)
{
  struct rescue *rescue = rescue_of (e);
  const uint64_t count = sectors_in (start, end);
  struct run run;

  if (rescue == NULL || ((start | end) & (rescue->copy.block - 1)) != 0 ||
      end - start > MAX_CALL)
    return false;
  run = map_lookup (e->map, sector_of (start), count);
  return state_is_rescued (run.state) && run.count == count &&
    device_pread (&rescue->copy.dev, buf, end - start, start) == 0 &&
    !copy_has_failed (&rescue->copy);
}
