/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Making a spare.  The interface, spare_format, is in spare.h.
 *
 * The order of the steps is in remap-spare(5): at any time there either is
 * nothing but an intent in header A, or all is complete.  So a format that
 * was interrupted can be told from anything else, and is done again (promises
 * 15 and 21 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/errors.h"
#include "spare/header.h"
#include "spare/layout.h"
#include "spare/leader.h"
#include "spare/open.h"
#include "spare/ownership.h"
#include "spare/room.h"

/* Room for the headers and the beginning of the log, now (promise 17 of
 * remap-promises(7)).
 */
static int
allocate_metadata (struct spare *s, struct message *message)
{
  const struct log_area *area = s->hdr.area;
  const uint64_t pages = min_u64 (area[0].pages,
                                  s->hdr.high_water + ROOM_RESERVE);
  const uint64_t bytes = pages * SPARE_PAGE;
  int err;

  /* The areas are alike, and follow the headers. */
  if (pages == area[0].pages)
    err = device_allocate (s->dev, 0, area[1].offset + bytes);
  else {
    err = device_allocate (s->dev, 0, area[0].offset + bytes);
    if (err == 0)
      err = device_allocate (s->dev, area[1].offset, bytes);
  }
  s->room[0] = s->room[1] = pages;
  if (err)
    message_set (message, "there is no room for the spare's metadata, %"
                 PRIu64 " bytes: %s", area[0].offset + 2 * bytes,
                 strerror (err));
  return spare_error (err);
}

/* Writes a page, and makes it durable. */
static int
put_page (struct spare *s, const void *page, uint64_t offset)
{
  const int err = device_pwrite (s->dev, page, SPARE_PAGE, offset);

  return err ? err : spare_flush_device (s);
}

/* Part of a header B of an interrupted format must not mix with ours. */
static int
blank_header_b (struct spare *s, void *page, struct message *message)
{
  struct header_pair p;
  int err;

  err = header_read_both (s->dev, s->hdr.size, &p, message);
  if (err || p.class[1] == HEADER_BLANK)
    return err;
  memset (page, 0, SPARE_PAGE);
  return put_page (s, page, header_offset (1));
}

static int
put_intent (struct spare *s, void *page)
{
  struct header intent = s->hdr;

  intent.formatting = true;
  intent.nsegments = 0;
  intent.sequence = 1;
  header_encode (&intent, page);
  return put_page (s, page, header_offset (0));
}

/* An empty checkpoint: commit 1. */
static int
put_checkpoint (struct spare *s, void *page)
{
  struct log_page first = {
    .generation = 1, .number = 1, .nonce = s->nonce, .total = 1,
  };

  memcpy (first.uuid, s->hdr.uuid, sizeof first.uuid);
  memset (page, 0, SPARE_PAGE);
  log_page_encode (&first, page);
  return put_page (s, page, log_page_offset (&s->hdr.area[0], 0));
}

static int
put_headers (struct spare *s)
{
  /* Header B is the older one as yet, so it comes first. */
  s->hdr.sequence = 1;
  s->older_copy = 1;
  return header_write_both (s, &s->hdr);
}

static int
format (struct spare *s, struct message *message)
{
  void *page = NULL;
  int err;

  err = allocate_metadata (s, message);
  if (err)
    return err;
  err = spare_flush_device (s);
  if (err == 0) {
    page = malloc (SPARE_PAGE);
    err = page == NULL ? ENOMEM : blank_header_b (s, page, message);
  }
  if (err == 0)
    err = put_intent (s, page);
  if (err == 0)
    err = put_checkpoint (s, page);
  if (err == 0)
    err = put_headers (s);
  free (page);
  if (err)
    message_set (message, "the spare can't be formatted: %s", strerror (err));
  return spare_error (err);
}

/* What the first header says, the layout aside. */
static void
fill_header (struct spare *s, bool whole, const struct spare_identity *id)
{
  struct header *h = &s->hdr;

  if (is_zero (id->uuid, sizeof id->uuid))
    spare_random (s, h->uuid, sizeof h->uuid);
  else
    memcpy (h->uuid, id->uuid, sizeof h->uuid);
  spare_uuid_set_version (h->uuid);
  h->created = spare_now (s);
  h->main_size = id->main_size;
  memcpy (h->label, id->label, strnlen (id->label, SPARE_LABEL_MAX));
  h->flags = whole ? HEADER_WHOLE : 0;
  h->compat = id->grows ? COMPAT_GROWS : 0;
  h->generation = h->checkpoint_commit = h->commit_floor = 1;
  h->checkpoint_pages = 1;
  h->high_water = min_u64 (h->area[0].pages, HIGH_WATER_STEP);
}

static int
make (struct spare *s, uint64_t size, bool whole,
      const struct spare_identity *id, struct message *message)
{
  int err;

  err = header_layout (&s->hdr, size, message);
  if (err)
    return err;
  if (id->main_size > INT64_MAX) {
    message_set (message, "main is too large: %" PRIu64 " bytes",
                 id->main_size);
    return EINVAL;
  }
  fill_header (s, whole, id);
  s->number = s->pos = s->bound_then = 1;
  err = spare_set_up (s, message);
  if (err == 0)
    err = ownership_await (s, message);
  if (err == 0)
    err = format (s, message);
  return err ? err : ownership_take (s, message);
}

int
spare_format (const struct device *dev, uint64_t size, bool whole,
              struct spare_identity *id, const struct spare_env *env,
              struct map *map, struct spare **spare, struct message *message)
{
  struct spare *s = spare_new (dev, map, env, false);
  int err;

  *spare = NULL;
  if (s == NULL) {
    message_set (message, "out of memory");
    return ENOMEM;
  }
  err = make (s, size, whole, id, message);
  if (err) {
    spare_free (s);
    return err;
  }
  s->started = true;
  *id = s->id;
  *spare = s;
  return 0;
}
