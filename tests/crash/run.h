/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Operations on a world, and the model that knows which contents each
 * sector may have (promises 1, 13 and 14 of remap-promises(7)).
 *
 * An operation is written as a letter, the first sector, and, if there are
 * more than one, +COUNT; `f' behind it is FUA:
 *
 *   w write           p write without the first and last 100 bytes
 *   r read            z write zeroes     t trim      f flush
 *   m remap           u unmap            y retry     l forget-lost
 *   i import (remap for another reason)
 *   I the same, of many ranges: each sector is one, the last one comes first
 *   s an hour passes, in which 8 KiB are read: a sample of main may be taken
 *   c checkpoint      g grow a bit       G grow so that the log moves
 *   k kill -9 and start again            x stop and start again
 */

#ifndef CRASH_RUN_H
#define CRASH_RUN_H

#include "world.h"

#define MAX_OPS 9
#define NEVER UINT64_MAX

struct op {
  char kind;
  bool fua;
  unsigned start, count;        /* sectors */
};

/* What an operation may have done, and when.  Steps count the beginnings
 * and ends of operations; clocks are events of the devices.
 */
struct record {
  struct op op;
  uint64_t begin_step, end_step;        /* NEVER: it hasn't ended */
  uint64_t begin_clock, end_clock;
  int err;
  uint8_t effect[MAX_SECTORS];          /* see below */
  uint64_t before[MAX_SECTORS];         /* sector_state_of */
  uint32_t allowed[MAX_SECTORS];        /* model_allowed, then */
  uint16_t beats[MAX_SECTORS];          /* records that it came after: bits */
  uint8_t *data;                        /* of the sectors of OP */
};

/* Effects of an operation on a sector. */
#define WRITES 1        /* it then has the record's data */
#define SOFT 2          /* ... or not (trim) */
#define DURABLE 4       /* since its state changed, at the latest at the end */
#define UNSURE 8        /* the state may change without that */
#define FAILED 16       /* main was asked to write it, and failed */

struct model {
  struct world *w;
  uint64_t step;
  unsigned n;
  struct record record[MAX_OPS];
  uint8_t *initial;             /* contents before the first record */
  uint8_t *memory;
  bool faults;                  /* anything may fail, with a clean error */
  bool lost_ok[MAX_SECTORS];    /* may become LOST though main can read it */
};

extern struct model *model_new (struct world *w);
extern void model_free (struct model *m);

/* Forgets all records.  Contents are those of the setup, or else CONTENT
 * (of all sectors).
 */
extern void model_reset (struct model *m, const uint8_t *content);

/* Allowed contents of a sector as bits: bit 0 is the initial one, bit I + 1
 * that of record I.  After CLOCK events; CRASH: if the power failed then.
 */
extern uint32_t model_allowed (const struct model *m, unsigned s,
                               uint64_t clock, bool crash);
extern const uint8_t *model_content (const struct model *m, unsigned v,
                                     unsigned s);
/* Is it one of them? */
extern bool model_matches (const struct model *m, unsigned s, uint32_t allowed,
                           const uint8_t *data);

/* An operation in three steps; run_op does all of them.  op_do returns the
 * errno; BUF is for what a read returned.  They return what is wrong, or
 * NULL.
 */
extern struct record *op_begin (struct model *m, const struct op *op);
extern int op_do (struct world *w, struct engine_conn *conn,
                  const struct record *r, uint8_t *buf);
extern void op_end (struct model *m, struct record *r, int err);
extern const char *check_result (struct model *m, const struct record *r,
                                 const uint8_t *buf);
extern const char *check_all (struct model *m);
extern const char *check_idle (struct world *w);
extern const char *run_op (struct model *m, const struct op *op);

/* What workloads are made of on that setup; NULL ends the list. */
extern const char *const *ops_of (const struct setup *setup);

/* Text, in a static buffer; and back (the end of what was understood, or
 * NULL).
 */
extern const char *op_text (const struct op *op);
extern const char *op_parse (const char *text, struct op *op);

#endif /* CRASH_RUN_H */
