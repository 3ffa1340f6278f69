/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The structs that the parts of an open spare share.  Each part uses those
 * above it, never those below:
 *
 *   attribute   what a spare remembers apart from the states of sectors
 *   features    bits and names of what not every program knows
 *   format      the bytes of headers
 *   logpage     the bytes of log pages
 *   layout      where log areas and slots lie
 *   identity    what a spare belongs to, UUIDs
 *   changes     lists of changes
 *   pages       reading the pages of a log area
 *   stamp       the bytes of the owner stamp
 *   leader      being the one that writes; flushing, failing, warning
 *   ownership   being the one that uses the spare
 *
 *   header      both headers: reading, choosing, writing
 *   slots       where slots are, and which are free
 *   notes       reasons and times, read from the log
 *   attributes  those that the spare holds
 *
 *   room        how much of the log has storage
 *
 *   state       the whole state, as entries of the log
 *   carried     the attributes that a checkpoint carries over
 *   pieces      a checkpoint's pages, written piece by piece
 *   snapshot    a state, written elsewhere while the spare is in use
 *   checkpoint  when one is due, and how it becomes active
 *   reserve     room in the log for changes to come
 *   store       the contents of slots
 *   batch       what is committed at once, as pages
 *   replay      reading the log
 *   probe       what is on a device
 *   history     reasons and times, for people
 *   examine     what is damaged, for people
 *
 *   open        opening and closing
 *   commit      commits
 *   grow        growth
 *
 *   create      formatting
 *   backup      a copy of the spare
 *
 * Locks, in the order in which they are taken:
 *
 * leader      Not a mutex: the thread that has set `busy` under `lock` is
 *             the leader, which alone writes log and headers, and owns the
 *             fields marked so.  Others look at HDR and POS under `lock`,
 *             and so the leader changes these two with `lock` held.
 * lock        Guards the queue of waiting commits, busy, and counters.
 * alloc_lock  Guards the bitmap and all that belongs to it.
 * ownership's Guards the stamp; it is read and written under it.
 * flush_lock  Serialises flushes of the device.
 *
 * Atomic, and used without a lock: failed, slots_dirty, failures,
 * failed_place, geometry, what is reserved, and the statistics.
 */

#ifndef REMAP_SPARE_INTERNAL_H
#define REMAP_SPARE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "spare/logpage.h"

/* A commit for several waiters isn't made longer than this. */
#define BATCH_PAGES 64U

/* The slots' places.  Immutable: growth publishes another one, and the
 * older ones stay until the end, since readers hold no reference.
 */
struct geometry {
  struct geometry *older;
  uint64_t nslots;
  unsigned nsegments;
  struct {
    slot_t first;
    uint64_t nslots;
    uint64_t offset;            /* bytes */
  } segment[MAX_SEGMENTS];
};

/* A thread that waits for its commit; on its stack. */
struct waiter {
  struct waiter *next;
  struct change_list *list;
  const uint64_t *counters;     /* may be NULL */
  int err;
  bool done;
};

/* Which state is meant: what readers see, what the open update will make of
 * it, or what was pinned.
 */
enum state_source { STATE_NOW, STATE_UPDATE, STATE_PINNED };

/* See state.h. */
struct state_walk {
  const struct spare *s;
  enum state_source source;
  const struct state_pin *pin;  /* of STATE_PINNED */
  const struct notes *notes;    /* may be NULL */
  uint64_t now;
  bool in_map;                  /* past the retired slots */
  uint64_t next;                /* where to look for the next run */
  struct run run;               /* what is left of this one */
};

struct spare {
  const struct device *dev;
  struct map *map;              /* only the leader changes it */
  struct spare_env env;
  struct spare_identity id;
  bool read_only;
  bool started;                 /* may be written to */

  atomic_bool failed;           /* sticky */
  atomic_bool slots_dirty;      /* slots written since the last flush */
  atomic_uint failures;         /* of slot writes, in a row */
  _Atomic uint64_t failed_place; /* of the last one of them, or 0 */
  _Atomic (struct geometry *) geometry;
  atomic_uint_fast64_t commits, changes, flushes, checkpoints;

  /* See reserve.h: entries of the log that are reserved, and how many may be;
   * whether anybody has ever reserved any.
   */
  _Atomic uint64_t reserved, reservable;
  atomic_bool reserving;

  pthread_mutex_t lock;
  pthread_cond_t cond;          /* busy was cleared, or a waiter is done */
  struct waiter *queue, **queue_end;
  bool busy;
  bool growing;                 /* one growth at a time, while others lead */
  uint64_t turns;               /* how often somebody has ceased to lead */
  uint64_t counters[NR_SPARE_COUNTERS];

  /* The leader's. */
  struct header hdr;            /* as it is on the disk */
  uint32_t pos;                 /* next page of the active area */
  unsigned older_copy;          /* the header to write first: 0 A, 1 B */
  bool header_behind;           /* the two must be made equal first */
  uint64_t number;              /* of the last commit */
  uint64_t nonce;
  uint64_t room[2];             /* pages of the areas with storage */
  bool room_short;              /* there is no full reserve */
  struct checkpoint *checkpoint; /* being written; or NULL */
  uint32_t piece;               /* pages of it that a commit waits for */
  uint32_t due_after;           /* see checkpoint.c */
  uint32_t not_before;          /* none is begun before POS is this */
  uint32_t new_pos;             /* where the log ends in the area that the
                                 * next header may make active */
  uint64_t bound_then;          /* state_pages_at_most at the last one */
  struct map *retired;          /* LOST runs, keyed by slot */
  struct map *history;          /* notes of the log, for whoever takes them;
                                 * or NULL */

  /* The leader's, which changes them with `lock' held; sorted. */
  struct attribute **attributes;
  size_t nattributes;
  uint64_t attribute_bytes;     /* of content */

  pthread_mutex_t alloc_lock;
  uint64_t *used;               /* a bit for each slot: not to be given out */
  uint64_t *prepared;           /* a bit for each chunk: has room below */
  uint64_t nslots, nfree, nretired;
  uint64_t *kept;               /* a bit for each slot that waits for a copy
                                 * to be free, see slots.h; NULL: none does */
  uint64_t kept_slots;          /* so many bits */
  uint64_t nkept;
  bool kept_wanted;             /* given up: slots were needed */
  slot_t cursor;                /* where the next search begins */
  bool full;

  pthread_mutex_t flush_lock;

  struct ownership *ownership;  /* NULL: stamps don't matter */
};

#endif /* REMAP_SPARE_INTERNAL_H */
