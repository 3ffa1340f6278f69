/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The parts of the baddisk filter, and who owns what:
 *
 *   baddisk.c         the callbacks: what happens to each operation
 *   baddisk-config.c  the parameters; read-only once the server is ready
 *   baddisk-areas.c   which sectors are bad now: the list, the random
 *                     areas, and what reads and writes have changed
 *   baddisk-list.c    reading the list file, noticing that it changed
 *   baddisk-random.c  random areas, repeatable on every machine
 *   baddisk-tries.c   a number for each sector that somebody touched
 *   baddisk-clock.c   the time that a drive would have taken
 *   baddisk-log.c     the log file and the totals
 *
 * Nobody holds a lock while calling the next layer or sleeping.
 */

#ifndef BADDISK_H
#define BADDISK_H

#include <sys/types.h>
#include <time.h>

#include "base/areas.h"

/* Kinds of operations.  The order is that of the totals. */
enum op {
  OP_READ, OP_WRITE, OP_ZERO, OP_TRIM, OP_FLUSH, OP_CACHE, OP_EXTENTS,
  NR_OPS,
};

/* ---- baddisk-config.c ------------------------------------------------- */

enum partial { PARTIAL_NONE, PARTIAL_GOOD, PARTIAL_RANDOM };

/* Millionths of a percent in all. */
#define WHOLE_PERCENT UINT64_C (100000000)

struct params {
  char *list;                   /* NULL: none */
  uint32_t block;               /* of a badblocks list, bytes */
  bool random;                  /* areas at random */
  bool random_is_percent;
  uint64_t random_amount;       /* sectors, or millionths of a percent */
  uint64_t seed;
  uint64_t cluster;             /* sectors */
  bool fail[NR_OPS];            /* read (and cache), write, zero */
  int error;                    /* errno */
  uint32_t recover;             /* the try that succeeds; 0: none does */
  bool heal_write;
  enum partial partial;
  uint64_t delay, fail_delay;   /* nanoseconds */
  bool clock;                   /* sum delays up, don't wait */
  uint64_t stream;              /* nanoseconds for 128 KiB, with the clock */
  char *gone;                   /* NULL: never */
  int gone_error;               /* errno */
  char *log;                    /* NULL: none */
};

extern struct params params;

extern const char baddisk_config_help[];

/* Once all parameters are known. */
extern void params_complete (void);

/* 1: parsed; 0: not a parameter of this filter; -1: error, reported. */
extern int params_set (const char *key, const char *value);

extern void params_free (void);

/* "EIO", or the number, for an error that has no name; BUF is for that. */
extern const char *error_name (int error, char buf[16]);

/* ---- baddisk-areas.c -------------------------------------------------- */

/* What the bad sectors mean for one operation. */
struct verdict {
  bool touched;                 /* covers at least one bad sector */
  bool fails;
  uint32_t attempt;             /* reads: which try of that sector; or 0 */
  uint64_t bad;                 /* offset of the sector that it fails at */

  /* Writes and zeroes that fail, unless PARTIAL_NONE: a bit for each
   * sector of the operation, set where it can't be written.  To be freed.
   */
  unsigned char *stopped;
};

/* Reads the list for the first time.  -1: error, reported. */
extern int areas_load (void);
extern void areas_free (void);

/* The random areas of a disk of SIZE bytes, the same pointer each time;
 * valid until areas_free.  NULL: error, reported.
 */
extern const struct area_list *areas_random (uint64_t size);

/* Judges an operation on a disk of SIZE bytes and, if it is a read that
 * fails, counts it.  Follows changes of the list file.  Returns 0 or
 * ENOMEM.  The range is not empty and lies within SIZE.
 */
extern int areas_judge (enum op op, const struct area_list *random,
                        uint64_t size, uint64_t offset, uint32_t count,
                        struct verdict *verdict);

/* Notes that a range was written: heals it, if writes do that. */
extern void areas_written (const struct area_list *random, uint64_t size,
                           uint64_t offset, uint32_t count);

/* ---- baddisk-list.c --------------------------------------------------- */

/* What tells one version of a file from another. */
struct file_key {
  int error;                    /* of stat; the rest is 0 then */
  dev_t dev;
  ino_t ino;
  off_t size;
  struct timespec mtime, ctime;

  /* Changed so recently that another change might have left the same
   * times: not to be relied upon.
   */
  bool recent;
};

extern struct file_key list_file_key (const char *path);
extern bool list_file_same (const struct file_key *a,
                            const struct file_key *b);

/* Areas are widened to whole sectors.  0 or an errno; MESSAGE is set. */
extern int list_file_read (const char *path, uint32_t block,
                           struct area_list *list, struct message *message);

/* ---- baddisk-random.c ------------------------------------------------- */

/* 0 or an errno; MESSAGE is set. */
extern int random_areas (uint64_t size, struct area_list *list,
                         struct message *message);

/* A coin for one sector of one operation that fails, the same each time. */
extern bool random_coin (uint64_t offset, uint32_t count, sector_t sector);

/* ---- baddisk-tries.c -------------------------------------------------- */

/* A table sector -> number, 0 where nobody set one.  The caller locks. */
struct tries {
  struct tries_chunk **v;
  size_t size, used;            /* size is a power of 2, or 0 */
};

/* NULL: 0 */
extern uint32_t *tries_find (const struct tries *tries, sector_t sector);

/* NULL: out of memory */
extern uint32_t *tries_make (struct tries *tries, sector_t sector);

/* Sets to 0 whatever KEEP doesn't want. */
extern void tries_forget (struct tries *tries, bool (*keep) (sector_t));
extern void tries_free (struct tries *tries);

/* ---- baddisk-clock.c -------------------------------------------------- */

struct clock_sums {
  uint64_t seek, stream, fail;  /* nanoseconds */
  uint64_t seeks;               /* accesses elsewhere */
};

/* An operation on a range, which ends as the verdict says. */
extern void clock_operation (uint64_t offset, uint32_t count,
                             const struct verdict *verdict);
extern struct clock_sums clock_now (void);

/* ---- baddisk-log.c ---------------------------------------------------- */

/* -1: error, reported. */
extern int log_open (const char *path);

/* Counts an operation that ended with ERROR (0: well), and writes a line
 * for it if it failed or the verdict says that it touched a bad sector.
 */
extern void log_operation (enum op op, uint64_t offset, uint32_t count,
                           int error, const struct verdict *verdict);

/* Writes the totals and closes the log. */
extern void log_close (void);

#endif /* BADDISK_H */
