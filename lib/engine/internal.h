/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the parts of the engine share:
 *
 *   engine.c       life, flush
 *   engine-status.c  counters, health
 *   engine-main.c  calls to main: errors, main lost and found, canaries
 *   engine-read.c  reads, and the isolation of what fails
 *   engine-write.c writes of whole main blocks; placing data in the spare
 *   engine-edge.c  writes of less than a main block: read, modify, write
 *   engine-zero.c  zero, trim and cache
 *   engine-ops.c   what operators ask for
 *   engine-unmap.c   the same: giving sectors back to main
 *   engine-verify.c  the same: reading without changing anything
 *
 * The order of locks: RANGES, then FLUSHES, then the spare's, then the
 * small mutexes here, which are held for a few instructions only (but the
 * one of probing, which nobody waits for while main isn't lost).
 */

#ifndef REMAP_ENGINE_INTERNAL_H
#define REMAP_ENGINE_INTERNAL_H

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rangelock.h"
#include "base/shard.h"
#include "engine/engine.h"
#include "engine/errors.h"

#define STAT_SHARDS 16

struct stat_shard {
  _Alignas (64) _Atomic uint64_t v[NR_ENGINE_STATS];
};

struct engine {
  struct engine_config config;
  uint64_t nr_sectors;                  /* of main */
  uint32_t max_call;                    /* to main, bytes, whole blocks */
  struct map *map;
  struct spare *spare;
  struct range_lock *ranges;
  struct canaries canaries;

  atomic_bool auto_remap;

  /* Main has been written since its last flush began. */
  atomic_bool main_dirty;

  /* Main has been written, zeroed or trimmed since the engine was made.  Set
   * before that reaches main, by who holds its range.
   */
  atomic_bool main_written;

  /* Failed flushes of main, ever; compared with engine_conn. */
  _Atomic uint64_t flush_failures;

  /* Times that main was lost: a write that sees two values may be lost. */
  _Atomic uint64_t losses;

  /* Flushes of main that are under way, counted and as shared holds of one
   * byte.
   */
  atomic_uint nr_flushing;
  struct range_lock *flushes;

  /* Main is lost.  Set and cleared under probe_mutex, which also lets only
   * one request at a time ask whether main is back, and guards last_probe.
   */
  atomic_bool main_lost;
  pthread_mutex_t probe_mutex;
  uint64_t last_probe_ms;

  /* Blocks that main must not be used for any more, since a write that
   * timed out may still land there, or since a record that was not known
   * to be durable may take effect later: a set, whose mutex serialises
   * additions.  If one finds no memory, that is all blocks.  have_late
   * spares the lookup while the set is empty; and then simple_max, the
   * largest write in bytes that may be a simple one (see engine-pwrite.c), is
   * max_call, and 0 from then on.
   */
  atomic_bool have_late, all_late;
  _Atomic uint32_t simple_max;
  pthread_mutex_t late_mutex;
  struct map *late;

  /* Slots that could not be read: a set, keyed by slot.  Their sectors'
   * next full write takes a new slot.
   */
  atomic_bool have_unreadable;
  pthread_mutex_t unreadable_mutex;
  struct map *unreadable;

  /* A record found no room, or the spare had no slot, the last time. */
  atomic_bool spare_short;

  struct stat_shard stats[STAT_SHARDS];

  /* What the counters were when they were cleared. */
  pthread_mutex_t cleared_mutex;
  uint64_t cleared[NR_ENGINE_STATS];
};

/* A request on its way.  Lives on the stack of the thread that serves it. */
struct request {
  struct engine *e;
  struct engine_conn *conn;
  uint64_t start, end;                  /* bytes, for the canaries */
  bool canaries_asked;                  /* one round a request */
  bool wrote_main, wrote_slots;         /* what FUA has to flush */
  unsigned failing_pieces;
  unsigned nr_bad_canaries;
  struct placement *placement;          /* engine-write.c's */
  uint64_t losses;                      /* when it first wrote to main */
  uint64_t bad_canary[NR_CANARIES];     /* byte offsets */
};

/* Failing pieces in one write after which the rest isn't tried any more. */
#define MAX_FAILING_PIECES 64

/* Pieces in which data travels that isn't the client's own buffer, and in
 * which mapped sectors are handled.  Bytes.
 */
#define PIECE_SIZE (UINT32_C (1) << 20)

/* Other requests to main.  Bytes. */
#define MAX_CALL (UINT32_C (1) << 30)

/* Zero requests to main: larger ones meet a defect of some versions of
 * nbdkit when they are emulated.  Bytes.
 */
#define ZERO_PIECE (UINT32_C (32) << 20)

/* engine-status.c */

/* Threads count in shards of their own as far as there are enough: the
 * thread's one, as bytes from the first; -1 before stat_choose_home.
 */
extern _Thread_local intptr_t stat_home;
extern intptr_t stat_choose_home (void);

static inline struct stat_shard *
stat_shard (struct engine *e)
{
  intptr_t home = stat_home;

  if (home < 0)
    home = stat_choose_home ();
  return (struct stat_shard *) ((char *) e->stats + home);
}

static inline void
stat_add (struct engine *e, enum engine_stat stat, uint64_t n)
{
  atomic_fetch_add_explicit (&stat_shard (e)->v[stat], n,
                             memory_order_relaxed);
}

/* A request of a client.  The number of its bytes follows that of requests
 * in enum engine_stat.
 */
static inline void
stat_request (struct engine *e, enum engine_stat stat, uint32_t bytes)
{
  struct stat_shard *shard = stat_shard (e);

  atomic_fetch_add_explicit (&shard->v[stat], 1, memory_order_relaxed);
  atomic_fetch_add_explicit (&shard->v[stat + 1], bytes,
                             memory_order_relaxed);
}

/* engine.c */
extern void engine_log (struct engine *e, enum engine_log_level level,
                        const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));
