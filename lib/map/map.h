/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The map: sector -> state, in memory.
 *
 * Holds every run of sectors that is not DIRECT, as an ordered tree of
 * immutable nodes (map.c has the design).  Readers take no lock and never
 * wait: they see, for each sector, the state before or after an update.
 * Writers are serialised by their caller: at most one update is open at
 * any time.
 *
 * An update is built beside the tree that readers see, and is then
 * published at once or thrown away.  Whatever can fail, fails while it is
 * built: so a change can be made durable between the two, and publishing
 * it can't fail.
 *
 * The same structure serves as a set or an annotation of sectors or slots
 * elsewhere: REMAPPED runs carry a value that counts up along the run
 * (the slot), MAP_NOTE runs one that stays the same, all others carry none.
 *
 * Limits: MAP_MAX_SECTOR sectors, MAP_MAX_SLOT slots.
 *
 * A thread that looks up a map which isn't empty is registered with
 * liburcu-bp (flavour "bp") when it does so for the first time; after
 * that, a lookup takes no lock, allocates nothing and makes no system
 * call.  No thread may look up a map, and then fork and go on in the
 * child.
 */

#ifndef REMAP_MAP_H
#define REMAP_MAP_H

#include "base/sector.h"

/* A sector number has 54 bits (8 EiB), a slot number 38 (128 TiB). */
#define MAP_MAX_SECTOR (UINT64_C (1) << 54)
#define MAP_MAX_SLOT (UINT64_C (1) << 38)

/* One more state, for maps that annotate: all sectors of the run carry the
 * same value, which is in run.slot and less than MAP_MAX_SLOT.
 */
#define MAP_NOTE ((enum sector_state) 4)

struct map;
struct tree;
struct node;

/* What a map begins with: NULL if all sectors are DIRECT. */
struct map_head {
  struct tree *root;
};

struct map_totals {
  uint64_t remapped;   /* sectors */
  uint64_t lost;       /* sectors */
  uint64_t zero;       /* sectors */
  uint64_t kept;       /* sectors */
  uint64_t written;    /* sectors */
  uint64_t runs;       /* entries of the tree (see map.c), notes included */
  uint64_t bytes;      /* memory of all nodes, without malloc's own */
};

/* An empty map, or NULL (errno is set). */
extern struct map *map_new (void);

/* No reader and no update may be left. */
extern void map_free (struct map *map);

/* The run that holds sector START, cut to START and to at most COUNT
 * sectors (COUNT >= 1).  Never empty.  DIRECT where there is no entry,
 * up to the next entry.  Any thread, at any time.
 */
extern struct run map_lookup (const struct map *map, sector_t start,
                              uint64_t count);

static inline bool
map_is_empty (const struct map *map)
{
  const struct map_head *head = (const struct map_head *) map;

  return __atomic_load_n (&head->root, __ATOMIC_ACQUIRE) == NULL;
}

/* True if all of the range is DIRECT.  Any thread, at any time. */
extern bool map_search_all_direct (const struct map *map, sector_t start,
                                   uint64_t count);

static inline bool
map_all_direct (const struct map *map, sector_t start, uint64_t count)
{
  return map_is_empty (map) || map_search_all_direct (map, start, count);
}

/* The first run that is not DIRECT and ends after START, whole (even if
 * it begins before START or takes several entries), in RUN; false if
 * there is none.  Any thread, at any time.
 */
extern bool map_next (const struct map *map, sector_t start, struct run *run);

/* A consistent set of totals of the published tree; the sectors of notes
 * count in none.  Any thread.
 */
extern void map_get_totals (const struct map *map, struct map_totals *totals);

/* Updates.  map_set puts a run in place of whatever its sectors were; a
 * DIRECT run deletes.  Adjacent runs that continue each other become one.
 * The run must be within the limits.  map_set returns 0 or ENOMEM; after
 * an error the update can only be aborted.  map_update_next is map_next
 * within the open update.  Readers that are in the former tree go on there:
 * only now and then map_publish waits for them (a grace period), to free
 * memory.  So it must not be called by a thread that is inside an RCU read-
 * side section of its own.
 */
extern void map_begin (struct map *map);
extern int map_set (struct map *map, const struct run *run);
extern bool map_update_next (const struct map *map, sector_t start,
                             struct run *run);
extern void map_publish (struct map *map);
extern void map_abort (struct map *map);

/* Pins the map as it is now: it can be walked with map_pinned_next, by any
 * thread and whatever is published meanwhile, until map_unpin.  What updates
 * replace of it takes memory as long: at most as much as the map itself, for
 * each pin.  The struct is the caller's, and doesn't move.  To pin and unpin is
 * the writer's, not while an update is open.
 */
struct map_pin {
  struct map_pin *next;
  const struct node *tree;      /* NULL: all was DIRECT */
  uint64_t update;              /* its nodes are of earlier ones */
};

extern void map_pin (struct map *map, struct map_pin *pin);
extern bool map_pinned_next (const struct map_pin *pin, sector_t start,
                             struct run *run);
extern void map_unpin (struct map *map, struct map_pin *pin);

/* Fills an empty map that no reader can see yet from runs in ascending
 * order that do not overlap, in linear time.  map_load_end must follow;
 * both return 0 or ENOMEM, map_load also EINVAL for a run that is out of
 * order, empty, DIRECT or beyond the limits.  After an error the map can
 * only be freed.
 */
extern int map_load (struct map *map, const struct run *run);
extern int map_load_end (struct map *map);

#endif /* REMAP_MAP_H */
