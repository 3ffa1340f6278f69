/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/sector.h"
#include "status/dm.h"

/* "scan" is about a background scan; the filter has none. */
void
status_print_dm (const struct status *st)
{
  const uint64_t slots = st->spare.total;

  printf ("0 %" PRIu64 " remap v2.0 %" PRIu64 "/%" PRIu64 " %" PRIu64 "/%"
          PRIu64 " %" PRIu64 "/%" PRIu64 " health=%d errors=W%" PRIu64
          ":R%" PRIu64 " auto_remaps=%" PRIu64 " manual_remaps=%" PRIu64
          " scan=0%%", bytes_to_sectors (st->main.size),
          st->manual_remaps, slots, st->auto_remaps, slots,
          st->manual_remaps + st->auto_remaps, slots,
          strcmp (st->health, "ok") == 0, st->errors.write, st->errors.read,
          st->auto_remaps, st->manual_remaps);
  /* What reads this may know no more than it had without a copy. */
  if (st->sectors.kept + st->sectors.written > 0)
    printf (" kept=%" PRIu64 " written=%" PRIu64, st->sectors.kept,
            st->sectors.written);
  putchar ('\n');
}
