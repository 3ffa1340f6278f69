/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The engine itself: what its units share.  Their functions are in headers
 * of their own; engine.c says how they hang together.
 *
 * The order of locks: RANGES, then FLUSHES, then the one of samples under which
 * the spare's are changed, then the spare's, then the small mutexes here, which
 * are held for a few instructions only (but the one of probing, which nobody
 * waits for while main isn't lost).
 */

#ifndef REMAP_ENGINE_INTERNAL_H
#define REMAP_ENGINE_INTERNAL_H

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>

#include "base/rangelock.h"
#include "engine/alone.h"
#include "engine/canaries.h"
#include "engine/engine.h"
#include "spare/sample.h"

/* The largest call to main other than a zero, whatever main says.  Bytes. */
#define MAX_CALL (UINT32_C (1) << 30)

/* What is written, zeroed or trimmed by one call to main, under one lock.
 * Larger zeroes meet a defect of some versions of nbdkit, too, when they are
 * emulated.  Bytes.
 */
#define MAIN_PIECE (UINT32_C (32) << 20)

#define STAT_SHARDS 16

/* Calls to main that have not ended, see in-flight.h. */
#define FLIGHT_BUCKETS 16

struct stat_shard {
  _Alignas (64) _Atomic uint64_t v[NR_ENGINE_STATS];
  _Atomic uint32_t in_flight[FLIGHT_BUCKETS];
};

struct in_flight {
  atomic_uint bucket;                   /* of calls that begin now */
  _Atomic uint64_t since_ms[FLIGHT_BUCKETS];    /* of the engine's clock */
};

/* What was told last.  What any thread may tell is taken back by engine_tick
 * alone: so it is told once a second at most.  The rest is engine_tick's.
 */
struct told {
  atomic_bool full, readonly;
  bool failed, hangs, thin;
  const char *health;                   /* NULL: nothing yet */
  uint64_t losses;
};

/* A set, see marks.h. */
enum marks_without_memory { MARK_ALL, MARK_NONE };

struct marks {
  atomic_bool any;              /* spares the lookup while it is empty */
  atomic_bool all;
  enum marks_without_memory without_memory;     /* for what can't be added */
  pthread_mutex_t mutex;        /* serialises changes of the set */
  struct map *set;              /* LOST runs */
};

/* See suspects.h. */
#define NR_LOSSES 16

struct suspects {
  atomic_bool any;
  struct alone alone;           /* of calls to main, while there are any */
  struct marks suspected, guilty, condemned;
  pthread_mutex_t mutex;        /* guards ANY and what follows */
  struct {
    uint64_t block;             /* bytes */
    unsigned n;                 /* 0: not in use */
  } losses[NR_LOSSES];
};

/* The copy of main, see copy.h. */
struct copy {
  struct device dev;
  uint32_t block;               /* bytes, a power of 2, at least a sector */
  uint64_t size;                /* bytes, at least main's */
  bool trim_zeroes;             /* what is trimmed reads as zeroes */
  atomic_bool dirty;            /* written since its last flush began */
  atomic_bool failed;           /* a flush failed, or it is gone: for ever */
  atomic_bool full;             /* the last write found no room */
  struct marks late;            /* a write that timed out may still land */
};

/* Recording what is pending, see settle.h. */
struct settling {
  pthread_mutex_t mutex;        /* guards what follows */
  pthread_cond_t cond;          /* any of it has changed */
  struct settle_waiter *waiters;        /* of the next batch */
  bool under_way;
  unsigned records;             /* other changes of state that are being made */
  uint64_t last_ms;             /* when the last batch began */
};

/* Sectors on their way from main to the copy, see keep.h. */
#define FLIGHT_REGION_SHIFT 20
#define NR_FLIGHT_LISTS 256U

struct keeping {
  pthread_mutex_t mutex;        /* guards what follows */
  pthread_cond_t read;          /* a read has ended */
  pthread_cond_t work;          /* there is something to be kept; or STOP */
  struct flight *list[NR_FLIGHT_LISTS];         /* by region */
  struct flight *queue, **queue_end;            /* to be kept */
  uint64_t bytes, most_bytes;   /* of memory; at most so many */
  bool stop, busy;
  uint64_t unrecorded;          /* bytes kept since the last batch */
  uint64_t full_ms;             /* when the copy was found full */
  unsigned clients;             /* reads of main, for clients, */
  uint64_t client_ms;           /* and when the last one ended */
};

/* Where what is kept may differ from main, see touched.h.  A byte for each
 * GiB.
 */
struct touched {
  uint64_t n;
  pthread_mutex_t mutex;        /* serialises additions to NOW */
  _Atomic uint8_t *gib;
};

/* Whether the copy alone is the disk, see complete.h. */
struct complete {
  atomic_bool said;
  pthread_mutex_t mutex;        /* guards what the spare says of it: */
  bool durable;
};

/* What there is with a copy. */
struct rescue {
  struct copy copy;
  struct pending *pending;
  bool ignore_trim;
  struct settling settling;
  struct keeping keeping;
  struct touched touched;
  struct complete complete;
};

/* See samples.h. */
enum sample_state {
  SAMPLE_READ,                  /* it may not be durable on main yet, */
  SAMPLE_DURABLE,               /* is, and will be recorded, */
  SAMPLE_RECORDED,              /* is in the spare, */
  SAMPLE_STALE,                 /* and couldn't be struck out of it */
};

struct known_sample {
  struct sample sample;
  enum sample_state state;
};

struct samples {
  atomic_bool due;              /* the next good block that is read is one */
  _Atomic uint64_t taken;       /* those that were READ, ever */
  pthread_mutex_t commits;      /* held while the spare's are changed; before */
  pthread_mutex_t mutex;        /* ... this, which guards the rest */
  uint64_t next_ms;             /* no new one before: of the engine's clock */
  uint64_t listen_ms;           /* regions may not be made to listen before */
  unsigned n;
  struct known_sample v[SAMPLES_MAX];
};

/* What is known of main when one of its calls has failed. */
enum life {
  MAIN_ALIVE,                   /* another place could be read after that */
  MAIN_DEAD,                    /* nothing could be read, or it said so */
  MAIN_UNKNOWN,                 /* reading failed for another reason */
  MAIN_SILENT,                  /* only a cache could answer */
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

  /* Main holds what was acknowledged since its last flush began.  Set when a
   * request ends well: what isn't acknowledged yet is written again if main is
   * lost with it.
   */
  atomic_bool main_dirty;

  /* A flush of main covers only the connection that asks for it: so no flush
   * says that nothing is unflushed.
   */
  atomic_bool flush_is_per_conn;

  /* Main has been written, zeroed or trimmed since the engine was made.  Set
   * before that reaches main, by the thread that holds the range.
   */
  atomic_bool main_written;

  /* See engine_given_back. */
  _Atomic uint64_t given_back;

  /* Failed flushes of main, ever; compared with engine_conn. */
  _Atomic uint64_t flush_failures;
  atomic_bool first_untold;             /* that before the engine was made has
                                         * been told to no client yet */

  /* Times that main was lost: a write that sees two values may be lost. */
  _Atomic uint64_t losses;

  /* Flushes of main that are under way, counted and as shared holds of one
   * byte.
   */
  atomic_uint nr_flushing;
  struct range_lock *flushes;

  /* Main is lost.  Set and cleared under probe_mutex, which guards the others
   * as well: one request at a time asks whether main is back.
   */
  atomic_bool main_lost;
  pthread_mutex_t probe_mutex;
  bool probing, told_other;             /* what answers is another disk */
  unsigned returns;                     /* see returned.c; of who is PROBING */
  uint64_t lost_ms, last_probe_ms;      /* of the engine's clock */

  /* Whether main is alive is asked by one request at a time, under ASK_MUTEX.
   * TICK numbers what happens: LIFE, which was asked for at ASKED_AT, answers
   * all requests whose calls had failed before.
   */
  pthread_mutex_t ask_mutex;
  _Atomic uint64_t tick;
  uint64_t asked_at;
  enum life life;

  /* See marks.h.  SIMPLE_MAX is the largest write in bytes that may be a
   * simple one (see pwrite.c): one call, and 0 while something is late or main
   * refuses writes.
   */
  struct marks late, unreadable, bad_canaries;
  _Atomic uint32_t simple_max;

  struct suspects suspects;
  struct samples samples;

  /* NULL: there is no copy.  Set once. */
  struct rescue *_Atomic rescue;

  /* The largest read in bytes that may be a simple one (see read.c): one call,
   * and 0 with a copy, and while anything is suspected.
   */
  _Atomic uint32_t simple_read_max;

  /* The errno with which main refuses all writes, or 0; and whether nothing is
   * left that could tell whether it is alive.
   */
  atomic_int main_refuses;
  atomic_bool main_silent;

  /* A record found no room, or the spare had no slot, the last time. */
  _Atomic uint64_t room, promised;      /* see engine_note_room */
  pthread_mutex_t spare_place_mutex;    /* guards SPARE_PLACE */
  struct message spare_place;           /* see engine_note_place */
  atomic_bool spare_short;

  struct told told;
  struct in_flight in_flight;
  _Atomic uint64_t last_error, last_loss;       /* seconds since 1970 */

  struct stat_shard stats[STAT_SHARDS];

  /* What the counters were when they were cleared. */
  pthread_mutex_t cleared_mutex;
  uint64_t cleared[NR_ENGINE_STATS];
};

#endif /* REMAP_ENGINE_INTERNAL_H */
