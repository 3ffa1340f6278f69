/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A device in memory that misbehaves on command.
 *
 * It implements all operations of device.h, and records every write and
 * flush.  From the record it makes the image that a crash could have left
 * behind after any event: whatever was flushed is there; of the writes
 * that came later any subset, each whole or torn.  It fails chosen
 * operations, has bad sectors, and runs out of space.
 *
 * All functions may be called from any thread.  The functions that return
 * a device abort when memory runs out: they are for tests.  The operations
 * themselves don't use malloc, so that a test can make that fail.
 */

#ifndef MEMDEV_H
#define MEMDEV_H

#include <pthread.h>

#include "base/device.h"

enum memdev_op {
  MEMDEV_READ = 1, MEMDEV_WRITE = 2, MEMDEV_FLUSH = 4, MEMDEV_ZERO = 8,
  MEMDEV_TRIM = 16, MEMDEV_ALLOCATE = 32, MEMDEV_PROBE = 64,
};
#define MEMDEV_MODIFY (MEMDEV_WRITE | MEMDEV_ZERO)
#define MEMDEV_ANY 127

/* What a write that fails on command leaves behind. */
enum memdev_partial {
  MEMDEV_NOTHING,       /* the old content */
  MEMDEV_GOOD,          /* all but its bad sectors: all if it has none */
  MEMDEV_SOME,          /* every second sector */
};

struct memdev_event {
  bool flush;
  uint64_t offset;
  uint32_t count;       /* bytes */
  uint8_t *data;
  uint64_t time;        /* see struct memdev, clock */
  bool heals;           /* see flush_loses */
};

struct memdev_bad {
  unsigned ops;
  uint64_t offset, count;
  int err;
  unsigned times;       /* fails only so often; 0: always */
  unsigned left;        /* of these */
};

struct memdev {
  struct device dev;    /* what to give to the code under test */
  uint64_t size;        /* bytes */

  pthread_mutex_t lock; /* guards everything below */
  uint8_t *data;        /* what reads return */
  uint8_t *base;        /* what was durable before the first event */
  struct memdev_event *event;
  size_t nevents, cap;
  bool recording;       /* if not, a flush forgets what came before */

  /* If not NULL each event takes this number, and raises it.  Devices that
   * share it have their events in one order.  (Nobody may use them from two
   * threads at once, then.)
   */
  uint64_t *clock;

  /* Trimmed bytes become zeroes; otherwise they stay as they are. */
  bool trim_zeroes;

  /* A flush that fails, and a disk that goes away (memdev_fail with ENODEV),
   * leave an event without bytes behind: later flushes say nothing about
   * what was written before it, as with a page cache.  Only the first one
   * after the program has opened the device anew (REOPENED is set then)
   * does: what can be read at that time is on the disk.
   */
  bool flush_loses, reopened;

  /* See memdev_freeze.  DIRTY: for each page of 4096, whether it has
   * changed since; DIRTY_LIST: which ones have.
   */
  uint8_t *dirty;       /* NULL: not frozen */
  uint32_t *dirty_list;
  size_t ndirty;

  /* Operations so far, those that failed included; set to 0 at will. */
  uint64_t reads, writes, flushes, zeroes, trims, allocates, probes;
  uint64_t bytes_read, bytes_written;
  uint64_t outside;     /* operations that left the device: a bug */

  /* Failures, see memdev_fail. */
  /* A write that timed out, and may land whenever it likes (memdev_land);
   * the first one since the last memdev_fail or memdev_rewind.
   */
  uint8_t *late;
  uint64_t late_offset;
  uint32_t late_count;

  unsigned fail_ops;
  uint64_t fail_after;
  int fail_err;
  bool fail_forever;
  uint64_t failed;      /* how many failed on command */
  uint64_t fail_hits;   /* of these, by memdev_fail */
  enum memdev_partial partial;
  int gone;             /* if not 0, all operations fail with it */

  struct memdev_bad *bad;
  size_t nbad;

  /* Room: a byte for each page of 4096 says whether it has storage. */
  uint8_t *has_storage;
  uint64_t room;        /* more pages that can get some */
  int room_err;         /* ENOSPC unless changed */

  /* If not NULL, called before each operation, without the lock. */
  void (*hook) (void *opaque, enum memdev_op op, uint64_t offset,
                uint64_t count);
  void *hook_opaque;
};

/* A device of zeroes; unlimited room, no errors. */
extern struct memdev *memdev_new (uint64_t size);
extern void memdev_free (struct memdev *m);

/* Changes the size.  What has been recorded must have been flushed. */
extern void memdev_resize (struct memdev *m, uint64_t size);

/* Changes bytes behind everybody's back, durably. */
extern void memdev_poke (struct memdev *m, uint64_t offset, const void *buf,
                         size_t len);

/* From now on (1) or for the last time so far (0) keeps all events. */
extern void memdev_record (struct memdev *m, bool recording);

/* The Nth operation (from 1) from now on that is one of OPS fails with
 * ERR; and all that follow, if FOREVER.  N = 0: no failures any more.
 */
extern void memdev_fail (struct memdev *m, unsigned ops, uint64_t n, int err,
                         bool forever);

/* The write that timed out lands now, if there is one. */
extern void memdev_land (struct memdev *m);

/* Operations of these kinds fail where they touch the range (OPS = 0
 * removes all ranges that overlap).
 */
extern void memdev_set_bad (struct memdev *m, unsigned ops, uint64_t offset,
                            uint64_t count, int err);

/* The last range that was set bad fails only so many times (0: always),
 * and is good then, until memdev_rewind.
 */
extern void memdev_set_weak (struct memdev *m, unsigned times);

/* How many more pages of 4096 bytes may get storage; UINT64_MAX: any. */
extern void memdev_set_room (struct memdev *m, uint64_t pages);

/* Writes without a flush after them, among the first N events. */
extern size_t memdev_unflushed (struct memdev *m, size_t n);

/* How a crash treats the writes that were not flushed. */
struct memdev_crash {
  uint64_t subset;      /* bit I: the Ith of them reaches the disk at all;
                         * there may be more than 64 if RANDOM is set */
  bool random;          /* instead: each of them by chance */
  uint32_t tear;        /* 0, or 512, or 4096: of each write that reaches
                         * the disk, units of this size do so by chance */
  uint64_t seed;
};

/* A new device, as the disk is after a crash behind the first N events. */
extern struct memdev *memdev_crash (struct memdev *m, size_t n,
                                    const struct memdev_crash *how);

/* A new device, as it is after the program alone was killed there: all
 * writes can be read, and those not flushed may still be lost in a crash.
 */
extern struct memdev *memdev_kill (struct memdev *m, size_t n);

/* Images by the hundred thousand: freeze makes what the device holds now
 * the state to which rewind returns, with all events gone; that costs only
 * as much as was changed since.  patch changes bytes without an event.  A
 * frozen device is always recording.  clone is a frozen device like M,
 * which must be frozen, but without M's hook and clock.
 */
extern void memdev_freeze (struct memdev *m);
extern void memdev_rewind (struct memdev *m);
extern void memdev_patch (struct memdev *m, uint64_t offset, const void *buf,
                          uint32_t count);
extern struct memdev *memdev_clone (struct memdev *m);

/* An event as of a write that succeeds, wherever it is. */
extern void memdev_inject (struct memdev *m, uint64_t offset,
                           const void *buf, uint32_t count);

/* A number that looks random, from a seed that is changed. */
extern uint64_t memdev_random (uint64_t *seed);

#endif /* MEMDEV_H */
