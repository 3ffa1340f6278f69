/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the tests of the engine share: an engine between a simulated main
 * and a spare in memory, with a clock that the test turns, and data that
 * tells where it belongs.
 *
 * The byte at an offset depends on the offset and on a tag.  So each write
 * gets another tag, and a sector that was swapped, torn or invented shows.
 */

#ifndef ENGINE_RIG_H
#define ENGINE_RIG_H

#include <stdatomic.h>

#include <CUnit/Basic.h>

#include "engine/events.h"
#include "engine/internal.h"
#include "memdev.h"
#include "run-tests.h"
#include "simdisk.h"

#define KIB UINT64_C (1024)
#define MIB (KIB * 1024)
#define SEC(n) ((uint64_t) (n) * SECTOR_SIZE)

/* Zeroes are what engine_rig_init takes for: 4 MiB, blocks of 512 bytes,
 * a spare of 16 MiB, 1 retry, automatic remapping.
 */
struct rig_options {
  uint64_t size;
  uint32_t block, max_call, copy_block;
  uint64_t spare_size;
  int retries;                  /* -1: none */
  bool manual, lost_zero;
};

struct engine_rig {
  struct simdisk *main;
  struct memdev *mem;           /* the spare's device */
  struct engine_config config;
  struct map *map;
  struct spare *spare;
  struct engine *e;
  struct engine_conn conn;
  _Atomic uint64_t now_ms;
  uint64_t next_event;          /* that counts as a warning, or doesn't */
  atomic_uint warnings;
  char warning[512];            /* the last one */
};

/* A fresh disk, filled with tag 1, and a fresh spare. */
extern void rig_init (struct engine_rig *r, const struct rig_options *o);

/* Ends everything; checks that nothing is held or leaked, and that main
 * was asked for nothing improper.
 */
extern void rig_end (struct engine_rig *r);

/* As the server's end and start: the spare is closed and loaded again. */
extern void rig_restart (struct engine_rig *r);

/* As the server's end, but the spare is MEM when it starts again: what a crash
 * has left of it.
 */
extern void rig_restart_with (struct engine_rig *r, struct memdev *mem);

/* Asserts that no range is locked, and no slot is used but by the map. */
extern void rig_check_idle (struct engine_rig *r);

/* A request sleeps while main is lost: simulated time passes, but not while
 * another one asks main whether it is back, which takes real time.  False: it
 * has stood still.  Milliseconds.
 */
extern bool rig_sleeps (struct engine_rig *r, unsigned ms);

extern void fill (uint8_t *buf, uint64_t offset, uint64_t count,
                  unsigned tag);
extern bool matches (const uint8_t *buf, uint64_t offset, uint64_t count,
                     unsigned tag);

/* Requests on the rig's connection; they return the errno.  rig_read
 * returns 0, an errno, or -1 for data that isn't of TAG (0: zeroes).
 */
extern int rig_write (struct engine_rig *r, uint64_t offset, uint64_t count,
                      unsigned tag);
extern int rig_write_fua (struct engine_rig *r, uint64_t offset,
                          uint64_t count, unsigned tag);
extern int rig_read (struct engine_rig *r, uint64_t offset, uint64_t count,
                     unsigned tag);
extern int rig_zero (struct engine_rig *r, uint64_t offset, uint64_t count);
extern int rig_flush (struct engine_rig *r);

/* The same connection, from now on over another device as main. */
static inline struct engine_conn *
over (struct engine_conn *conn, const struct device *main_dev)
{
  conn->main_dev = *main_dev;
  return conn;
}

/* Does main itself hold this? */
extern bool main_holds (struct engine_rig *r, uint64_t offset,
                        uint64_t count, unsigned tag);

/* COUNT states as letters, as the map has them: D, R, L, Z, K, W.  Static
 * memory.
 */
extern const char *states (struct engine_rig *r, sector_t start,
                           unsigned count);

/* How many sectors are in each state. */
extern struct map_totals totals (struct engine_rig *r);
extern uint64_t stat_of (struct engine_rig *r, enum engine_stat stat);
extern enum engine_health health (struct engine_rig *r);

/* Changes of state, directly in map and spare: TAG is the content of
 * REMAPPED ones.
 */
extern void set_state (struct engine_rig *r, sector_t start, uint64_t count,
                       enum sector_state state, unsigned tag);

/* A request in a thread of its own. */
struct job {
  struct engine_rig *r;
  enum { JOB_READ, JOB_WRITE, JOB_ZERO, JOB_FLUSH, JOB_FUA } what;
  uint64_t offset, count;
  unsigned tag;                 /* for a read: what it must return */
  struct engine_conn conn;
  int result;
  atomic_bool done;
  pthread_t thread;
};
extern void job_start (struct job *j, struct engine_rig *r, int what,
                       uint64_t offset, uint64_t count, unsigned tag);
extern int job_end (struct job *j);

/* Waits until the job has ended, or long enough for it to go wrong: for
 * requests that must not end now.  Returns whether it has ended.
 */
extern bool job_ended_early (struct job *j);

#endif /* ENGINE_RIG_H */
