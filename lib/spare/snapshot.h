/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The state of a spare at one moment, for whoever writes it elsewhere while
 * the spare is in use.
 *
 * A snapshot is one thread's.  As long as there is one, the slots of its
 * sectors aren't used for others (slots_keep_begin), and the map takes up to
 * twice its memory.
 */

#ifndef REMAP_SPARE_SNAPSHOT_H
#define REMAP_SPARE_SNAPSHOT_H

#include "spare/carried.h"
#include "spare/internal.h"
#include "spare/state.h"

struct snapshot {
  struct spare *s;
  struct header hdr;
  uint32_t pos;                 /* where the log ended */
  uint64_t number, nonce;       /* of the last commit */
  uint64_t counters[NR_SPARE_COUNTERS];
  struct state_pin pin;
  struct carried attributes;    /* may be added to */

  /* Sectors whose slots can't be read: LOST runs, begun as an update. */
  struct map *unreadable;
  uint64_t nunreadable;
};

/* Waits until nobody leads.  Returns 0, EBUSY (there is one already), or
 * ENOMEM.
 */
extern int snapshot_take (struct snapshot *snap, struct spare *s);

/* The first run of sectors that aren't DIRECT, as map_next. */
static inline bool
snapshot_next (const struct snapshot *snap, sector_t start, struct run *run)
{
  return map_pinned_next (&snap->pin.sectors, start, run);
}

/* The content of these sectors is unknown: in what is written they are LOST.
 * Returns 0 or ENOMEM.
 */
extern int snapshot_lose (struct snapshot *snap, sector_t start,
                          uint64_t count);

/* Writes all but the slots to OUT, which reads as zeroes: headers, and a log
 * that is one checkpoint.  No more sectors can be lost after this.  Returns 0,
 * ENOMEM, ENOSPC (the LOST sectors have made the state too large), or what OUT
 * says.
 */
extern int snapshot_write (struct snapshot *snap, const struct device *out);

extern void snapshot_drop (struct snapshot *snap);

#endif /* REMAP_SPARE_SNAPSHOT_H */
