/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The model test: random operations against a model of what the disk may
 * hold, while sectors go bad and the server is killed.
 *
 *   model.c         options, modes, what a run does
 *   model-state.c   the model: what each sector may hold, may it fail
 *   model-judge.c   compares answers with it
 *   model-ops.c     makes operations, sends them, receives answers
 *   model-server.c  the server: started, killed, its log, the bad sectors
 *
 * One thread.  Time is a counter (now) that each event advances: the begin
 * and the end of an operation, and a change of the bad sectors.  A server
 * acts on an operation somewhere between its begin and its end as they are
 * seen here.
 *
 * Offsets and counts are bytes; sectors are 512 bytes, the last one may be
 * shorter.
 */

#ifndef REMAP_TEST_MODEL_H
#define REMAP_TEST_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define SECTOR 512U
#define MAX_CONNS 8
#define MAX_OPS 24                      /* in flight; bits of a mask */
#define MAX_COUNT (2U << 20)            /* bytes an operation */

/* ---- what a run is (model.c) ------------------------------------------ */

struct mode {
  const char *name;
  uint64_t size;                        /* of main, bytes */
  unsigned block;                       /* main block; 0: 512 and 4096 */
  const char *baddisk;                  /* parameters, by spaces */
  const char *spare;                    /* size of the spare */
  bool fails_read, fails_write, fails_zero;
  bool timed_out;                       /* errors are ETIMEDOUT */
  bool recovers;                        /* a second read always succeeds */
  bool lenient;                         /* bad sectors may become readable */
  bool may_fill;                        /* the spare may be full */
  const char *gone;                     /* error of a disk that is gone */
  bool single;                          /* one client, one request */
  bool contended;                       /* small requests on bad places */
};

struct totals {
  uint64_t ops, checks, kills, starts;
  uint64_t bad_sectors, mapped_sectors, lost_sectors;
  uint64_t errors, no_space, main_lost, torn, wild, failing_reads, bad_blocks;
};

struct server_variant {
  bool read_only, auto_off, lost_zero;
  unsigned block;
  const char *spare;                    /* size, or NULL: the mode's */
};

extern const struct mode *mode;
extern uint64_t seed;
extern struct totals totals;
extern struct server_variant variant;   /* of the server that runs */
extern bool verbose;
extern const char *directory;           /* of this run's files */
extern char *path_of (const char *name);

/* Repeatable random numbers of this run.  What depends on the server's
 * answers and their timing has numbers of its own, so that the rest of a
 * replay is the same.
 */
extern uint64_t random_number (void);
extern void random_apart (bool apart);
static inline uint64_t
random_below (uint64_t n)
{
  return random_number () % n;
}
static inline bool
percent (unsigned n)
{
  return random_below (100) < n;
}

/* Ends the test: the contract was broken. */
extern void violation (const char *fs, ...)
  __attribute__ ((noreturn, format (printf, 1, 2)));
/* Ends the test: it could not do its work. */
extern void trouble (const char *fs, ...)
  __attribute__ ((noreturn, format (printf, 1, 2)));
extern void note (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));

/* ---- operations (model-ops.c) ----------------------------------------- */

enum kind { READ, WRITE, ZERO, TRIM, FLUSH, CACHE, EXTENTS };
extern const char *const kind_names[];

struct extent {
  uint64_t offset, count;
  bool reads_zero;
};

struct op {
  bool in_flight;
  unsigned slot, conn;
  enum kind kind;
  uint64_t offset;
  uint32_t count, flags;                /* LIBNBD_CMD_FLAG_* */
  bool fua;
  uint64_t id, begin;
  bool is_check;                        /* ops_one */
  int error;                            /* of the answer */
  uint64_t list_changes;                /* at the begin */
  uint64_t main_lost;                   /* events, at the begin */
  bool was_lost;                        /* main, at the begin */
  uint8_t *buf;                         /* MAX_COUNT bytes */
  struct extent *extents;
  size_t nr_extents, max_extents;
};

extern struct op ops[MAX_OPS];
extern uint64_t now;
extern unsigned nr_conns, depth;

extern void ops_init (void);
extern void ops_connect (void);
/* N random operations, at most; stops early if the server dies. */
extern void ops_run (uint64_t n);
/* Waits for everything in flight. */
extern void ops_drain (void);
/* The server was killed: takes what it still said, forgets the rest. */
extern void ops_killed (void);
extern void ops_disconnect (bool politely);
/* One operation, with nothing else in flight.  Returns its errno.  The
 * answer has been judged.
 */
