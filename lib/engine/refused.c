/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/copy.h"
#include "engine/errors.h"
#include "engine/events.h"
#include "engine/refused.h"
#include "engine/states.h"
#include "engine/stats.h"

/* So many places are asked, each in another part of the disk; and so many runs
 * of the map are looked at for each.
 */
#define PLACES 3U
#define RUNS 1000U

static void
is_gone (struct engine *e, int err)
{
  copy_fail (&rescue_of (e)->copy);
  events_tell (e->config.events, EVENT_COPY_FAILED, "the copy is gone (%s): "
               "what clients wrote to it since the last flush is lost, and "
               "nothing more can be written, until the server has been "
               "restarted", strerror (err));
}

/* A sector that is recorded as RESCUED, at or after FROM and in another block
 * than the bytes from START to END.
 */
static bool
find_rescued (struct engine *e, sector_t from, uint64_t start, uint64_t end,
              uint64_t *place)
{
  const struct copy *copy = &rescue_of (e)->copy;
  sector_t next;
  struct run run;

  start = copy_block_of (copy, start);
  end = copy_block_end (e, copy, end - 1);
  for (unsigned i = 0; i < RUNS && map_next (e->map, from, &run);
       i++, from = next) {
    next = run_end_sector (&run);
    *place = max_u64 (run.start, from) << SECTOR_SHIFT;
    if (*place >= start && *place < end)
      *place = round_up (end, SECTOR_SIZE);
    if (state_is_rescued (run.state) && *place < run_end_byte (&run) &&
        *place < e->config.main_size)
      return true;
  }
  return false;
}

/* Do other places fail, too, that have been written before?  Not if there are
 * none.
 */
static bool
nothing_can_be_read (struct engine *e, uint64_t start, uint64_t end)
{
  uint8_t sector[SECTOR_SIZE];
  uint64_t place;
  bool asked = false;

  for (unsigned i = 0; i < PLACES; i++) {
    if (!find_rescued (e, e->nr_sectors / PLACES * i, start, end, &place))
      continue;
    asked = true;
    if (copy_read (&rescue_of (e)->copy, sector, place,
                   min_u64 (place + SECTOR_SIZE, e->config.main_size)) == 0)
      return false;
  }
  return asked;
}

bool
refused_a_place (struct request *r, int *err, uint64_t start, uint64_t end)
{
  struct engine *e = r->e;
  struct copy *copy = &rescue_of (e)->copy;

  stat_add (e, STAT_COPY_ERRORS, 1);
  if (copy_has_failed (copy))
    return false;
  if (error_for_nbd (*err) == ENOSPC) {
    if (!atomic_exchange (&copy->full, true))
      events_tell (e->config.events, EVENT_COPY_FULL, "there is no room for "
                   "the copy: nothing more is kept until there is some, and "
                   "writes that need it fail with ENOSPC");
    *err = ENOSPC;
    return false;
  }
  switch (error_classify (*err)) {
  case ERROR_GONE:
    is_gone (e, *err);
    return false;
  case ERROR_OTHER:
    return false;
  case ERROR_MEDIA:
    if (nothing_can_be_read (e, start, end)) {
      is_gone (e, *err);
      *err = EIO;
      return false;
    }
    break;
  }
  if (*err == ETIMEDOUT)
    copy_write_is_late (e, copy, start, end);
  return true;
}