extern int flush_main (struct request *r);

/* Ends a request that wrote: with FUA, flushes what it wrote to.  Changes
 * of state are durable already.
 */
extern int finish_write_slowly (struct request *r, int err, bool fua);

static inline int
finish_write (struct request *r, int err, bool fua)
{
  struct engine *e = r->e;

  /* As a rule nothing happened that somebody would have to be told of. */
  if (err == 0 && !fua && r->nr_bad_canaries == 0 && r->failing_pieces == 0 &&
      atomic_load (&e->main_dirty) && !atomic_load (&e->main_lost) &&
      atomic_load (&e->losses) == r->losses)
    return 0;
  return finish_write_slowly (r, err, fua);
}

/* Commits LIST, and empties and frees it.  An empty list costs nothing. */
extern int commit (struct engine *e, struct change_list *list,
                   const uint64_t counters[NR_SPARE_COUNTERS]);

static inline void
request_init (struct request *r, struct engine_conn *conn, uint64_t offset,
              uint64_t count)
{
  r->e = conn->engine;
  r->conn = conn;
  r->start = offset;
  r->end = offset + count;
  memset (&r->canaries_asked, 0, offsetof (struct request, bad_canary) -
          offsetof (struct request, canaries_asked));
}

/* Is START aligned, and END too, or the end of main? */
static inline bool
is_aligned (const struct engine *e, uint64_t start, uint64_t end)
{
  return ((start | end) & (e->config.main_block - 1)) == 0 ||
    ((start & (e->config.main_block - 1)) == 0 &&
     end == e->config.main_size);
}

static inline uint64_t
block_of (const struct engine *e, uint64_t offset)
{
  return round_down (offset, e->config.main_block);
}

static inline uint64_t
block_end (const struct engine *e, uint64_t offset)
{
  uint64_t end = block_of (e, offset) + e->config.main_block;

  return end < e->config.main_size ? end : e->config.main_size;
}

/* One main block, alone. */
static inline void
lock_block (struct engine *e, struct exclusive_hold *hold, uint64_t block)
{
  range_lock_exclusive (e->ranges, hold, block,
                        block + e->config.main_block);
}

static inline void
unlock_block (struct engine *e, struct exclusive_hold *hold)
{
  range_unlock_exclusive (e->ranges, hold);
}

/* What parts of the engine tell each other; no errno is negative, whatever
 * a device returns.
 */
enum {
  LOOK_AGAIN = -1,     /* the map isn't what it was a moment ago */
  MAIN_IS_LATE = -2,   /* a write that timed out may still land there */
};

