/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The engine: serves requests from main and the spare, and turns media
 * errors into changes of state.  What it promises is remap-promises(7).
 *
 * It owns nothing that it is given: map and spare must outlive it, and the
 * device that is main must outlive the connection that it belongs to (nbdkit
 * opens the layer below anew for each client).  All functions may be called
 * from any number of threads at once, except engine_new and engine_free.
 *
 * Requests return 0, or an errno value that NBD can carry.  Offsets and
 * counts are bytes and lie within main; sectors are named as such.
 */

#ifndef REMAP_ENGINE_H
#define REMAP_ENGINE_H

#include <stdatomic.h>

#include "base/device.h"
#include "map/map.h"
#include "spare/spare.h"
#include "engine/canaries.h"

struct engine;
struct events;

struct engine_config {
  uint64_t main_size;                   /* bytes, not 0 */
  uint32_t main_block;                  /* bytes, a power of 2, >= 512 */
  uint32_t main_max;                    /* bytes a request; 0: no limit */
  uint32_t copy_block;                  /* as main_block, of a copy that may be
                                         * attached; or 0 */
  unsigned retries;                     /* of a main block that fails */
  enum main_cache main_cache;           /* could a cache answer for main? */
  uint64_t lost_wait_ms;                /* requests wait for a main that is
                                         * lost, so long after the loss */
  unsigned vanish_max;                  /* times that main is lost with a block
                                         * before it is bad; 0: never */
  bool auto_remap;
  bool lost_zero;                       /* LOST reads as zeroes */
  bool readonly_to_spare;               /* writes that main refuses because it
                                         * is read-only go to the spare */

  bool new_samples;                     /* of main are taken (samples.h) */
  bool main_flushed;                    /* main was flushed, and nothing has
                                         * been written to it since; */
  bool main_flush_failed;               /* or that failed, which whoever flushes
                                         * next has to be told */

  /* Milliseconds of a clock that never goes back.  NULL: the system's. */
  uint64_t (*now_ms) (void *opaque);

  /* Seconds since 1970, UTC.  NULL: time(2). */
  uint64_t (*time) (void *opaque);

  /* Sleeps for so long, in a thread that serves a client.  Returns false, and
   * at once, if the server or that client is about to go.  NULL: just sleeps.
   */
  bool (*sleep_ms) (void *opaque, unsigned ms);

  /* Each change of state, for whoever looks for a fault.  May be NULL.
   * Called without locks that a log function could need.
   */
  void (*log) (void *opaque, const char *text);
  void *opaque;

  /* What somebody should know.  Not owned; must outlive the engine.  NULL:
   * nobody wants to know.
   */
  struct events *events;
};

/* A client's connection: the engine that serves it, and its main.  It must
 * not be moved or freed while a request of it is under way.
 */
struct engine_conn {
  struct engine *engine;
  struct device main_dev;               /* a copy: its ctx isn't owned */

  /* Failed flushes of main that this client has been told of. */
  _Atomic uint64_t flush_failures_told;
};

/* Returns NULL and sets errno on failure. */
extern struct engine *engine_new (const struct engine_config *config,
                                  struct map *map, struct spare *spare);
extern void engine_free (struct engine *e);

extern uint64_t engine_main_size (const struct engine *e);
extern uint32_t engine_main_block (const struct engine *e);

extern void engine_conn_init (struct engine_conn *conn, struct engine *e,
                              const struct device *main_dev);

/* Main doesn't say that a flush on one connection covers the others ("multi
 * conn"): so from now on losing main is a failed flush, whoever has flushed.
 */
extern void engine_flush_is_per_conn (struct engine *e);

/* The copy of main: a device at least as large, in which sectors live that are
 * RESCUED, each at its own offset.
 */