extern int ops_one (unsigned conn, enum kind kind, uint64_t offset,
                    uint32_t count, bool fua);
extern bool op_in_flight (void);
extern void op_describe (const struct op *op, char *text, size_t size);
/* The content that write ID puts at this byte offset. */
extern void pattern (uint64_t id, uint64_t offset, uint8_t *buf, uint64_t n);

/* ---- the model (model-state.c) ---------------------------------------- */

struct blob {
  unsigned refs;
  uint8_t data[SECTOR];
};

/* A content that the sector may have, and which of the writes in flight
 * (bits of their slots) have been done in it.
 */
struct candidate {
  struct blob *blob;
  uint32_t done;
};

/* A content that it could have until then. */
struct past {
  struct blob *blob;
  uint64_t until;
};

struct sector {
  struct candidate *v;
  struct past *past;
  uint16_t n, max, nr_past, max_past;
  uint32_t writers;            /* slots of writes, zeroes, trims in flight */
  uint64_t changed;            /* when one of them last began or ended */
  uint64_t bad_since;          /* 0: good */
  uint64_t unsure_since;
  uint64_t cleared;            /* when unsure was last cleared */
  uint64_t lost_since;         /* certainly */
  uint64_t wild_until;         /* when wild was last cleared */

  /* It may be LOST, or bad and not yet read: a read may fail. */
  bool unsure;
  /* And a write was tried since, so a read may succeed. */
  bool tried;
  /* It is certainly not DIRECT. */
  bool mapped;
  /* It need not be DIRECT though it isn't bad. */
  bool maybe_mapped;
  /* It went bad, and was read since. */
  bool met;
  /* There were too many candidates: anything is allowed, till somebody
   * knows again.
   */
  bool wild;
};

extern struct sector *sectors;
extern uint64_t nr_sectors;

extern void state_init (const uint8_t *content);
extern void state_free (void);
extern uint32_t sector_length (uint64_t s);
extern void state_begin (struct op *op);
enum outcome { DONE, NOT_DONE, MAYBE_DONE };
extern void state_end (struct op *op, enum outcome outcome);
/* Sectors went bad (bad_since is set already), or the block size changed. */
extern void state_refresh (void);
/* The sectors of the main block of S. */
extern void block_of (uint64_t s, uint64_t *first, uint64_t *end);
/* When the block of S went bad; 0: it is good. */
extern uint64_t block_bad_since (uint64_t s);
/* Calls F for each candidate that was possible since BEGIN, till it
 * returns true, and returns that.
 */
extern bool state_any (const struct sector *s, uint64_t begin,
                       bool (*f) (const uint8_t *data, void *opaque),
                       void *opaque);
/* The sector was read while nobody wrote: keeps the candidates with these
 * bytes only.
 */
extern void state_narrow (struct sector *s, uint32_t from, uint32_t to,
                          const uint8_t *data);

/* ---- judgement (model-judge.c) ----------------------------------------- */

/* The answer to an operation, errno ERR.  Does state_end. */
extern void judge (struct op *op, int err);
/* A read of a sector that nobody writes may fail, as far as we know. */
extern bool may_fail_read (uint64_t s);
/* Forgets what it knew of this server's connections. */
extern void judge_new_server (void);

/* ---- the server (model-server.c) --------------------------------------- */

extern pid_t server_pid;                /* 0: none */
extern uint64_t main_lost_events;       /* seen in this server's log */
extern bool main_lost_now;
extern uint64_t list_changes;
extern uint64_t gone_until;             /* time; UINT64_MAX: still gone */

extern void server_init (void);
extern void server_start (void);        /* as VARIANT says; connects */
extern void server_start_and_kill (unsigned ms);
extern void server_kill (void);         /* with what is in flight */
extern void server_stop (void);         /* drains first */
extern bool server_died (void);
extern const char *server_socket (void);
extern void server_scan_log (void);
/* Makes up to COUNT more sectors bad. */
extern void bad_grow (unsigned count);
extern uint64_t bad_unmapped_blocks (void);
extern bool bad_random (uint64_t *sector);
extern void gone_set (bool gone);
extern void check_failing_reads (void);
extern void check_main_image (void);
extern void server_finish (void);

#endif /* REMAP_TEST_MODEL_H */
