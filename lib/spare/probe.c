/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What is on a device that may become, or is, a spare.
 *
 * What isn't blank and isn't a spare is never formatted (promise 21 of
 * remap-promises(7)): so when in doubt it is something else.
 *
 * The interface, spare_probe and spare_check_blank, is in spare.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/header.h"
#include "spare/identity.h"
#include "spare/pages.h"

/* Bytes read at once. */
#define BLOCK ((uint64_t) WINDOW_PAGES * SPARE_PAGE)

int
spare_check_blank (const struct device *dev, uint64_t from, uint64_t to,
                   uint64_t (*next_data) (void *ctx, uint64_t offset),
                   bool *blank, struct message *message)
{
  uint64_t offset = from, n;
  char *buf;
  int err = 0;

  *blank = true;
  buf = malloc (BLOCK);
  if (buf == NULL) {
    message_set (message, "out of memory");
    return ENOMEM;
  }
  while (*blank && offset < to) {
    if (next_data != NULL) {
      offset = max_u64 (offset, next_data (dev->ctx, offset));
      if (offset >= to)
        break;
    }
    n = min_u64 (to - offset, BLOCK);
    err = device_pread (dev, buf, n, offset);
    if (err) {
      message_set (message, "the spare can't be read at byte offset %" PRIu64
                   ": %s", offset, strerror (err));
      err = err == ENOMEM ? ENOMEM : EIO;
      break;
    }
    *blank = is_zero (buf, n);
    offset += n;
  }
  free (buf);
  return err;
}

int
spare_probe (const struct device *dev, uint64_t size,
             uint64_t (*next_data) (void *ctx, uint64_t offset),
             enum spare_content *content, struct spare_identity *id,
             struct message *message)
{
  struct header_pair p;
  const struct header *h = NULL;
  bool blank;
  int err;

  memset (id, 0, sizeof *id);
  *content = SPARE_FOREIGN;
  err = header_read_both (dev, size, &p, message);
  if (err)
    return err;
  if (p.chosen != -1) {
    h = &p.copy[p.chosen];
    *content = SPARE_VALID;
  }
  else if (p.io_error[0] || p.io_error[1]) {
    message_set (message, "the spare's headers can't be read: %s",
                 strerror (p.io_error[0] ? p.io_error[0] : p.io_error[1]));
    return EIO;
  }
  else if (p.class[0] == HEADER_FORMATTING) {
    h = &p.copy[0];
    *content = SPARE_UNFINISHED;
  }
  else if (p.class[0] == HEADER_DAMAGED || p.class[1] == HEADER_DAMAGED) {
    message_set (message, "both headers of the spare are damaged (at byte 0 "
                 "and at byte %" PRIu64 "): restore one of them from a copy",
                 header_offset (1));
    return EINVAL;
  }
  if (h != NULL) {
    header_identity (h, id);
    return 0;
  }

  if (p.class[0] == HEADER_FOREIGN && size >= SPARE_PAGE)
    return 0;
  err = spare_check_blank (dev, 0, size, next_data, &blank, message);
  if (err == 0 && blank)
    *content = SPARE_BLANK;
  return err;
}
