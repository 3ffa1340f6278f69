/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the parts of the spare share: spare.c (probe, format, load, grow),
 * spare-header.c (writing headers), spare-replay.c (reading the log),
 * spare-log.c (commits), spare-checkpoint.c, spare-notes.c (reasons and
 * times), spare-history.c (the same, for people), and spare-slots.c.
 *
 * Locks, in the order in which they are taken:
 *
 * leader      Not a mutex: whoever has set `busy` under `lock` is the
 *             leader, alone writes log and headers, and owns the fields
 *             marked so.  Of these HDR and POS, which others look at, are
 *             changed with `lock` held as well.
 * lock        Guards the queue of waiting commits, busy, and counters.
 * alloc_lock  Guards the bitmap and all that belongs to it.
 * flush_lock  Serialises flushes of the device.
 *
 * Atomic, read by anybody without a lock: failed, slots_dirty, geometry,
 * failures, the statistics.
 */

#ifndef REMAP_SPARE_INTERNAL_H
#define REMAP_SPARE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "spare/format.h"

#define MAX_IO_SLOTS 65536U     /* slots read or written at once: 32 MiB */
/* Pages read or written at once: 1 MiB.  Fuzzers have a smaller one. */
#ifndef WINDOW_PAGES
#define WINDOW_PAGES 256U
#endif
#define HIGH_WATER_STEP 256U    /* pages */
#define BATCH_PAGES 64U         /* a group commit isn't made longer */
#define CHUNK_SLOTS 2048U       /* slots that are allocated together */
#define MAX_FAILURES 8U         /* failing slot writes in a row ... */
#define FAILURE_UNIT 4096U      /* ... at different places: bytes */

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

struct slot_range {
  slot_t slot;
  uint64_t count;
};

struct waiter {
  struct waiter *next;
  struct change_list *list;
  const uint64_t *counters;     /* may be NULL */
  int err;
  bool done;
};

struct spare {
  const struct device *dev;
  struct map *map;
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

  pthread_mutex_t lock;
  pthread_cond_t cond;          /* busy was cleared, or a waiter is done */
  struct waiter *queue, **queue_end;
  bool busy;
  uint64_t counters[NR_SPARE_COUNTERS];

  /* The leader's. */
  struct header hdr;            /* as it is on the disk */
  uint32_t pos;                 /* next page of the active area */
  unsigned older_copy;          /* the header to write first: 0 A, 1 B */
  bool header_behind;           /* the two must be made equal first */
  uint64_t number;              /* of the last commit */
  uint64_t nonce;
  struct map *retired;          /* LOST runs, keyed by slot */

  pthread_mutex_t alloc_lock;
  uint64_t *used;               /* a bit for each slot: not to be given out */
  uint64_t *prepared;           /* a bit for each chunk: has room below */
  uint64_t nslots, nfree, nretired;
  slot_t cursor;                /* where the next search begins */
  bool full;

  pthread_mutex_t flush_lock;
};

/* spare.c */
extern void spare_warn (struct spare *s, const char *fs, ...)
  __attribute__ ((format (printf, 2, 3)));
extern uint64_t spare_now (struct spare *s);
extern void spare_new_nonce (struct spare *s);
extern void spare_lead (struct spare *s);
extern void spare_unlead (struct spare *s);
extern struct geometry *spare_new_geometry (const struct header *h);

static inline const struct geometry *
spare_geometry (const struct spare *s)
{
  return atomic_load_explicit (&s->geometry, memory_order_acquire);
}

static inline void
spare_set_failed (struct spare *s)
{
  atomic_store (&s->failed, true);
}

/* Flushes the device whether or not it seems necessary. */
extern int spare_flush_device (struct spare *s);

/* spare-header.c, all of it the leader's.  header_write puts H into both
 * copies, each flushed, and into s->hdr.  ENOSPC: s->hdr is as it was.
 * When the second copy alone found no room this is a success, and
 * header_behind says that it must be repeated before the next commit.
 * Any other failure is sticky.
 */
