/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Writes that don't cover whole main blocks.  At most the first and the
 * last block of a request are concerned: its edges.  An edge is read,
 * modified and written under an exclusive lock of its block; sectors that the
 * request doesn't write keep what was read, or become LOST (promise 1 of
 * remap-promises(7)).
 *
 * An edge that has a LOST sector of which only a part is written makes the
 * request fail before anything of it is written (promise 6).  So the last block
 * is looked at first, without a lock; a lock of both would let a sector that is
 * stuck in main hold up requests that need only the other one.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/blocks.h"
#include "engine/edge.h"
#include "engine/log.h"
#include "engine/lost.h"
#include "engine/main-dev.h"
#include "engine/marks.h"
#include "engine/read.h"
#include "engine/record.h"
#include "engine/stats.h"
#include "engine/write.h"

/* The bytes from START to END of the block at BLOCK are to be written, or
 * zeroed: then whole sectors that main doesn't take become ZERO.
 */
struct edge {
  uint64_t block, bend;
  uint64_t start, end;
  bool zero;
  uint8_t *content;    /* of the whole block */
  bool weak;           /* main read the block only when asked again */
  bool unreadable;     /* its DIRECT sectors can't be read */
};

/* Is only a part of the sector at POS written? */
static bool
in_part (const struct engine *e, const struct edge *edge, uint64_t pos)
{
  uint64_t next = min_u64 (pos + SECTOR_SIZE, e->config.main_size);

  return pos < edge->end && next > edge->start &&
    (edge->start > pos || edge->end < next);
}

static bool
written (const struct edge *edge, uint64_t pos)
{
  return pos < edge->end && pos + SECTOR_SIZE > edge->start;
}

/* Can the map alone say what these bytes, a sector's, hold from now on? */
static bool
becomes_zero (const struct edge *edge, uint64_t pos, uint64_t next)
{
  return edge->zero && pos >= edge->start && next <= edge->end;
}

/* Reads the block of an edge from main, for its DIRECT sectors. */
static int
edge_read_main (struct request *r, struct edge *edge)
{
  struct engine *e = r->e;
  uint64_t pos;
  int err;

  err = read_block_locked (r, edge->content, edge->block,
                           1 + e->config.retries, &edge->weak);
  if (err == 0 || !may_act_on (r, err))
    return err;
  edge->unreadable = true;
  for (pos = edge->block; pos < edge->bend; pos += SECTOR_SIZE)
    if (in_part (e, edge, pos) &&
        map_lookup (e->map, sector_of (pos), 1).state == DIRECT) {
      move_direct (r, edge->block, edge->bend, NULL, WHY_AUTO_READ);
      return EIO;
    }
  return 0;
}

/* Fills in what a partly written sector that isn't DIRECT holds now. */
static int
edge_read_sector (struct request *r, struct edge *edge, uint64_t pos)
{
  struct engine *e = r->e;
  struct run run = map_lookup (e->map, sector_of (pos), 1);
  uint8_t sector[SECTOR_SIZE] = { 0 };
  int err;

  switch (run.state) {
  case DIRECT:
    return 0;
  case LOST:
    return EIO;
  case REMAPPED:
    err = slots_read (e, sector, run.slot, 1);
    if (err)
      return err;
    break;
  case KEPT:
  case WRITTEN:
    return EIO;
  case ZERO:
    break;
  }
  memcpy (edge->content + (pos - edge->block), sector,
          min_u64 (SECTOR_SIZE, edge->bend - pos));
  return 0;
}

/* Reads what has to be kept of a block that is held exclusively: an edge is
 * never a whole one.  Nothing is written but what the map has to say about it.
 */
static int
edge_prepare (struct request *r, struct edge *edge)
{
  struct engine *e = r->e;
  uint64_t pos, class_end;
  enum block_class class;
  int err;

  class = classify (e, edge->block, edge->bend, &class_end);
  if (class == MIXED && atomic_load (&e->auto_remap) &&
      complete_block_locked (r, edge->block) == 0)
    class = ALL_MAPPED;

  for (pos = edge->block; pos < edge->bend; pos += SECTOR_SIZE)
    if (in_part (e, edge, pos) &&
        map_lookup (e->map, sector_of (pos), 1).state == LOST) {
      stat_add (e, STAT_LOST_REFUSED, 1);
      return EIO;
    }
  if (class != ALL_MAPPED) {
    err = edge_read_main (r, edge);
    if (err)
      return err;
  }
  for (pos = edge->block; pos < edge->bend; pos += SECTOR_SIZE)
    if (in_part (e, edge, pos)) {
      err = edge_read_sector (r, edge, pos);
      if (err)
        return err;
    }
  return 0;
}

/* Main can't be used for this block: its written sectors go to the spare,
 * the other DIRECT ones as well, or become LOST if they could not be read.
 */
