/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The contents of slots.  The interface is in spare.h: spare_store,
 * spare_abandon, spare_read, spare_read_part, and spare_write.
 *
 * Data that is to be kept is written into free slots until all of it has a
 * place (promise 17 of remap-promises(7)).  A run of slots that can't be
 * written is tried slot by slot, and those that fail are retired in the same
 * commit that maps the others.  Eight failures in a row, at different places,
 * mean that it is not the slots that are bad, but the device.  For want of
 * room nothing is retired: the caller is told, and tries again when there is
 * some (promise 18).
 *
 * A write to slots marks the spare as dirty when it has ended, so that the
 * next flush makes it durable (promise 14).
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "spare/errors.h"
#include "spare/ownership.h"
#include "spare/leader.h"
#include "spare/slots.h"

#define MAX_FAILURES 8U         /* failing slot writes in a row ... */
#define FAILURE_UNIT 4096U      /* ... at different places: bytes */

/* Counts the outcome of a write to slots at OFFSET.  Where the device has
 * sectors of 4 KiB, eight slots fail together: that is one failure.
 */
static void
note_write (struct spare *s, uint64_t offset, int err)
{
  const uint64_t place = offset / FAILURE_UNIT + 1;

  if (err == 0) {
    /* Only now: a flush that began before the write ended doesn't cover
     * it.
     */
    atomic_store (&s->slots_dirty, true);
    atomic_store (&s->failures, 0);
    atomic_store (&s->failed_place, 0);
  }
  else if (!is_space_error (err) &&
           atomic_exchange (&s->failed_place, place) != place &&
           atomic_fetch_add (&s->failures, 1) + 1 >= MAX_FAILURES)
    spare_set_failed (s);
}

struct store {
  struct spare *s;
  struct change_list *list;
  sector_t sector;              /* of what is left */
  const uint8_t *data;
  uint64_t count;
  enum change_reason reason;
};

static int
store_note (struct store *st, enum change_kind kind, slot_t slot,
            uint64_t count)
{
  struct change c = {
    .sector = kind == CHANGE_REMAP ? st->sector : 0, .count = count,
    .slot = slot, .kind = kind, .reason = st->reason,
  };
  int err = change_list_add (st->list, &c);

  if (err == 0 && kind == CHANGE_REMAP) {
    st->sector += count;
    st->data += count * SECTOR_SIZE;
    st->count -= count;
  }
  return err;
}

/* Writes slot by slot, and retires those that fail; on return those of
 * the run that were not used are free again.
 */
static int
store_singly (struct store *st, slot_t slot, uint64_t n, int first_err)
{
  const struct geometry *g = spare_geometry (st->s);
  uint64_t i, offset;
  int err = 0, wr;

  /* There are no more slots than sectors to be placed. */
  for (i = 0; i < n && err == 0; i++) {
    slot_place (g, slot + i, 1, &offset);
    /* One slot alone has been tried just now. */
    wr = n == 1 ? first_err
                : device_pwrite (st->s->dev, st->data, SECTOR_SIZE, offset);
    note_write (st->s, offset, wr);
    if (is_space_error (wr)) {
      err = ENOSPC;
      break;
    }
    err = store_note (st, wr ? CHANGE_RETIRE : CHANGE_REMAP, slot + i, 1);
    if (err && wr == 0)
      break;
    if (atomic_load (&st->s->failed) && err == 0)
      err = EIO;
  }
  if (i < n && !(atomic_load (&st->s->failed)))
    slots_free (st->s, slot + i, n - i);
  return err;
}

static int
store_run (struct store *st)
{
  const struct geometry *g;
  struct spare *s = st->s;
  uint64_t n, offset;
  slot_t slot = 0;
  int err;

  n = slots_take (s, min_u64 (st->count, MAX_IO_SLOTS), &slot);
  if (n == 0)
    return ENOSPC;
  err = slots_prepare (s, slot, n);
  if (err) {
    slots_free (s, slot, n);
    return spare_error (err);
  }
  g = spare_geometry (s);
  slot_place (g, slot, n, &offset);
  err = device_pwrite (s->dev, st->data, n * SECTOR_SIZE, offset);
  if (err && !is_space_error (err))
    return store_singly (st, slot, n, err);
  note_write (s, offset, err);
  err = is_space_error (err) ? ENOSPC : store_note (st, CHANGE_REMAP, slot, n);
  if (err)
    slots_free (s, slot, n);
  return err;
}

