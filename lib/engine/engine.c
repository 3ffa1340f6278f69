/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The engine stands between clients and two devices: main, which is failing,
 * and the spare, which takes over what main can't hold.  This file is its
 * life; the design follows.
 *
 * The map says of each sector where it lives.  A request first looks there.
 * As a rule all of it is DIRECT: then it is one call to main, under no lock
 * if it reads, and under a shared lock of its range if it writes.  Everything
 * else is handled run by run, in blocks of main.
 *
 * A state changes under an exclusive lock of the range, and takes effect in
 * one step when it is durable in the spare (record.c): so whoever holds a
 * range sees states that stay, and whoever holds none may have to look again.
 * A lock covers only what one call to a device needs: so a sector on which
 * main hangs holds up only requests for that sector.
 *
 * When main fails, the first question is whether it is there at all: blocks
 * elsewhere are asked (main-dev.c, canaries.c).  If it is, the blocks that
 * are really bad have to be found, with as few failing calls as can be: reads
 * go one by one (read.c), writes are cut by sixteen (write.c).  What can't be
 * read becomes LOST, what can't be written moves to a slot.
 *
 * Requests come in three shapes, which meet in these few functions: whole
 * blocks of main (write.c, zero.c), parts of a block, which are read, modified
 * and written (edge.c), and what operators ask for (operation.c, operators.c,
 * unmap.c, verify.c).  FLUSH and FUA are flush.c's.
 *
 * Whoever wants to know what happens reads events (events.c); what shows only
 * by looking is looked at once a second (watch.c, in-flight.c).
 *
 * What can't be known any more until the server starts anew (a write that
 * timed out may still land; a slot could not be read) is marked in memory
 * (marks.c), and such places are gone around.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "engine/in-flight.h"
#include "engine/internal.h"
#include "engine/marks.h"
#include "engine/rescue.h"
#include "engine/samples.h"
#include "engine/states.h"
#include "engine/suspects.h"

static uint64_t
system_now_ms (void *opaque)
{
  return clock_now_ms ();
}

static uint64_t
system_time (void *opaque)
{
  return time (NULL);
}

struct engine *
engine_new (const struct engine_config *config, struct map *map,
            struct spare *spare)
{
  struct engine *e;
  int err;

  e = aligned_alloc (64, round_up (sizeof *e, 64));
  if (e == NULL)
    return NULL;
  memset (e, 0, sizeof *e);
  e->config = *config;
  if (e->config.now_ms == NULL)
    e->config.now_ms = system_now_ms;
  if (e->config.time == NULL)
    e->config.time = system_time;
  e->nr_sectors = bytes_to_sectors (config->main_size);
  e->max_call = MAX_CALL;
  if (config->main_max >= config->main_block && config->main_max < MAX_CALL)
    e->max_call = round_down (config->main_max, config->main_block);
  atomic_init (&e->simple_max, min_u64 (e->max_call, MAIN_PIECE));
  atomic_init (&e->simple_read_max, e->max_call);
  e->map = map;
  e->spare = spare;
  atomic_init (&e->auto_remap, config->auto_remap);
  atomic_init (&e->flush_failures, config->main_flush_failed);
  atomic_init (&e->first_untold, config->main_flush_failed);
  flight_init (e);
  pthread_mutex_init (&e->probe_mutex, NULL);
  pthread_mutex_init (&e->ask_mutex, NULL);
  pthread_mutex_init (&e->cleared_mutex, NULL);
  pthread_mutex_init (&e->spare_place_mutex, NULL);
  canaries_init (&e->canaries, config->main_size, config->main_block,
                 config->main_cache);
  e->ranges = range_lock_new (max_u64 (config->main_block,
                                       config->copy_block));
  e->flushes = range_lock_new (1);
  err = samples_init (e);

  /* Where a late write may land isn't forgotten: then it is anywhere.  A
   * slot that was unreadable may be: when it is written again it is as good
   * as any, while giving up all slots would fill the spare.
   */
  err |= marks_init (&e->late, MARK_ALL);
  err |= marks_init (&e->unreadable, MARK_NONE);
  err |= marks_init (&e->bad_canaries, MARK_NONE);
  err |= suspects_init (&e->suspects);
  if (e->ranges == NULL || e->flushes == NULL || err) {
    engine_free (e);
    errno = ENOMEM;
    return NULL;
  }
  return e;
}

void
engine_free (struct engine *e)
{
  if (e == NULL)
    return;
  rescue_free (e);
  marks_destroy (&e->late);
  marks_destroy (&e->unreadable);
  marks_destroy (&e->bad_canaries);
  suspects_destroy (&e->suspects);
  samples_destroy (e);
  range_lock_free (e->flushes);
  range_lock_free (e->ranges);
  canaries_destroy (&e->canaries);
  pthread_mutex_destroy (&e->spare_place_mutex);
  pthread_mutex_destroy (&e->cleared_mutex);
  pthread_mutex_destroy (&e->ask_mutex);
  pthread_mutex_destroy (&e->probe_mutex);
  free (e);
}

uint64_t
engine_main_size (const struct engine *e)
{
  return e->config.main_size;
}

uint32_t
engine_main_block (const struct engine *e)
{
  return e->config.main_block;
}

void
engine_conn_init (struct engine_conn *conn, struct engine *e,
                  const struct device *main_dev)
{
  conn->engine = e;
  conn->main_dev = *main_dev;
  atomic_init (&conn->flush_failures_told,
               atomic_load (&e->flush_failures) -
               atomic_load (&e->first_untold));
}

void
engine_flush_is_per_conn (struct engine *e)
{
  atomic_store (&e->flush_is_per_conn, true);
}

enum sector_state
engine_extent (struct engine *e, uint32_t count, uint64_t offset,
               uint32_t *len)
{
  struct run run;

  run = state_lookup (e, sector_of (offset),
                      sectors_in (offset, offset + count));
  *len = min_u64 (run_end_byte (&run), offset + count) - offset;
  return run.state;
}

uint64_t
engine_given_back (struct engine *e)
{
  /* Not before the lookups that it is to judge. */
  atomic_thread_fence (memory_order_acquire);
  return atomic_load (&e->given_back);
}

void
engine_spare_grown (struct engine *e)
{
  atomic_store (&e->spare_short, false);
}

void
engine_note_room (struct engine *e, uint64_t free, uint64_t promised)
{
  atomic_store (&e->room, free);
  atomic_store (&e->promised, promised);
}

void
engine_set_auto_remap (struct engine *e, bool on)
{
  atomic_store (&e->auto_remap, on);
}
