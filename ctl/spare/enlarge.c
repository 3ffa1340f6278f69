/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "spare/enlarge.h"
#include "spare/offline.h"
#include "exit-status.h"
#include "text.h"
#include "units.h"

/* Bytes that the spare has not claimed must be blank; those that it has
 * claimed are its own, from a growth that was interrupted.
 */
static int
grow (struct held_spare *h, uint64_t size)
{
  struct spare_status st;
  uint64_t end;
  bool blank = true;
  int err;

  spare_get_status (h->spare, &st);
  if (size < st.size) {
    message_set (&h->message, "has %" PRIu64 " bytes: a spare can't be made "
                 "smaller", st.size);
    return EINVAL;
  }
  end = min_u64 (size, h->file.size);
  if (st.claimed < end) {
    err = spare_check_blank (&h->file.device, st.claimed, end,
                             spare_file_next_data, &blank, &h->message);
    if (err)
      return err;
  }
  if (!blank) {
    message_set (&h->message, "what follows the spare is not blank: it is "
                 "left alone");
    return EEXIST;
  }
  err = spare_file_extend (&h->file, size, &h->message);
  if (err)
    return err;
  err = spare_start (h->spare, &h->message);
  return err ? err : spare_grow (h->spare, size, &h->message);
}

int
spare_grow_offline (const char *path, uint64_t offset, uint64_t size)
{
  struct spare_status st;
  struct held_spare h;
  int err;

  if (!hold_spare (&h, path, offset, HOLD_TO_CHANGE))
    return STATUS_REFUSED;
  err = grow (&h, round_down (size, 4096));
  spare_get_status (h.spare, &st);
  hold_close (&h);
  if (err) {
    error ("%s: %s", path, h.message.text);
    return STATUS_REFUSED;
  }
  printf ("%s: the spare has %s now, with %s\n", path, show_bytes (st.size).s,
          show_count (st.slots_total, "slot").s);
  return STATUS_DONE;
}