static int
edge_move (struct request *r, struct edge *edge, enum change_reason why)
{
  struct engine *e = r->e;
  uint64_t pos, next;
  struct record rec;
  struct run run;

  record_init (&rec, e, r);
  for (pos = edge->block; pos < edge->bend && rec.err == 0; pos = next) {
    run = map_lookup (e->map, sector_of (pos), 1);
    next = min_u64 (pos + SECTOR_SIZE, edge->bend);
    if (becomes_zero (edge, pos, next))
      record_zero (&rec, pos, next, why);
    else if (written (edge, pos) ||
             (run.state == DIRECT && !edge->unreadable))
      store_sectors (&rec, edge->content + (pos - edge->block), pos, next,
                     why);
    else if (run.state == DIRECT)
      record_state (&rec, &run, LOST, WHY_AUTO_READ);
  }
  return record_commit (&rec);
}

/* Writes the written sectors that aren't DIRECT. */
static int
edge_move_mapped (struct request *r, struct edge *edge)
{
  struct engine *e = r->e;
  uint64_t pos, next;
  int err = 0;

  for (pos = round_down (edge->start, SECTOR_SIZE);
       pos < edge->end && err == 0; pos = next) {
    next = min_u64 (pos + SECTOR_SIZE, edge->bend);
    if (map_lookup (e->map, sector_of (pos), 1).state == DIRECT)
      continue;
    if (becomes_zero (edge, pos, next))
      err = zero_sectors (r, pos, next, WHY_CLIENT);
    else
      err = move_sectors (r, edge->content + (pos - edge->block), pos, next,
                          WHY_CLIENT);
  }
  return err;
}

static int
edge_apply (struct request *r, struct edge *edge, const uint8_t *buf)
{
  struct engine *e = r->e;
  uint64_t class_end;
  enum block_class class;
  int err;

  if (edge->zero)
    memset (edge->content + (edge->start - edge->block), 0,
            edge->end - edge->start);
  else
    memcpy (edge->content + (edge->start - edge->block), buf,
            edge->end - edge->start);
  class = classify (e, edge->block, edge->bend, &class_end);
  if (class == ALL_MAPPED)
    return edge_move_mapped (r, edge);

  if (edge->unreadable)
    return edge_move (r, edge, WHY_AUTO_READ);
  if (late_overlaps (e, edge->block, edge->bend))
    return may_move_late (r)
      ? edge_move (r, edge, WHY_AUTO_WRITE) : EIO;
  if (edge->weak && atomic_load (&e->auto_remap) &&
      edge_move (r, edge, WHY_WEAK) == 0)
    return 0;

  err = main_write (r, edge->content, edge->block, edge->bend);
  if (err) {
    if (err == ETIMEDOUT)
      late_add (e, edge->block, edge->bend);
    return may_move_data (r, err) ? edge_move (r, edge, WHY_AUTO_WRITE) : err;
  }
  return class == MIXED ? edge_move_mapped (r, edge) : 0;
}

int
write_edge (struct request *r, const uint8_t *buf, uint64_t start,
            uint64_t end)
{
  struct engine *e = r->e;
  struct edge edge = {
    .block = block_of (e, start), .bend = block_end (e, start),
    .start = start, .end = end, .zero = buf == NULL
  };
  struct exclusive_hold hold;
  int err;

  if (posix_memalign ((void **) &edge.content, 4096,
                      e->config.main_block) != 0)
    return ENOMEM;
  memset (edge.content, 0, e->config.main_block);
  lock_block (e, &hold, edge.block);
  err = edge_prepare (r, &edge);
  if (err == 0)
    err = edge_apply (r, &edge, buf);
  unlock_block (e, &hold);
  free (edge.content);
  return err;
}

int
look_at_edge (struct request *r, uint64_t end)
{
  uint8_t sector[SECTOR_SIZE];
  uint64_t start = round_down (end, SECTOR_SIZE);

  if (start == end)
    return 0;
  return read_range (r, sector, start,
                     min_u64 (start + SECTOR_SIZE, r->e->config.main_size));
}

int
write_range (struct request *r, const uint8_t *buf, uint64_t start,
             uint64_t end)
{
  struct engine *e = r->e;
  uint64_t head_end, tail;
  int err;

  tail = end == e->config.main_size ? end : block_of (e, end);
  if (start == block_of (e, start))
    head_end = start;
  else
    head_end = min_u64 (block_end (e, start), end);
  if (tail < head_end)
    tail = end;

  if (tail < end && tail > start) {
    err = look_at_edge (r, end);
    if (err)
      return err;
  }
  if (head_end > start) {
    err = write_edge (r, buf, start, head_end);
    if (err)
      return err;
  }
  if (tail > head_end) {
    err = write_blocks (r, buf + (head_end - start), head_end, tail);
    if (err)
      return err;
  }
  if (tail < end)
    return write_edge (r, buf + (tail - start), tail, end);
  return 0;
}
