/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The two headers: reading, choosing, writing.
 *
 * Both are written for each change, one after the other, each flushed
 * before the next is touched: so that at least one is intact at any time,
 * and that at rest either of them alone suffices (promise 15 of
 * remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "spare/errors.h"
#include "spare/header.h"
#include "spare/identity.h"
#include "spare/leader.h"
#include "spare/ownership.h"

/* Which of the two complete headers counts. */
static int
choose (struct header_pair *p, struct message *message)
{
  const struct header *a = &p->copy[0], *b = &p->copy[1];

  if (p->class[0] != HEADER_COMPLETE || p->class[1] != HEADER_COMPLETE) {
    p->chosen = p->class[0] == HEADER_COMPLETE ? 0
      : p->class[1] == HEADER_COMPLETE ? 1 : -1;
    return 0;
  }
  if (memcmp (a->uuid, b->uuid, sizeof a->uuid) != 0 ||
      (a->sequence == b->sequence && !header_same (a, b))) {
    message_set (message, "the two headers of the spare, at byte offsets %"
                 PRIu64 " and %" PRIu64 ", contradict each other: "
                 "restore one of them", header_offset (0),
                 header_offset (1));
    return EINVAL;
  }
  p->chosen = b->sequence > a->sequence;
  return 0;
}

/* Writes one copy.  Returns ENOSPC if it surely wasn't written, 0, or EIO
 * (then the spare has failed).
 */
static int
write_copy (struct spare *s, unsigned copy, const struct header *h,
            void *page)
{
  struct header found;
  int err;

  header_encode (h, page);
  err = device_pwrite (s->dev, page, SPARE_PAGE, header_offset (copy));
  if (err == 0)
    return spare_flush_device (s);

  /* There may have been room for it all the same. */
  if (is_space_error (err) &&
      device_pread (s->dev, page, SPARE_PAGE, header_offset (copy)) == 0 &&
      (header_decode (page, &found, NULL) != HEADER_COMPLETE ||
       found.sequence != h->sequence))
    return ENOSPC;
  spare_set_failed (s);
  return EIO;
}

int
header_read_both (const struct device *dev, uint64_t size,
                  struct header_pair *p, struct message *message)
{
  uint64_t *page = malloc (SPARE_PAGE);
  int i, r = 0;

  memset (p, 0, sizeof *p);
  p->chosen = -1;
  if (page == NULL) {
    message_set (message, "out of memory");
    return ENOMEM;
  }
  for (i = 0; i < 2; i++) {
    p->class[i] = HEADER_FOREIGN;
    if (size < header_offset (i) + SPARE_PAGE)
      continue;
    p->io_error[i] = device_pread (dev, page, SPARE_PAGE, header_offset (i));
    if (p->io_error[i] == 0)
      p->class[i] = header_decode (page, &p->copy[i], message);
    if (p->class[i] == HEADER_UNKNOWN)
      r = ENOTSUP;
  }
  free (page);
  return r ? r : choose (p, message);
}

int
header_write (struct spare *s, const struct header *wanted)
{
  struct header h = *wanted;
  void *page;
  int err;

  if (!ownership_is_ours (s))
    return EIO;
  page = malloc (SPARE_PAGE);
  if (page == NULL)
    return ENOMEM;
  h.sequence = s->hdr.sequence + 1;
  err = write_copy (s, s->older_copy, &h, page);
  if (err) {
    /* The copy may be torn now. */
    s->header_behind = true;
    goto out;
  }

  h.sequence++;
  s->older_copy ^= 1;
  err = write_copy (s, s->older_copy, &h, page);
  s->header_behind = err != 0;
  if (err)
    h.sequence--;
  else
    s->older_copy ^= 1;

  /* What the first copy says counts from now on, even if the second one
   * found no room.
   */
  pthread_mutex_lock (&s->lock);
  /* POS changes together with the active area: a history, which looks at
   * both under the lock, may do so at any moment.
   */
  if (h.generation != s->hdr.generation)
    s->pos = s->new_pos;
  s->hdr = h;
  pthread_mutex_unlock (&s->lock);
  if (err == ENOSPC)
    err = 0;
 out:
  free (page);
  return err;
}

int
header_write_both (struct spare *s, const struct header *h)
{
  const int err = header_write (s, h);

  return err == 0 && s->header_behind ? ENOSPC : err;
}

int
header_repair (struct spare *s)
{
  return s->header_behind ? header_write_both (s, &s->hdr) : 0;
}

/* Puts a header with another identity into both copies. */
static int
write_identity (struct spare *s, const struct header *h,
                struct message *message)
{
  int err = atomic_load (&s->failed) ? EIO : header_repair (s);

  if (err == 0)
    err = header_write_both (s, h);
  if (err == 0)
    header_identity (&s->hdr, &s->id);
  else
    message_set (message, "the spare's headers can't be written: %s",
                 strerror (err));
  return err;
}

int
spare_relabel (struct spare *s, const char *label, struct message *message)
{
  const size_t len = strlen (label);
  struct header h;
  int err;

  if (len > SPARE_LABEL_MAX) {
    message_set (message, "the label has %zu bytes, at most %d are allowed",
                 len, SPARE_LABEL_MAX);
    return EINVAL;
  }
  if (s->read_only)
    return EROFS;
  spare_lead (s);
  h = s->hdr;
  memset (h.label, 0, sizeof h.label);
  memcpy (h.label, label, len);
  err = write_identity (s, &h, message);
  spare_unlead (s);
  return err;
}

int
spare_main_has_grown (struct spare *s, uint64_t size,
                      struct message *message)
{
  const uint64_t old = s->hdr.main_size;
  struct header h;
  int err;

  if (size <= old || size > INT64_MAX) {
    message_set (message, "main has %" PRIu64 " bytes, which isn't more than "
                 "the %" PRIu64 " that it had", size, old);
    return EINVAL;
  }
  if (old % SECTOR_SIZE != 0 &&
      map_lookup (s->map, sector_of (old), 1).state != DIRECT) {
    message_set (message, "the last sector of main, %" PRIu64 ", had %" PRIu64
                 " bytes, and the spare holds these, or knows them for bad: "
                 "give main its former size, %" PRIu64 " bytes, and unmap the "
                 "sector first", sector_of (old), old % SECTOR_SIZE, old);
    return EINVAL;
  }
  if (s->read_only)
    return EROFS;
  spare_lead (s);
  h = s->hdr;
  h.main_size = size;
  err = write_identity (s, &h, message);
  spare_unlead (s);
  return err;
}
