/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>

#include "base/owner.h"
#include "spare/owner.h"
#include "text.h"
#include "units.h"

enum spare_stamp
spare_owner (struct held_spare *h, char **text)
{
  struct owner owner;
  uint64_t renewed;
  enum spare_stamp stamp = spare_read_stamp (&h->file.device, &owner,
                                             &renewed);

  if (stamp == SPARE_HELD || stamp == SPARE_GIVEN_BACK)
    *text = text_of ("%sprocess %" PRIu64 " of the host \"%s\", %s %s",
                     stamp == SPARE_HELD ? "" : "none; the last one was ",
                     owner.pid, owner.host, stamp == SPARE_HELD ? "last seen"
                     : "until", show_time (renewed).s);
  else
    *text = copy_text (stamp == SPARE_NEVER_STAMPED ? "none"
                       : "its stamp is damaged, or can't be read");
  return stamp;
}
