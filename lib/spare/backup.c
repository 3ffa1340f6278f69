/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * First the state is pinned, with the number of the last commit.  Then the
 * spare makes a commit, so that it is known for newer than the copy from then
 * on, whatever is written to its slots.  Then the slots are copied, and last
 * the log and the headers: without these it is nothing.
 *
 * That each sector has its own content (promise 1 of remap-promises(7)) rests
 * on slots.h, by which a slot of that state isn't given to another sector
 * before the copy is done, or the copy is given up.
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/backup.h"
#include "spare/leader.h"
#include "spare/slots.h"
#include "spare/snapshot.h"

#define PIECE_SLOTS 2048U               /* read at once: 1 MiB */
#define FLUSH_BYTES (32U << 20)         /* the page cache isn't for this */

/* An attribute for what happened to the spare, see remap-spare(5). */
#define HISTORY "history"
#define HISTORY_PLACES 16U
#define HISTORY_BACKUP 1U

struct history_entry {
  uint32_t what, reserved;
  uint64_t commit;
};

struct copy {
  struct snapshot snap;
  const struct device *out;
  bool (*stop) (void *opaque);
  void *opaque;
  uint8_t *buf;
  uint64_t unflushed;           /* bytes */
  struct backup_result *result;
  struct message *message;
};

static int
fail (struct copy *c, int err, const char *what)
{
  message_set (c->message, "%s: %s", what, strerror (err));
  return err;
}

static int
write_slots (struct copy *c, uint32_t n, uint64_t offset)
{
  int err = 0;

  if (!is_zero (c->buf, n * SECTOR_SIZE)) {
    err = device_pwrite (c->out, c->buf, n * SECTOR_SIZE, offset);
    c->unflushed += n * SECTOR_SIZE;
  }
  if (err == 0 && c->unflushed >= FLUSH_BYTES) {
    err = device_flush (c->out);
    c->unflushed = 0;
  }
  return err ? fail (c, err, "the copy can't be written") : 0;
}

/* Reads slots that are adjacent on the device.  EAGAIN: they aren't those of
 * the copy any more.
 */
static int
read_slots (struct copy *c, uint32_t n, uint64_t offset)
{
  struct spare *s = c->snap.s;
  const int err = device_pread_whole (s->dev, c->buf, n * SECTOR_SIZE, offset);

  if (slots_are_kept (s))
    return err;
  message_set (c->message, "a write needed the slots that the backup kept from "
               "being used, as the spare is full: enlarge it, or try again");
  return EAGAIN;
}

/* Slots of which one or more can't be read: as it is with an unreadable slot,
 * its sector isn't anywhere else.
 */
static int
copy_singly (struct copy *c, sector_t sector, uint32_t n, uint64_t offset)
{
  int err = 0;

  for (uint32_t i = 0; i < n && err == 0; i++) {
    const uint64_t place = offset + i * SECTOR_SIZE;

    if (c->stop != NULL && c->stop (c->opaque))
      return fail (c, ECANCELED, "the backup was stopped");
    err = read_slots (c, 1, place);
    if (err == 0) {
      err = write_slots (c, 1, place);
      c->result->sectors++;
    }
    else if (err == EIO || err == ENODATA || err == EILSEQ ||
             err == ETIMEDOUT || err == EREMOTEIO) {
      c->result->lost++;
      err = snapshot_lose (&c->snap, sector + i, 1);
      if (err)
        fail (c, err, "the backup");
    }
    else if (err != EAGAIN)
      fail (c, err, "the spare can't be read");
  }
  return err;
}

static int
copy_run (struct copy *c, const struct run *run)
{
  const struct geometry *g = spare_geometry (c->snap.s);
  uint64_t done = 0, offset;
  uint32_t n;
  int err = 0;

  for (; done < run->count && err == 0; done += n) {
    if (c->stop != NULL && c->stop (c->opaque))
      return fail (c, ECANCELED, "the backup was stopped");
    n = slot_place (g, run->slot + done,
                    min_u64 (run->count - done, PIECE_SLOTS), &offset);
    err = read_slots (c, n, offset);
    if (err == EAGAIN)
      break;
    if (err)
      err = copy_singly (c, run->start + done, n, offset);
    else {
      err = write_slots (c, n, offset);
      c->result->sectors += n;
    }
  }
  return err;
}

