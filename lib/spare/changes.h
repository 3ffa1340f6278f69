/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Changes of state, and lists of them that are committed together.
 *
 * A part of the spare's interface, see spare.h, which includes this.  A list
 * belongs to whoever made it, and to one thread at a time.
 */

#ifndef REMAP_SPARE_CHANGES_H
#define REMAP_SPARE_CHANGES_H

#include "base/sector.h"
#include "spare/attribute.h"

/* What becomes of sectors; the numbers are those of the spare's format.
 * CHANGE_RETIRE takes SLOT .. SLOT + COUNT - 1 out of use for ever, and has
 * no sector.  CHANGE_ATTRIBUTE is about no sector and no slot.
 */
enum change_kind {
  CHANGE_DIRECT = 0, CHANGE_REMAP = 1, CHANGE_LOST = 2, CHANGE_ZERO = 3,
  CHANGE_RETIRE = 4, CHANGE_KEPT = 5, CHANGE_WRITTEN = 6,
  CHANGE_ATTRIBUTE = 7,
};

/* A kind that sectors have is the state that they get. */
_Static_assert ((int) CHANGE_DIRECT == (int) DIRECT &&
                (int) CHANGE_REMAP == (int) REMAPPED &&
                (int) CHANGE_LOST == (int) LOST &&
                (int) CHANGE_ZERO == (int) ZERO &&
                (int) CHANGE_KEPT == (int) KEPT &&
                (int) CHANGE_WRITTEN == (int) WRITTEN, "kinds and states");

struct change {
  sector_t sector;
  uint64_t count;      /* sectors, or slots to retire */
  slot_t slot;         /* CHANGE_REMAP, CHANGE_RETIRE */
  enum change_kind kind;
  enum change_reason reason;
  struct attribute *attribute;  /* CHANGE_ATTRIBUTE; the list's */
};

/* Begins as all zeroes.  IN_DOUBT is set by spare_commit. */
struct change_list {
  struct change *v;
  size_t n, cap;
  uint64_t reserved;   /* runs that spare_reserve has kept for it; a commit
                        * that succeeds gives them back */
  bool in_doubt;
};

static inline bool
change_has_sector (enum change_kind kind)
{
  return kind != CHANGE_RETIRE && kind != CHANGE_ATTRIBUTE;
}

static inline bool
change_has_slot (enum change_kind kind)
{
  return kind == CHANGE_REMAP || kind == CHANGE_RETIRE;
}

/* What a change makes of the map; or, if it retires slots, of the retired
 * set, whose runs are LOST and have the number of the slot for a sector's.
 */
static inline struct run
change_run (enum change_kind kind, sector_t sector, slot_t slot,
            uint64_t count)
{
  if (kind == CHANGE_RETIRE)
    return (struct run) {
      .start = slot, .count = count, .state = LOST, .slot = NO_SLOT,
    };
  return (struct run) {
    .start = sector, .count = count, .state = (enum sector_state) kind,
    .slot = kind == CHANGE_REMAP ? slot : NO_SLOT,
  };
}

/* Returns 0 or ENOMEM. */
extern int change_list_add (struct change_list *list,
                            const struct change *change);

/* Adds a copy of an attribute whose tag, length and flags are as attribute.h
 * has them; its time is set by the commit.  Returns 0, EINVAL or ENOMEM.
 */
extern int change_list_add_attribute (struct change_list *list,
                                      const struct attribute *a);

/* Frees the memory, not the slots of a list that was never committed: see
 * spare_abandon.
 */
extern void change_list_free (struct change_list *list);

#endif /* REMAP_SPARE_CHANGES_H */