extern int header_write (struct spare *s, const struct header *h);
extern int header_repair (struct spare *s);

/* Reads both copies and chooses; H is the one that counts.  COPY says
 * which, OTHER_OK if the other one is intact.  Returns 0 or an errno.
 */
struct header_pair {
  enum header_class class[2];
  struct header copy[2];
  int io_error[2];              /* errno of reading, or 0 */
  int chosen;                   /* -1: none is complete */
};
extern int header_read_both (const struct device *dev, uint64_t size,
                             struct header_pair *pair,
                             struct message *message);

/* spare-replay.c */
struct page_reader {
  const struct device *dev;
  const struct log_area *area;
  uint32_t limit;               /* never reads at or beyond this page */
  uint32_t first, count;        /* what the window holds */
  uint8_t *window;
};
extern int page_reader_init (struct page_reader *r, const struct device *dev,
                             const struct log_area *area, uint32_t limit);
extern void page_reader_free (struct page_reader *r);

/* Points PAGE at the page.  Returns 0 or the errno of reading it. */
extern int page_reader_get (struct page_reader *r, uint32_t position,
                            const uint8_t **page);

/* Reads the log of s->hdr into the map, the retired set, and counters;
 * sets pos and number; marks the slots that are mapped.
 */
extern int log_replay (struct spare *s, struct message *message);

/* spare-notes.c: reason and time of each change, which are nowhere but in
 * the log, as maps of notes: by sector, and by slot for the retired ones
 * (NULL if nobody wants to know).  notes_init returns 0 or ENOMEM.
 */
#define NOTE_TIME_BITS 34
#define NOTE_TIME_MAX ((UINT64_C (1) << NOTE_TIME_BITS) - 1)

struct notes {
  struct map *sectors, *slots;
};
extern int notes_init (struct notes *n, bool with_slots);
extern void notes_free (struct notes *n);

/* Adds what the pages FROM .. TO - 1 of the active area of H say.  BAD: how
 * many of them can't be read, or aren't H's.  Returns 0 or ENOMEM; then
 * nothing was added.
 */
extern int notes_read (struct spare *s, struct notes *n,
                       const struct header *h, uint32_t from, uint32_t to,
                       uint32_t *bad);

/* spare-checkpoint.c, the leader's.  NEED is how many pages must remain
 * for commits; ENOSPC if that can't be.
 */
extern int log_checkpoint (struct spare *s, uint64_t need);

/* Writes the state into an area that isn't active; returns its length.
 * FATAL: an error other than ENOSPC or ENOMEM is sticky.
 */
extern int checkpoint_write (struct spare *s, const struct log_area *area,
                             uint64_t need, bool fatal, uint32_t *pages);

/* Fills in H what changes when that checkpoint becomes active. */
extern void checkpoint_header (const struct spare *s, struct header *h,
                               unsigned area, uint32_t pages);
extern void checkpoint_adopt (struct spare *s);

/* spare-slots.c */
extern int slots_init (struct spare *s);

/* Marks slots as not to be given out; false if one of them was already. */
extern bool slots_mark (struct spare *s, slot_t slot, uint64_t count);

/* The same, but they may be marked already. */
extern void slots_hold (struct spare *s, slot_t slot, uint64_t count);
extern void slots_free (struct spare *s, slot_t slot, uint64_t count);

/* The same for those that were in use, after the commit that gave them up:
 * a spare that was full has room again.
 */
extern void slots_release (struct spare *s, slot_t slot, uint64_t count);

/* Makes room in the bitmap; slots_grown then counts the new ones. */
extern int slots_reserve_bitmap (struct spare *s, uint64_t nslots);
extern void slots_grown (struct spare *s, uint64_t nslots);

#endif /* REMAP_SPARE_INTERNAL_H */