static int
copy_slots (struct copy *c)
{
  struct run run;
  sector_t pos = 0;
  int err = 0;

  for (; err == 0 && snapshot_next (&c->snap, pos, &run);
       pos = run_end_sector (&run))
    if (run.state == REMAPPED)
      err = copy_run (c, &run);
  if (err == 0 && c->result->sectors == 0 && c->result->lost > 0)
    err = fail (c, EIO, "nothing in the spare can be read");
  return err;
}

static void
history_decode (const struct attribute *a, struct history_entry *h)
{
  memset (h, 0, sizeof *h);
  memcpy (h, a->data, min_u64 (a->len, sizeof *h));
  h->what = le32toh (h->what);
  h->commit = le64toh (h->commit);
}

/* Into the copy alone.  The oldest entry makes room. */
static int
note_history (struct copy *c)
{
  const struct history_entry h = {
    .what = htole32 (HISTORY_BACKUP), .commit = htole64 (c->snap.number),
  };
  struct attribute a = {
    .tag = HISTORY, .len = sizeof h, .time = spare_now (c->snap.s),
    .data = (const uint8_t *) &h,
  };
  const struct carried *all = &c->snap.attributes;
  uint64_t oldest = UINT64_MAX;
  uint32_t n = 0;

  for (size_t i = 0; i < all->n; i++) {
    if (strcmp (all->v[i]->tag, HISTORY) != 0)
      continue;
    n = max_u64 (n, all->v[i]->key + UINT64_C (1));
    if (all->v[i]->time < oldest) {
      oldest = all->v[i]->time;
      a.key = all->v[i]->key;
    }
  }
  if (n < HISTORY_PLACES)
    a.key = n;
  return carried_put (&c->snap.attributes, &a);
}

static int
write_rest (struct copy *c)
{
  int err = note_history (c);

  if (err == 0)
    err = snapshot_write (&c->snap, c->out);
  if (err == 0)
    err = device_flush (c->out);
  return err ? fail (c, err, "the copy can't be written") : 0;
}

int
spare_backup (struct spare *s, const struct device *out,
              bool (*stop) (void *opaque), void *opaque,
              struct backup_result *result, struct message *message)
{
  struct copy c = {
    .out = out, .stop = stop, .opaque = opaque, .result = result,
    .message = message, .buf = malloc (PIECE_SLOTS * SECTOR_SIZE),
  };
  int err = c.buf == NULL ? ENOMEM : snapshot_take (&c.snap, s);

  memset (result, 0, sizeof *result);
  if (err) {
    message_set (message, err == EBUSY ? "another backup is under way"
                 : "out of memory");
    free (c.buf);
    return err;
  }
  result->size = c.snap.hdr.size;
  result->commit = c.snap.number;
  result->is_older = spare_advance (s) == 0;
  err = copy_slots (&c);
  if (err == 0)
    err = write_rest (&c);
  snapshot_drop (&c.snap);
  free (c.buf);
  return err;
}

bool
spare_was_backup (struct spare *s, uint64_t *commit, uint64_t *time)
{
  struct attribute *a;
  struct history_entry h;
  uint64_t key = 0;
  bool found = false;

  for (; key <= UINT32_MAX && spare_next_attribute (s, HISTORY, key, &a);
       key = a->key + UINT64_C (1), free (a)) {
    if (a == NULL || strcmp (a->tag, HISTORY) != 0) {
      free (a);
      break;
    }
    history_decode (a, &h);
    if (h.what == HISTORY_BACKUP && (!found || h.commit > *commit)) {
      found = true;
      *commit = h.commit;
      *time = a->time;
    }
  }
  return found;
}