/* How the sectors of main blocks are mixed. */
enum block_class { ALL_DIRECT, ALL_MAPPED, MIXED };

/* Classifies the block at START (aligned), and says in *END how far the
 * same class reaches, in whole blocks and at most to LIMIT.  MIXED is
 * always one block.
 */
extern enum block_class classify (struct engine *e, uint64_t start,
                                  uint64_t limit, uint64_t *end);

/* engine-main.c.  Counts are bytes, aligned to main blocks. */
extern int main_read (struct request *r, void *buf, uint64_t start,
                      uint64_t end);
extern int main_write (struct request *r, const void *buf, uint64_t start,
                       uint64_t end);
extern int main_zero (struct request *r, uint64_t start, uint64_t end,
                      unsigned flags);
extern int main_trim (struct request *r, uint64_t start, uint64_t end);
extern int main_cache (struct request *r,
                       int (*cache) (void *ctx, uint32_t count,
                                     uint64_t offset),
                       uint64_t start, uint64_t end);
extern int main_flush (struct request *r);
extern bool main_is_still_lost (struct request *r);
extern void main_went_away (struct engine *e, int err);

/* Notes an error of main, and returns it. */
extern int main_failed (struct engine *e, enum engine_stat stat, int err);

/* Main holds something that isn't flushed. */
extern void set_dirty (struct engine *e);

static inline void
note_dirty (struct engine *e)
{
  if (!atomic_load_explicit (&e->main_dirty, memory_order_relaxed))
    set_dirty (e);
}

static inline bool
main_is_lost (struct request *r)
{
  return atomic_load (&r->e->main_lost) && main_is_still_lost (r);
}

/* ERR came from main.  True if it is a media error that may change the
 * state of sectors: automatic remapping is on, and main is alive.
 */
extern bool may_act_on (struct request *r, int err);

/* May DIRECT sectors be moved without main being asked about them?  Not
 * while main is lost (promise 12).
 */
extern bool may_move (struct request *r);

/* The same for blocks that main is not asked about because something may
 * still land there: as if it had timed out once more, since nothing else has
 * shown that it is alive.
 */
extern bool may_move_late (struct request *r);

/* One call, of at most max_call bytes. */
static inline int
main_read_once (struct request *r, void *buf, uint32_t count, uint64_t start)
{
  struct engine *e = r->e;
  int err;

  if (main_is_lost (r))
    return ENODEV;
  canaries_touch (&e->canaries, start, count);
  err = device_pread (&r->conn->main_dev, buf, count, start);
  return err ? main_failed (e, STAT_MAIN_READ_ERRORS, err) : 0;
}

/* Blocks where a late write may land. */
extern void late_add (struct engine *e, uint64_t start, uint64_t end);
extern bool late_overlaps_some (struct engine *e, uint64_t start,
                                uint64_t end);

static inline bool
late_overlaps (struct engine *e, uint64_t start, uint64_t end)
{
  return atomic_load (&e->have_late) && late_overlaps_some (e, start, end);
}

/* engine-read.c */

/* Reads the bytes, whatever they are. */
extern int read_range (struct request *r, void *buf, uint64_t start,
                       uint64_t end);

/* Main failed to read these whole blocks: reads what can be read.
 * ALONE_FAILED: it is one block, and was asked for alone.
 */
extern int isolate (struct request *r, uint8_t *buf, uint64_t start,
                    uint64_t end, bool alone_failed);

/* Reads one main block that is held exclusively, up to TRIES times, into
 * BUF (a block).  WEAK is set if a try failed before one succeeded.
 * Returns main's error of the last try.
 */
extern int read_block_locked (struct request *r, void *buf, uint64_t block,
                              unsigned tries, bool *weak);

/* Moves the DIRECT sectors of these exclusively held blocks with this
 * content to the spare, or records them as LOST (DATA is NULL).
 */
extern int move_blocks_locked (struct request *r, uint64_t start,
                               uint64_t end, const void *data,
                               enum change_reason why);

/* A canary that failed although main is alive is a bad block that was found:
 * it is tried again and recorded like others, or else each start of the
 * server might read it anew.  For the end of a request, without locks.
 */
extern void settle_bad_canaries (struct request *r);

static inline void
settle_canaries (struct request *r)
{
  if (r->nr_bad_canaries > 0)
    settle_bad_canaries (r);
}