struct rescue_config {
  struct device dev;                    /* its ctx isn't owned */
  uint32_t block;                       /* bytes, a power of 2 */
  uint64_t size;                        /* bytes */
  bool trim_zeroes;                     /* what is trimmed there reads as 0 */
  bool ignore_trim;                     /* trims of DIRECT change nothing */
  uint64_t keep_bytes;                  /* of memory at most; 0: 64 MiB */
};

/* Attaches the copy, for as long as there is the engine: from now on main isn't
 * written any more.  No client's write may be under way, and no request of an
 * operator.  Flushes main first.  Returns 0; EIO: that failed; EINVAL: the copy
 * is too small, its blocks are larger than config.copy_block says, or main's
 * are larger than 1 MiB, main has more than 16 PiB, or marks in the spare make
 * no sense; EEXIST; ENOMEM.
 */
extern int engine_attach_copy (struct engine_conn *conn,
                               const struct rescue_config *config);

/* The keeper, in a thread of its own, with a connection of its own: stores what
 * was read in the copy, and records what is pending, every five seconds or 64
 * MiB.  Ends after engine_stop_keeper.
 */
extern void engine_keeper (struct engine_conn *conn);
extern void engine_stop_keeper (struct engine *e);

/* Records all that is pending, and that this was a clean end.  The keeper has
 * ended, and no request comes any more.
 */
extern int engine_end_copy (struct engine_conn *conn);

/* Requests of clients. */
extern int engine_pread (struct engine_conn *conn, void *buf,
                         uint32_t count, uint64_t offset);
/* One without FUA, and one with; engine_pwrite is either. */
extern int engine_pwrite_plain (struct engine_conn *conn, const void *buf,
                                uint32_t count, uint64_t offset);
extern int engine_pwrite_fua (struct engine_conn *conn, const void *buf,
                              uint32_t count, uint64_t offset);
static inline int
engine_pwrite (struct engine_conn *conn, const void *buf, uint32_t count,
               uint64_t offset, bool fua)
{
  return fua ? engine_pwrite_fua (conn, buf, count, offset)
    : engine_pwrite_plain (conn, buf, count, offset);
}
extern int engine_flush (struct engine_conn *conn);
/* FLAGS as in base/device.h. */
extern int engine_zero (struct engine_conn *conn, uint32_t count,
                        uint64_t offset, unsigned flags, bool fua);
extern int engine_trim (struct engine_conn *conn, uint32_t count,
                        uint64_t offset, bool fua);

/* The caller's own prefetching of DIRECT bytes (NULL: they are read and
 * forgotten), spared to what isn't DIRECT.  CTX is that of the connection's
 * main.  A media error leads to a proper read.
 */
extern int engine_cache (struct engine_conn *conn, uint32_t count,
                         uint64_t offset,
                         int (*cache) (void *ctx, uint32_t count,
                                       uint64_t offset));

/* The state of the sectors at OFFSET: how many bytes of COUNT share it. */
extern enum sector_state engine_extent (struct engine *e, uint32_t count,
                                        uint64_t offset, uint32_t *len);

/* A number that changes before any sector becomes DIRECT, and after main has
 * its content.  Whoever knows something of main, and looks up states only then,
 * can trust that what is DIRECT was so already if the number, asked for before
 * the one and after the other, is the same.
 */
extern uint64_t engine_given_back (struct engine *e);

/* Requests of operators, in sectors.  They move whole main blocks: those
 * that the range touches.  A range beyond main, or an empty one, is EINVAL.
 * They stop at the first error that isn't about one place alone; then the
 * result says how far they came.  A disk that is gone is noticed as it is
 * by clients' requests: EIO, and nothing more is tried.
 */
struct engine_result {
  uint64_t done;       /* sectors that changed, or were checked */
  uint64_t left;       /* sectors left as they were, by their state */
  uint64_t bad;        /* sectors that could not be read (now LOST, or
                          still), or verified */
  sector_t first_bad;
};

/* How the caller follows such a request while it is under way.  The pointer
 * to it, or any of its functions, may be NULL.
 */
