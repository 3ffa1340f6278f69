/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What operators ask for.  All of it moves whole main blocks, one at a
 * time, each under an exclusive lock of its own: clients go on meanwhile.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine-internal.h"

/* What to do with one block that is held exclusively.  BUF holds two
 * blocks.
 */
typedef int block_function (struct request *r, uint64_t block, uint8_t *buf,
                            void *opaque, struct engine_result *res);

static void
note_bad (struct engine_result *res, uint64_t block, uint64_t count)
{
  if (res->bad == 0)
    res->first_bad = sector_of (block);
  res->bad += count;
}

/* The first block at or after POS that isn't all DIRECT; at most END. */
static uint64_t
skip_direct (struct engine *e, uint64_t pos, uint64_t end,
             struct engine_result *res)
{
  struct run run;
  uint64_t next = end;

  if (map_next (e->map, sector_of (pos), &run))
    next = min_u64 (block_of (e, run.start << SECTOR_SHIFT), end);
  if (next <= pos)
    return pos;
  res->left += sectors_in (pos, next);
  return next;
}

static int
for_each_block (struct engine *e, struct engine_conn *conn,
                const struct device *main, sector_t start, uint64_t count,
                bool mapped_only, block_function *f, void *opaque,
                struct engine_result *res)
{
  uint64_t pos, next, end;
  struct exclusive_hold hold;
  struct request r;
  uint8_t *buf;
  int err = 0;

  memset (res, 0, sizeof *res);
  if (count == 0 || start >= e->nr_sectors || count > e->nr_sectors - start)
    return EINVAL;
  if (posix_memalign ((void **) &buf, 4096,
                      2 * (size_t) e->config.main_block) != 0)
    return ENOMEM;

  pos = block_of (e, start << SECTOR_SHIFT);
  end = min_u64 ((start + count) << SECTOR_SHIFT, e->config.main_size);
  for (; pos < end && err == 0; pos = next) {
    if (mapped_only)
      pos = skip_direct (e, pos, end, res);
    if (pos >= end)
      break;
    next = block_end (e, pos);
    request_init (&r, e, conn, main, pos, next - pos);
    memset (buf, 0, 2 * (size_t) e->config.main_block);
    lock_block (e, &hold, pos);
    err = f (&r, pos, buf, opaque, res);
    unlock_block (e, &hold);
    settle_canaries (&r);
  }
  free (buf);
  return error_for_nbd (err);
}

/* Sectors of a block in a state. */
static uint64_t
count_state (struct engine *e, uint64_t block, enum sector_state state)
{
  uint64_t n = 0, end = block_end (e, block);

  for (uint64_t pos = block; pos < end; pos += SECTOR_SIZE)
    n += map_lookup (e->map, sector_of (pos), 1).state == state;
  return n;
}

static int
remap_block (struct request *r, uint64_t block, uint8_t *buf, void *opaque,
             struct engine_result *res)
{
  struct engine *e = r->e;
  enum change_reason why = *(enum change_reason *) opaque;
  uint64_t end = block_end (e, block);
  uint64_t direct = count_state (e, block, DIRECT);
  bool weak = false;
  int err;

  res->left += sectors_in (block, end) - direct;
  if (direct == 0)
    return 0;
  err = read_block_locked (r, buf, block, 1 + e->config.retries, &weak);
  if (err && error_classify (err) == ERROR_MEDIA) {
    /* An operator's command works with automatic remapping off, too; but
     * not on a disk that is gone.
     */
    may_act_on (r, err);
    if (atomic_load (&e->main_lost) || !r->canaries_asked)
      return err;
    err = move_block_locked (r, block, NULL, why);
    if (err == 0)
      note_bad (res, block, direct);
  }
  else if (err == 0)
    err = move_block_locked (r, block, buf, why);
  if (err == 0)
    res->done += direct;
  return err;
}

int
engine_remap (struct engine *e, const struct device *main, sector_t start,
              uint64_t count, enum change_reason why,
              struct engine_result *res)
{
  return for_each_block (e, NULL, main, start, count, false, remap_block, &why,
                         res);
}

/* The content of a block that isn't DIRECT, from its slots. */
static int
read_mapped_block (struct request *r, uint64_t block, uint8_t *buf)
{
  struct engine *e = r->e;
  uint64_t pos, end = block_end (e, block);
  struct run run;
  int err;

  for (pos = block; pos < end; pos += SECTOR_SIZE) {
    run = map_lookup (e->map, sector_of (pos), 1);
    if (run.state == REMAPPED) {
      err = slots_read (e, buf + (pos - block), run.slot, 1);
      if (err)
        return err;
    }
  }
  return 0;
}

