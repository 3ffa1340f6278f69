/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>

#include "base/bytes.h"
#include "spare/layout.h"
#include "spare/notes.h"
#include "spare/pages.h"

int
notes_init (struct notes *n, bool with_slots)
{
  n->sectors = map_new ();
  n->slots = with_slots ? map_new () : NULL;
  if (n->sectors == NULL || (with_slots && n->slots == NULL)) {
    notes_free (n);
    return ENOMEM;
  }
  return 0;
}

void
notes_free (struct notes *n)
{
  if (n->sectors)
    map_free (n->sectors);
  if (n->slots)
    map_free (n->slots);
  n->sectors = n->slots = NULL;
}

void
notes_begin (struct notes *n)
{
  map_begin (n->sectors);
  if (n->slots)
    map_begin (n->slots);
}

void
notes_end (struct notes *n)
{
  map_publish (n->sectors);
  if (n->slots)
    map_publish (n->slots);
}

void
notes_abort (struct notes *n)
{
  map_abort (n->sectors);
  if (n->slots)
    map_abort (n->slots);
}

int
notes_add_page (struct notes *n, const void *page,
                const struct log_page *info)
{
  struct log_entry e;
  unsigned i;

  for (i = 0; i < info->count; i = log_page_next (i, &e)) {
    log_page_get (page, i, &e);
    if (e.kind == CHANGE_ATTRIBUTE)
      continue;
    const bool retire = e.kind == CHANGE_RETIRE;
    const uint64_t time = min_u64 (e.time, NOTE_TIME_MAX);
    const struct run run = {
      .start = retire ? e.slot : e.sector, .count = e.count,
      .state = e.kind == CHANGE_DIRECT ? DIRECT : MAP_NOTE,
      .slot = e.kind == CHANGE_DIRECT ? NO_SLOT
              : (uint64_t) e.reason << NOTE_TIME_BITS | time,
    };

    if (retire && n->slots == NULL)
      continue;
    if (map_set (retire ? n->slots : n->sectors, &run))
      return ENOMEM;
  }
  return 0;
}

int
notes_add (const struct device *dev, struct notes *n, const struct header *h,
           uint32_t from, uint32_t to, uint32_t *bad)
{
  const struct log_limits limits = log_limits_of (h);
  struct page_reader reader;
  struct log_page info;
  const uint8_t *page;
  uint32_t pos;
  int err = 0;

  if (page_reader_init (&reader, dev, &h->area[h->active], to))
    return ENOMEM;
  for (pos = from; pos < to && err == 0; pos++) {
    if (page_reader_get (&reader, pos, &page) != 0 ||
        !log_page_decode (page, h, pos, &info) ||
        log_page_check (page, &info, &limits) != NULL)
      (*bad)++;
    else
      err = notes_add_page (n, page, &info);
  }
  page_reader_free (&reader);
  return err;
}

int
notes_read (const struct device *dev, struct notes *n, const struct header *h,
            uint32_t from, uint32_t to, uint32_t *bad)
{
  int err;

  *bad = 0;
  notes_begin (n);
  err = notes_add (dev, n, h, from, to, bad);
  if (err)
    notes_abort (n);
  else
    notes_end (n);
  return err;
}