struct engine_watch {
  /* Is called before each piece, by the thread of the request; true ends
   * the request with ECANCELED.
   */
  bool (*stop) (void *opaque);

  /* Sectors that could not be read, in ascending order; adjacent ones may
   * come in several calls.
   */
  void (*bad) (void *opaque, sector_t start, uint64_t count);

  /* Is called before each piece: PASSED of TOTAL sectors have been looked at.
   * What became of the last of them may not be committed yet.
   */
  void (*passed) (void *opaque, uint64_t passed, uint64_t total);

  void *opaque;
};

/* DIRECT sectors go to the spare with their content, or become LOST.  Of many
 * ranges, which may overlap and come in any order, what can be is recorded
 * together; N is not 0.
 */
extern int engine_remap_ranges (struct engine_conn *conn,
                                const struct sector_range *ranges, size_t n,
                                enum change_reason why,
                                const struct engine_watch *watch,
                                struct engine_result *res);
extern int engine_remap (struct engine_conn *conn, sector_t start,
                         uint64_t count, enum change_reason why,
                         const struct engine_watch *watch,
                         struct engine_result *res);

/* DIRECT sectors become LOST, without main being asked. */
extern int engine_declare_lost_ranges (struct engine *e,
                                       const struct sector_range *ranges,
                                       size_t n, enum change_reason why,
                                       const struct engine_watch *watch,
                                       struct engine_result *res);
extern int engine_declare_lost (struct engine *e, sector_t start,
                                uint64_t count, enum change_reason why,
                                const struct engine_watch *watch,
                                struct engine_result *res);

/* Reads sectors where they are, LOST ones aside, which are bad; changes
 * nothing.  DONE: sectors that were checked, bad ones too.
 */
extern int engine_verify (struct engine_conn *conn, sector_t start,
                          uint64_t count, const struct engine_watch *watch,
                          struct engine_result *res);

/* REMAPPED and ZERO sectors go back to main: written, flushed, read back
 * and compared.  What doesn't compare stays where it is ("bad").  Blocks
 * with LOST sectors, and blocks where a timed-out write may still land, are
 * left.
 */
extern int engine_unmap (struct engine_conn *conn, sector_t start,
                         uint64_t count, const struct engine_watch *watch,
                         struct engine_result *res);

/* LOST sectors are read from main again; what is recovered becomes
 * REMAPPED.
 */
extern int engine_retry (struct engine_conn *conn, sector_t start,
                         uint64_t count, const struct engine_watch *watch,
                         struct engine_result *res);

/* LOST sectors are declared to be zeroes. */
extern int engine_forget_lost (struct engine *e, sector_t start,
                               uint64_t count,
                               const struct engine_watch *watch,
                               struct engine_result *res);

/* A flush that counts as no client's. */
extern int engine_sync (struct engine_conn *conn);

/* What an operator is told of an error of the functions above. */
extern void engine_explain (struct engine *e, int err,
                            struct message *message);

extern void engine_set_auto_remap (struct engine *e, bool on);

/* To be called once a second or so, by one thread at a time: tells of what
 * shows only by looking (the health, a main that hangs, a spare that has
 * failed or has room again), and keeps the time for requests in flight.
 */
extern void engine_tick (struct engine *e);

/* The same for what may wait for the spare for as long as it hangs, which the
 * thread that keeps the log and sees to main must not: takes samples of main.
 */
extern void engine_tick_spare (struct engine *e);

/* The spare has been enlarged: that it was short of room is over. */
extern void engine_spare_grown (struct engine *e);

/* What the filesystem of the spare has free, and what of the spare's free
 * slots has no storage yet: bytes.  FREE UINT64_MAX: there is no filesystem.
 */
extern void engine_note_room (struct engine *e, uint64_t free,
                              uint64_t promised);

/* Why the spare isn't where it was, or not all of it, and what can be done;
 * NULL: it is.  What has changed is told.  For one thread at a time.
 */