static int
unmap_block (struct request *r, uint64_t block, uint8_t *buf, void *opaque,
             struct engine_result *res)
{
  struct engine *e = r->e;
  uint64_t end = block_end (e, block), n = sectors_in (block, end);
  uint8_t *back = buf + e->config.main_block;
  struct change change = { .kind = CHANGE_DIRECT, .sector = sector_of (block),
                           .count = n, .slot = NO_SLOT,
                           .reason = WHY_MANUAL };
  struct change_list list = { 0 };
  int err;

  if (count_state (e, block, DIRECT) > 0 ||
      count_state (e, block, LOST) > 0 || late_overlaps (e, block, end)) {
    res->left += n;
    return 0;
  }

  err = read_mapped_block (r, block, buf);
  if (err == 0)
    err = main_write (r, buf, block, end);
  if (err == 0)
    err = flush_main (r);
  if (err == 0)
    err = main_read (r, back, block, end);
  if (err == ETIMEDOUT)
    late_add (e, block, end);
  if (err && error_classify (err) != ERROR_MEDIA)
    return err;
  if (err || memcmp (buf, back, end - block) != 0) {
    note_bad (res, block, n);
    return atomic_load (&e->main_lost) ? EIO : 0;
  }

  err = change_list_add (&list, &change);
  if (err)
    return err;
  err = commit (e, &list, NULL);
  if (err == 0)
    res->done += n;
  return err;
}

int
engine_unmap (struct engine *e, struct engine_conn *conn,
              const struct device *main, sector_t start, uint64_t count,
              struct engine_result *res)
{
  return for_each_block (e, conn, main, start, count, true, unmap_block, NULL,
                         res);
}

/* Gives the LOST sectors of a block this content. */
static int
recover_sectors (struct request *r, uint64_t block, const uint8_t *buf,
                 uint64_t lost)
{
  struct engine *e = r->e;
  uint64_t counters[NR_SPARE_COUNTERS] = { [COUNT_RECOVERED] = lost };
  struct change_list list = { 0 };
  uint64_t pos, next, end = block_end (e, block), moved;
  int err = 0;

  for (pos = block; pos < end && err == 0; pos = next) {
    next = min_u64 (pos + SECTOR_SIZE, end);
    if (map_lookup (e->map, sector_of (pos), 1).state == LOST)
      err = place_sectors (r, &list, buf + (pos - block), pos, next,
                           WHY_AUTO_READ, &moved);
  }
  if (err) {
    spare_abandon (e->spare, &list);
    change_list_free (&list);
    return err;
  }
  return commit (e, &list, counters);
}

static int
retry_block (struct request *r, uint64_t block, uint8_t *buf, void *opaque,
             struct engine_result *res)
{
  struct engine *e = r->e;
  uint64_t lost = count_state (e, block, LOST);
  bool weak = true;
  int err;

  res->left += sectors_in (block, block_end (e, block)) - lost;
  if (lost == 0)
    return 0;
  err = read_block_locked (r, buf, block, 1 + e->config.retries, &weak);
  if (err && error_classify (err) == ERROR_MEDIA) {
    note_bad (res, block, lost);
    return 0;
  }
  if (err == 0)
    err = recover_sectors (r, block, buf, lost);
  if (err == 0)
    res->done += lost;
  return err;
}

int
engine_retry (struct engine *e, const struct device *main, sector_t start,
              uint64_t count, struct engine_result *res)
{
  return for_each_block (e, NULL, main, start, count, true, retry_block, NULL,
                         res);
}

static int
forget_block (struct request *r, uint64_t block, uint8_t *buf, void *opaque,
              struct engine_result *res)
{
  struct engine *e = r->e;
  struct change_list list = { 0 };
  uint64_t pos, end = block_end (e, block), lost = 0;
  int err = 0;

  for (pos = block; pos < end && err == 0; pos += SECTOR_SIZE)
    if (map_lookup (e->map, sector_of (pos), 1).state == LOST) {
      struct change c = { .kind = CHANGE_ZERO, .sector = sector_of (pos),
                          .count = 1, .slot = NO_SLOT,
                          .reason = WHY_MANUAL };

      err = change_list_add (&list, &c);
      lost++;
    }
  res->left += sectors_in (block, end) - lost;
  if (err) {
    change_list_free (&list);
    return err;
  }
  err = commit (e, &list, NULL);
  if (err == 0)
    res->done += lost;
  return err;
}

int
engine_forget_lost (struct engine *e, sector_t start, uint64_t count,
                    struct engine_result *res)
{
  return for_each_block (e, NULL, NULL, start, count, true, forget_block, NULL,
                         res);
}