/* Makes a mixed block whole, held exclusively: its DIRECT sectors become
 * REMAPPED or LOST.
 */
extern int complete_block_locked (struct request *r, uint64_t block);

/* Tells of sectors that can't be read. */
extern void log_lost (struct engine *e, uint64_t start, uint64_t end,
                      const char *what);

/* Reads COUNT slots; notes those that can't be read. */
extern int slots_read (struct engine *e, void *buf, slot_t slot,
                       uint32_t count);

/* engine-write.c */

/* Slots that could not be read. */
extern bool is_unreadable (struct engine *e, slot_t slot, uint64_t count);
extern void unreadable_remove (struct engine *e, slot_t slot,
                               uint64_t count);

/* Writes whole main blocks. */
extern int write_blocks (struct request *r, const uint8_t *buf,
                         uint64_t start, uint64_t end);

/* Main failed to write these whole blocks with ERR. */
extern int write_failed (struct request *r, const uint8_t *buf,
                         uint64_t start, uint64_t end, int err);

/* Places the whole sectors from START to END (a sector's edge or the end
 * of main), held exclusively: REMAPPED ones in their slots, all others in
 * new slots, which are added to LIST.  Counts the DIRECT ones in *MOVED.
 */
extern int place_sectors (struct request *r, struct change_list *list,
                          const uint8_t *buf, uint64_t start, uint64_t end,
                          enum change_reason why, uint64_t *moved);

/* place_sectors and commit. */
extern int put_sectors (struct request *r, const uint8_t *buf,
                        uint64_t start, uint64_t end, enum change_reason why);

/* engine-edge.c */

/* Would a write that ends at END, in the middle of a sector, fail for that
 * sector?  Reads it as a client would.
 */
extern int look_at_edge (struct request *r, uint64_t end);

/* Writes bytes within one main block (BUF is NULL: zeroes). */
extern int write_edge (struct request *r, const uint8_t *buf,
                       uint64_t start, uint64_t end);

/* Writes bytes that don't cover whole main blocks. */
extern int write_range (struct request *r, const uint8_t *buf,
                        uint64_t start, uint64_t end);

/* engine-ops.c and engine-verify.c: a request of an operator on its way. */
struct operation {
  struct engine *e;
  struct engine_conn *conn;             /* NULL: main isn't asked */
  const struct engine_watch *watch;
  struct engine_result *res;
  enum change_reason why;
  uint8_t *buf;                 /* 2 * size bytes; NULL without CONN */
  uint32_t size;                /* of a piece: bytes, whole blocks */
};

/* Checks the range, and calls PIECE for the blocks that it touches: from
 * START, at most to END.  PIECE says how far it came in *DONE.
 * MAPPED_ONLY: blocks that are all DIRECT are left.
 */
typedef int piece_function (struct operation *op, uint64_t start,
                            uint64_t end, uint64_t *done);
extern int operate (struct operation *op, sector_t start, uint64_t count,
                    bool mapped_only, piece_function *piece);

/* What is moved at once, as long as nothing fails; clients that need one
 * of these blocks wait meanwhile.  Bytes.
 */
#define OPERATION_PIECE (UINT32_C (128) << 10)

/* The same for one block after the other, each under an exclusive lock of
 * its own: a block that is stuck holds up nobody who needs another one.
 */
typedef int block_function (struct operation *op, struct request *r,
                            uint64_t block, uint64_t end);
extern int one_by_one_from (struct operation *op, uint64_t start,
                            uint64_t end, block_function *f, uint64_t *done);

/* These sectors can't be read. */
extern void report_bad (struct operation *op, sector_t start,
                        uint64_t count);

/* ERR came from main.  0 if it is about one place only: a media error, and
 * main is alive; else the error that the request ends with.
 */
extern int only_a_bad_place (struct request *r, int err);

/* engine-zero.c */

/* Whole sectors, held exclusively, are to become ZERO whatever they were. */
extern int zero_sectors (struct request *r, struct change_list *list,
                         uint64_t start, uint64_t end,
                         enum change_reason why);

/* zero_sectors and commit. */
extern int record_zero (struct request *r, uint64_t start, uint64_t end,
                        enum change_reason why);

#endif /* REMAP_ENGINE_INTERNAL_H */
