/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <string.h>

#include "spare/examine.h"
#include "spare/header.h"
#include "spare/pages.h"

static const char *
class_name (const struct header_pair *p, int i)
{
  static const char *const names[] = {
    [HEADER_BLANK] = "blank",
    [HEADER_FOREIGN] = "not a header",
    [HEADER_DAMAGED] = "wrong checksum",
    [HEADER_UNKNOWN] = "of an unknown version or feature",
    [HEADER_FORMATTING] = "formatting was begun",
    [HEADER_COMPLETE] = "complete",
  };

  return p->io_error[i] ? strerror (p->io_error[i]) : names[p->class[i]];
}

int
spare_examine_headers (const struct device *dev, uint64_t size,
                       struct spare_report *report, struct message *message)
{
  struct header_pair p;
  int err;

  err = header_read_both (dev, size, &p, message);
  memset (report, 0, sizeof *report);
  for (int i = 0; i < 2; i++) {
    report->header[i].offset = header_offset (i);
    report->header[i].what = class_name (&p, i);
    report->header[i].complete = p.class[i] == HEADER_COMPLETE;
    report->header[i].sequence = p.copy[i].sequence;
  }
  report->used = p.chosen;
  report->same = report->header[0].complete && report->header[1].complete &&
    header_same (&p.copy[0], &p.copy[1]);
  return err;
}

bool
spare_has_incomplete_commit (struct spare *s)
{
  struct page_reader reader;
  struct log_page info;
  const uint8_t *page;
  bool found = false;
  uint32_t i;

  if (page_reader_init (&reader, s->dev, &s->hdr.area[s->hdr.active],
                        s->hdr.high_water))
    return false;
  for (i = s->pos; i < s->hdr.high_water && !found; i++)
    found = page_reader_get (&reader, i, &page) == 0 &&
      log_page_decode (page, &s->hdr, i, &info) &&
      info.number == s->number + 1;
  page_reader_free (&reader);
  return found;
}

void
spare_log_end (struct spare *s, uint64_t *number, uint64_t *pages)
{
  *number = s->number;
  *pages = s->pos;
}