extern void engine_note_place (struct engine *e, const char *problem);

/* Status. */
enum engine_stat {
  STAT_READS, STAT_READ_BYTES, STAT_WRITES, STAT_WRITE_BYTES,
  STAT_ZEROS, STAT_ZERO_BYTES, STAT_TRIMS, STAT_TRIM_BYTES,
  STAT_CACHES, STAT_CACHE_BYTES, STAT_FLUSHES, STAT_FUAS,
  STAT_MAIN_READ_ERRORS,       /* failed calls */
  STAT_MAIN_WRITE_ERRORS,      /* failed calls, zero included */
  STAT_MAIN_FLUSH_ERRORS,
  STAT_RETRIES,                /* blocks read again */
  STAT_RETRIES_SAVED,          /* of these, with success */
  STAT_LOST_REFUSED,           /* requests refused for a LOST sector */
  STAT_LOST_ZEROED,            /* LOST sectors read as zeroes */
  STAT_SPARE_ERRORS,           /* failed calls to the spare */
  STAT_MAIN_LOST,              /* times that main was lost */
  STAT_MAIN_REFUSED,           /* calls that wrote, refused by a main that is
                                * read-only or full */
  STAT_MAIN_OTHER_ERRORS,      /* failed calls that are about no sector, no
                                * loss, and not that */
  STAT_KEPT,                   /* sectors read from main, in the copy now */
  STAT_NOT_KEPT,               /* sectors read that couldn't be kept */
  STAT_COPY_ERRORS,            /* failed calls to the copy that wrote */
  STAT_OVERWRITTEN,            /* LOST and ZERO sectors that moved to slots
                                * since a client wrote them */
  NR_ENGINE_STATS
};

enum engine_health {
  HEALTH_OK, HEALTH_DEGRADED, HEALTH_CRITICAL, HEALTH_MAIN_LOST,
};

struct engine_status {
  enum engine_health health;
  bool auto_remap, main_lost;
  bool spare_short;    /* the last change found no room in the spare */
  bool main_silent;    /* nothing is left that could tell whether main lives */
  int main_refuses;    /* errno: main refuses all writes; 0: it doesn't */
  bool readonly_to_spare;
  uint64_t late;       /* sectors for which main isn't used any more */
  uint64_t in_flight;  /* calls to main that have not ended, */
  uint64_t oldest_ms;  /* and for how long at least one of them; exact to the
                        * interval of engine_tick */
  bool main_hangs;     /* that is too long for a disk that is well */
  uint64_t last_error, last_loss;       /* of main, of a sector: seconds since
                                         * 1970, or 0 */
  uint64_t room, promised;     /* as engine_note_room has it */
  struct message spare_place;  /* as engine_note_place has it; "": it is where
                                * it was */
  struct map_totals totals;
  struct {
    bool there;
    bool failed, full;
    bool main_not_needed;       /* no recorded state is DIRECT */
    bool alone;                 /* it is the disk, without main and spare */
    uint64_t direct;            /* sectors that are nowhere but on main */
    uint64_t late;     /* sectors that aren't written there any more */
    uint64_t kept, written, zero;       /* sectors that are pending */
  } copy;
  struct spare_status spare;
  uint64_t stat[NR_ENGINE_STATS];       /* since they were cleared */
  uint64_t ever[NR_ENGINE_STATS];       /* since the engine was made */
};

extern void engine_get_status (struct engine *e, struct engine_status *st);
extern const char *engine_health_name (enum engine_health health);

/* Why health isn't ok, in words, the worst first; returns how many. */
#define ENGINE_MAX_REASONS 16
extern unsigned engine_health_reasons (const struct engine_status *st,
                                       struct message *reasons);

/* Sets the counters of engine_status.stat to 0. */
extern void engine_clear_stats (struct engine *e);

#endif /* REMAP_ENGINE_H */
