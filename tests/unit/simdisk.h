/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A failing disk in memory, as main for tests of the engine.
 *
 * Sectors are bad for some operations, for ever or for a number of tries;
 * a failing write may leave anything behind; the disk may be gone, or come
 * back with another size; operations may be stopped at a gate while the
 * test does something else.  Each operation is counted, per sector too.
 * One that isn't aligned to the disk's blocks or leaves the disk is a
 * violation, and a defect of whoever asked for it.
 *
 * All functions may be called from any thread.  The operations don't use
 * malloc: tests make that fail.
 */

#ifndef SIMDISK_H
#define SIMDISK_H

#include <pthread.h>

#include "base/device.h"

enum sim_op {
  SIM_READ = 1, SIM_WRITE = 2, SIM_ZERO = 4, SIM_TRIM = 8, SIM_FLUSH = 16,
  SIM_PROBE = 32,
};
#define SIM_MODIFY (SIM_WRITE | SIM_ZERO)
#define SIM_ALL (SIM_READ | SIM_MODIFY)
#define NR_SIM_OPS 6

/* What a write that fails for a bad sector leaves behind. */
enum sim_partial {
  SIM_NOTHING,         /* what was there before */
  SIM_GOOD,            /* the good sectors are written */
  SIM_GARBAGE,         /* rubbish everywhere */
};

struct sim_sector {
  unsigned bad;        /* for these operations */
  unsigned recover;    /* reads that still fail before one succeeds; 0: all */
  unsigned vanish;     /* the disk is gone once one of these touched it */
  uint16_t err;
  unsigned reads, failed_reads, writes;   /* calls that touched it */
};

struct sim_gate {
  unsigned ops;        /* 0: open */
  bool after;          /* stops them after their effect, not before */
  uint64_t start, end; /* bytes */
  unsigned waiting;
  unsigned quota;      /* stops only so many; 0: all that come */
};
#define NR_SIM_GATES 4

struct simdisk {
  struct device dev;   /* what to give to the code under test */
  uint64_t size;       /* bytes */
  uint64_t probed_size;
  uint32_t block;      /* bytes */
  uint32_t max_call;   /* bytes; 0: no limit */
  uint8_t *data;
  struct sim_sector *sector;
  enum sim_partial partial;

  pthread_mutex_t lock;
  pthread_cond_t cond;
  struct sim_gate gate[NR_SIM_GATES];

  /* By sim_index: calls, and those that failed. */
  uint64_t calls[NR_SIM_OPS], failed[NR_SIM_OPS];

  /* The N-th call from now on that is one of FAIL_OPS fails, once. */
  unsigned fail_ops;
  uint64_t fail_after;
  int fail_err;

  int gone;            /* if not 0, everything fails with it */
  int vanish_err;      /* what GONE becomes when a sector makes it so */
  unsigned vanished;   /* times */
  unsigned under_way;  /* operations, now */
  unsigned company;    /* under way besides, when it vanished last */
  uint64_t violations;

  /* Called before each operation, without the lock. */
  void (*hook) (void *opaque, enum sim_op op, uint64_t offset,
                uint64_t count);
  void *hook_opaque;
};

/* BLOCK: what all operations must be aligned to. */
extern struct simdisk *sim_new (uint64_t size, uint32_t block);
extern void sim_free (struct simdisk *s);

/* The sectors become bad for these operations, or good (OPS = 0). */
extern void sim_bad (struct simdisk *s, unsigned ops, sector_t start,
                     uint64_t count, int err);

/* The next TRIES reads of the (bad) sector fail, and then none. */
extern void sim_recover (struct simdisk *s, sector_t sector, unsigned tries);

/* The N-th (from 1) of such operations fails, wherever it is; 0: none. */
extern void sim_fail (struct simdisk *s, unsigned ops, uint64_t n, int err);

/* Everything fails with ERR; 0: the disk is back. */
extern void sim_gone (struct simdisk *s, int err);

/* Whenever an operation of this kind touches one of these sectors it fails, and
 * so does everything after it, with ERR, until sim_gone.  OPS = 0: no longer.
 */
extern void sim_vanish (struct simdisk *s, unsigned ops, sector_t start,
                        uint64_t count, int err);

/* Operations of this kind that touch the bytes stop at gate I until it is
 * opened.  sim_wait waits until N operations stand there.
 */
extern void sim_close (struct simdisk *s, unsigned i, unsigned ops,
                       uint64_t offset, uint64_t count, bool after);
extern void sim_wait (struct simdisk *s, unsigned i, unsigned n);
extern void sim_open (struct simdisk *s, unsigned i);

extern uint64_t sim_calls (struct simdisk *s, unsigned ops);
extern uint64_t sim_failed (struct simdisk *s, unsigned ops);
extern void sim_reset (struct simdisk *s);     /* all counts to 0 */

#endif /* SIMDISK_H */
