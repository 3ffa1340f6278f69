/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Lists of bad areas.  The first byte chooses the block size, the format and
 * the device, the rest is the text.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "base/bad-list.h"

/* What areas.h says of a list. */
static void
check (const struct area_list *list)
{
  uint64_t end = 0;

  for (size_t i = 0; i < list->n; i++) {
    const struct area *a = &list->v[i];

    MUST (a->count > 0);
    MUST (a->count <= UINT64_MAX - a->offset);
    MUST (i == 0 || a->offset > end);
    end = a->offset + a->count;
    MUST (area_list_find (list, a->offset, 1) == a);
    MUST (area_list_find (list, end - 1, 1) == a);
    MUST (i == 0 || area_list_find (list, a->offset - 1, 1) != a);
  }
  MUST (area_list_find (list, end, UINT64_MAX - end) == NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const int64_t blocks[] = { 1024, 1, 512, 4096, 0, UINT32_MAX };
  struct input in = { data, size };
  const uint8_t first = take8 (&in);
  const struct list_options options = {
    .format = first / 6 % LIST_FORMATS,
    .block = list_format_takes_block (first / 6 % LIST_FORMATS) ?
      blocks[first % 6] : -1,
    .offset = first % 6 == 3 ? UINT64_C (1) << 63 : 0,
    .device = first / 48 % 2 ? "sda" : NULL,
  };
  struct list_about about;
  struct message message = { "" };
  struct area_list list;
  int err;

  err = bad_list_parse ((const char *) in.p, in.left, &options, &list, &about,
                        &message);
  if (err == 0)
    check (&list);
  else {
    MUST (err == EINVAL || err == ENOMEM);
    MUST (message.text[0] != '\0');
    MUST (memchr (message.text, 0, sizeof message.text) != NULL);
    MUST (list.n == 0);
  }
  area_list_free (&list);
  return 0;
}
