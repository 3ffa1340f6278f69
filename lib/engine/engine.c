/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/internal.h"

static uint64_t
system_now_ms (void *opaque)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (uint64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct engine *
engine_new (const struct engine_config *config, struct map *map,
            struct spare *spare)
{
  struct engine *e;

  e = aligned_alloc (64, round_up (sizeof *e, 64));
  if (e == NULL)
    return NULL;
  memset (e, 0, sizeof *e);
  e->config = *config;
  if (e->config.now_ms == NULL)
    e->config.now_ms = system_now_ms;
  e->nr_sectors = bytes_to_sectors (config->main_size);
  e->max_call = MAX_CALL;
  if (config->main_max >= config->main_block && config->main_max < MAX_CALL)
    e->max_call = round_down (config->main_max, config->main_block);
  atomic_init (&e->simple_max, e->max_call);
  e->map = map;
  e->spare = spare;
  atomic_init (&e->auto_remap, config->auto_remap);
  pthread_mutex_init (&e->probe_mutex, NULL);
  pthread_mutex_init (&e->late_mutex, NULL);
  pthread_mutex_init (&e->unreadable_mutex, NULL);
  pthread_mutex_init (&e->cleared_mutex, NULL);
  canaries_init (&e->canaries, config->main_size, config->main_block);
  e->ranges = range_lock_new (config->main_block);
  e->flushes = range_lock_new (1);
  e->late = map_new ();
  e->unreadable = map_new ();
  if (e->ranges == NULL || e->flushes == NULL || e->late == NULL ||
      e->unreadable == NULL) {
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
  if (e->late)
    map_free (e->late);
  if (e->unreadable)
    map_free (e->unreadable);
  range_lock_free (e->flushes);
  range_lock_free (e->ranges);
  canaries_destroy (&e->canaries);
  pthread_mutex_destroy (&e->cleared_mutex);
  pthread_mutex_destroy (&e->unreadable_mutex);
  pthread_mutex_destroy (&e->late_mutex);
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
  atomic_init (&conn->flush_failures_told, atomic_load (&e->flush_failures));
}

void
engine_log (struct engine *e, enum engine_log_level level,
            const char *fs, ...)
{
  struct message m;
  va_list args;

  if (e->config.log == NULL)
    return;
  va_start (args, fs);
  vsnprintf (m.text, sizeof m.text, fs, args);
  va_end (args);
  e->config.log (e->config.opaque, level, m.text);
}

enum block_class
classify (struct engine *e, uint64_t start, uint64_t limit, uint64_t *end)
{
  const uint32_t block = e->config.main_block;
  uint64_t first_end = block_end (e, start);
  uint64_t pos = start;
  struct run run;
  bool direct;

  run = map_lookup (e->map, sector_of (start), sectors_in (start, limit));
  direct = run.state == DIRECT;
  for (;;) {
    pos = min_u64 ((run.start + run.count) << SECTOR_SHIFT, limit);
    if (pos >= limit)
      break;
    run = map_lookup (e->map, sector_of (pos), sectors_in (pos, limit));
    if ((run.state == DIRECT) != direct)
      break;
  }
  if (pos < limit)
    pos = round_down (pos, block);
  if (pos < first_end) {
    *end = first_end;
    return MIXED;
  }
  *end = pos;
  return direct ? ALL_DIRECT : ALL_MAPPED;
}

/* Records that failed may take effect all the same when the spare is
 * opened again.  What main got for their sectors in the meantime would be
 * undone then: so it gets nothing.
 */
static void
keep_off_main (struct engine *e, const struct change_list *list)
{
  for (size_t i = 0; i < list->n; i++) {
    const struct change *c = &list->v[i];

    if (c->kind != CHANGE_RETIRE)
      late_add (e, c->sector << SECTOR_SHIFT,
                (c->sector + c->count) << SECTOR_SHIFT);
  }
}

int
commit (struct engine *e, struct change_list *list,
        const uint64_t counters[NR_SPARE_COUNTERS])
{
  int err = 0;

  if (list->n > 0) {
    err = spare_commit (e->spare, list, counters);
    if (err == ENOSPC || err == 0)
      atomic_store (&e->spare_short, err == ENOSPC);
    if (err) {
      stat_add (e, STAT_SPARE_ERRORS, 1);
      if (err == ENOSPC)
        engine_log (e, LOG_WARNING,
                    "spare: no room to record a change: enlarge the spare, "
                    "or free space where it is");
      if (list->in_doubt)
        keep_off_main (e, list);
    }
    /* Nothing refers to what was retired now. */
    for (size_t i = 0; i < list->n && err == 0; i++)
      if (list->v[i].kind == CHANGE_RETIRE)
        unreadable_remove (e, list->v[i].slot, list->v[i].count);
  }
  change_list_free (list);
  return err;
}

/* Flushes of main fail for everybody: each connection's next FLUSH or FUA
 * says so once, this one's now.
 */
static void
main_flush_failed (struct engine *e)
{
  atomic_fetch_add (&e->flush_failures, 1);
}

int
flush_main (struct request *r)
{
  struct engine *e = r->e;
  struct exclusive_hold all;
  struct shared_hold mine;
  bool alone;
  int err;

  /* If writes were lost with main, that was counted when it went away. */
  if (main_is_lost (r))
    return EIO;
  atomic_fetch_add (&e->nr_flushing, 1);
  range_lock_shared (e->flushes, &mine, 0, 1);
  /* A write that ends after this is not covered, and marks main again. */
  atomic_store (&e->main_dirty, false);
  err = main_flush (r);
  if (err)
    main_flush_failed (e);
  range_unlock_shared (e->flushes, &mine);
  alone = atomic_fetch_sub (&e->nr_flushing, 1) == 1;
  if (err)
    return EIO;

  /* Main tells of a failure once.  If it told a flush that ran beside this
   * one, our own success means nothing: so wait until that has been counted.
   */
  if (!alone) {
    range_lock_exclusive (e->flushes, &all, 0, 1);
    range_unlock_exclusive (e->flushes, &all);
  }
  return 0;
}

static int
flush_both (struct request *r, bool flush_main_too, bool flush_spare_too)
{
  struct engine *e = r->e;
  uint64_t told = atomic_load (&r->conn->flush_failures_told);
  uint64_t now;
  int err = 0, err2 = 0;

  if (flush_main_too)
    err = flush_main (r);
  if (flush_spare_too) {
    err2 = spare_flush (e->spare);
    if (err2)
      stat_add (e, STAT_SPARE_ERRORS, 1);
  }

  now = atomic_load (&e->flush_failures);
  if (now != told &&
      atomic_compare_exchange_strong (&r->conn->flush_failures_told,
                                      &told, now))
    return EIO;
  return err ? err : err2 ? EIO : 0;
}

int
engine_sync (struct engine_conn *conn)
{
  struct request r;
  int err;

  request_init (&r, conn, 0, 0);
  err = flush_both (&r, true, true);
  settle_canaries (&r);
  return err;
}

int
engine_flush (struct engine_conn *conn)
{
  stat_add (conn->engine, STAT_FLUSHES, 1);
  return engine_sync (conn);
}

int
finish_write_slowly (struct request *r, int err, bool fua)
{
  struct engine *e = r->e;

  if (r->wrote_main) {
    if (!atomic_load_explicit (&e->main_dirty, memory_order_relaxed))
      atomic_store (&e->main_dirty, true);
    /* Lost while this write was in flight, and still or back again: it may
     * be lost with main.  If it is only now acknowledged, those who were
     * told of the loss before must be told of it.
     */
    if ((err == 0 && atomic_load (&e->losses) != r->losses) ||
        (atomic_load (&e->main_lost) &&
         atomic_exchange (&e->main_dirty, false)))
      main_flush_failed (e);
  }
  /* What main refused is durable from here on (promise 13).  New slots are;
   * but where another request had moved the block meanwhile, this one has
   * merely overwritten its slot.
   */
  if (err == 0 && !fua && r->failing_pieces > 0 && r->wrote_slots &&
      spare_flush (e->spare) != 0) {
    stat_add (e, STAT_SPARE_ERRORS, 1);
    err = EIO;
  }
  if (err == 0 && fua) {
    stat_add (e, STAT_FUAS, 1);
    err = flush_both (r, r->wrote_main, r->wrote_slots);
  }
  settle_canaries (r);
  return err ? error_for_nbd (err) : 0;
}

enum sector_state
engine_extent (struct engine *e, uint32_t count, uint64_t offset,
               uint32_t *len)
{
  struct run run;
  uint64_t end;

  run = map_lookup (e->map, sector_of (offset),
                    sectors_in (offset, offset + count));
  end = min_u64 ((run.start + run.count) << SECTOR_SHIFT, offset + count);
  *len = end - offset;
  return run.state;
}

void
engine_spare_grown (struct engine *e)
{
  atomic_store (&e->spare_short, false);
}

void
engine_set_auto_remap (struct engine *e, bool on)
{
  atomic_store (&e->auto_remap, on);
}