/* Calls the device for each piece of COUNT slots. */
static int
slot_io (struct spare *s, bool writing, uint8_t *buf, slot_t slot,
         uint64_t count)
{
  const struct geometry *g = spare_geometry (s);
  uint64_t n, offset;
  int err;

  if (slot > g->nslots || count > g->nslots - slot)
    return EIO;
  while (count > 0) {
    n = slot_place (g, slot, min_u64 (count, MAX_IO_SLOTS), &offset);
    if (writing)
      err = device_pwrite (s->dev, buf, n * SECTOR_SIZE, offset);
    else
      err = device_pread (s->dev, buf, n * SECTOR_SIZE, offset);
    if (err)
      return err;
    buf += n * SECTOR_SIZE;
    slot += n;
    count -= n;
  }
  return 0;
}

int
spare_store (struct spare *s, struct change_list *list, sector_t sector,
             const void *data, uint32_t count, enum change_reason reason)
{
  struct store st = {
    .s = s, .list = list, .sector = sector, .data = data, .count = count,
    .reason = reason,
  };
  const size_t n0 = list->n;
  size_t i, n;
  int err = 0;

  if (s->read_only)
    return EROFS;

  /* Don't begin what can't be finished: clients repeat it for hours. */
  if (!slots_want (s, count))
    err = atomic_load (&s->failed) ? EIO : ENOSPC;
  if (err == ENOSPC && s->env.low != NULL)
    s->env.low (s->env.opaque);
  while (err == 0 && st.count > 0) {
    if (atomic_load (&s->failed) || !ownership_is_ours (s))
      err = EIO;
    else
      err = store_run (&st);
  }
  if (err == 0)
    return 0;

  if (err == ENOSPC) {
    pthread_mutex_lock (&s->alloc_lock);
    s->full = true;
    pthread_mutex_unlock (&s->alloc_lock);
  }
  for (i = n = n0; i < list->n; i++) {
    if (list->v[i].kind == CHANGE_RETIRE)
      list->v[n++] = list->v[i];
    else
      slots_free (s, list->v[i].slot, list->v[i].count);
  }
  list->n = n;
  return err;
}

void
spare_abandon (struct spare *s, struct change_list *list)
{
  /* What was to be retired stays out of use in this session: it is known
   * to be bad, or it is still mapped.
   */
  slots_give_back (s, list);
  for (size_t i = 0; i < list->n; i++)
    free (list->v[i].attribute);
  list->n = 0;
}

int
spare_read (struct spare *s, void *buf, slot_t slot, uint32_t count)
{
  return slot_io (s, false, buf, slot, count);
}

int
spare_write (struct spare *s, const void *buf, slot_t slot, uint32_t count)
{
  const struct geometry *g = spare_geometry (s);
  uint64_t offset;
  int err;

  if (s->read_only)
    return EROFS;
  if (atomic_load (&s->failed) || slot > g->nslots || count > g->nslots - slot)
    return EIO;
  if (count == 0)
    return 0;
  if (!ownership_is_ours (s))
    return EIO;
  err = slot_io (s, true, (uint8_t *) buf, slot, count);
  slot_place (g, slot, 1, &offset);
  note_write (s, offset, err);
  /* The first pieces of a write that failed may have to be flushed too. */
  if (err)
    atomic_store (&s->slots_dirty, true);
  return is_space_error (err) ? ENOSPC : err;
}

int
spare_read_part (struct spare *s, void *buf, slot_t slot, uint32_t offset,
                 uint32_t len)
{
  const struct geometry *g = spare_geometry (s);
  uint64_t place;

  if (slot >= g->nslots || offset > SECTOR_SIZE || len > SECTOR_SIZE - offset)
    return EIO;
  slot_place (g, slot, 1, &place);
  return device_pread (s->dev, buf, len, place + offset);
}
