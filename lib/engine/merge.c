/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "engine/copy.h"
#include "engine/merge.h"
#include "engine/record.h"
#include "engine/states.h"

uint64_t
merge_block_of (const struct engine *e, uint64_t offset)
{
  return copy_block_of (&rescue_of (e)->copy, offset);
}

uint64_t
merge_block_end (const struct engine *e, uint64_t offset)
{
  return copy_block_end (e, &rescue_of (e)->copy, offset);
}

/* A block of which only a part is written. */
struct merged {
  uint64_t block, bend;
  uint64_t start, end;                  /* the part */
  uint8_t *content;
};

/* The next RESCUED run of the block beyond the part, from byte *POS on. */
static bool
next_other (struct engine *e, const struct merged *m, uint64_t *pos,
            struct run *run)
{
  uint64_t end;

  while (*pos < m->bend) {
    if (*pos >= m->start && *pos < m->end) {
      *pos = m->end;
      continue;
    }
    end = *pos < m->start ? m->start : m->bend;
    *run = state_lookup (e, sector_of (*pos), sectors_in (*pos, end));
    *pos = min_u64 (run_end_byte (run), m->bend);
    if (state_is_rescued (run->state))
      return true;
  }
  return false;
}

static int
read_others (struct request *r, struct merged *m)
{
  struct copy *copy = &rescue_of (r->e)->copy;
  uint64_t pos = m->block, start;
  struct run run;
  int err = 0;

  while (err == 0 && next_other (r->e, m, &pos, &run)) {
    start = run.start << SECTOR_SHIFT;
    err = copy_read (copy, m->content + (start - m->block), start,
                     min_u64 (run_end_byte (&run), m->bend));
  }
  return err;
}

static void
move_others (struct request *r, struct merged *m)
{
  uint64_t pos = m->block, start;
  struct record rec;
  struct run run;

  record_init (&rec, r->e, r);
  while (rec.err == 0 && next_other (r->e, m, &pos, &run)) {
    start = run.start << SECTOR_SHIFT;
    store_sectors (&rec, m->content + (start - m->block), start,
                   min_u64 (run_end_byte (&run), m->bend), WHY_AUTO_WRITE);
  }
  record_commit (&rec);
}

static int
write_part (struct request *r, const uint8_t *buf, uint64_t start,
            uint64_t end)
{
  struct copy *copy = &rescue_of (r->e)->copy;
  struct merged m = {
    .block = merge_block_of (r->e, start),
    .bend = merge_block_end (r->e, start), .start = start, .end = end,
  };
  int err;

  if (posix_memalign ((void **) &m.content, 4096, copy->block) != 0)
    return ENOMEM;
  memset (m.content, 0, copy->block);
  err = read_others (r, &m);
  if (err == 0) {
    if (buf)
      memcpy (m.content + (start - m.block), buf, end - start);
    err = copy_write (copy, m.content, m.block, m.bend);
    if (err && !copy_has_failed (copy))
      move_others (r, &m);
  }
  free (m.content);
  return err;
}

int
merge_write (struct request *r, const uint8_t *buf, uint64_t start,
             uint64_t end)
{
  struct engine *e = r->e;
  struct copy *copy = &rescue_of (e)->copy;
  uint64_t next;
  int err = 0;

  for (; start < end && err == 0; start = next) {
    next = end == e->config.main_size ? end : copy_block_of (copy, end);
    if (start == merge_block_of (e, start) && next > start)
      err = copy_write (copy, buf, start, next);
    else {
      next = min_u64 (merge_block_end (e, start), end);
      err = write_part (r, buf, start, next);
    }
    buf = buf ? buf + (next - start) : NULL;
  }
  return err;
}
