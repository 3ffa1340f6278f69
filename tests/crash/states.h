/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The states that a crash can leave behind, and whether the core recovers
 * from each of them.
 *
 * A crash comes after N events of the devices.  Each write that no flush
 * has followed then lands or not, whole or in part; the sum of what landed,
 * with what is allowed then, is a state.  Each state that wasn't seen
 * before is opened by the core, compared, read through the engine, compared
 * sector by sector, used further, and opened again.  What recovery and
 * further use write is cut off at each point in the same way: those are
 * states of the second level.
 */

#ifndef CRASH_STATES_H
#define CRASH_STATES_H

#include "run.h"

#define LEVELS 3        /* the run; the first recovery; the second one */
#define MAX_PENDING 64
#define MAX_CHOICES 9   /* of contents of a sector */

/* How a write that wasn't flushed lands: - not, + whole; in units of 512
 * bytes p the first N, s the last N, e the even and o the odd ones; in
 * units of 4096 P the first N, S the last N.
 */
struct land {
  char kind;
  uint8_t n;
};

static inline bool
unit_lands (struct land land, unsigned i, unsigned units)
{
  switch (land.kind) {
  case '+': return true;
  case 'p': return i < land.n;
  case 's': return i >= units - land.n;
  case 'e': return i % 2 == 0;
  case 'o': return i % 2 == 1;
  case 'P': return i / 8 < land.n;
  case 'S': return i / 8 >= (units + 7) / 8 - land.n;
  default: return false;
  }
}

struct event {
  const struct memdev_event *e;
  bool main;
  unsigned units;               /* of 512 bytes, the last may be shorter */
  uint64_t *hash;               /* of each unit, 0 if it is the setup's */
};

struct events {
  unsigned n;
  struct event v[MAX_EVENTS];
};

/* A piece of an image: units of an event. */
struct patch {
  const struct event *e;
  struct land land;
};

struct image {
  unsigned n;
  struct patch v[2 * MAX_EVENTS];
  uint64_t hash;
};

/* What may be found. */
struct expect {
  unsigned ndigests;
  uint64_t digest[4];
  bool any_digest;              /* a commit may be there, or not */
  bool may_format;
  uint64_t hash;
  unsigned nchoices[MAX_SECTORS];
  const uint8_t *choice[MAX_SECTORS][MAX_CHOICES];
};

struct totals {
  uint64_t workloads, points;
  uint64_t built[LEVELS];       /* states, by level (0: unused) */
  uint64_t distinct[LEVELS];    /* of these, not seen before: checked */
  uint64_t kills;               /* recoveries after a kill -9 */
  uint64_t failures;
};

struct explorer {
  struct world *w[LEVELS];
  struct model *m[LEVELS];
  struct events events[LEVELS];
  struct expect expect[LEVELS];
  struct image image[LEVELS];
  uint64_t *base_hash[2];       /* of the setup's units: spare, main */
  uint64_t *unit[2], *stamp[2], epoch;
  uint64_t *hash_memory[LEVELS];
  unsigned use_every;           /* further use is cut in one of N states */

  /* Where we are, for the reproducer. */
  const char *program, *workload;
  unsigned point[LEVELS];
  struct land lands[LEVELS][MAX_PENDING];
  unsigned npending[LEVELS];
  bool killed;
  bool shallow;                 /* a replay: no further states */
  struct totals totals;
};

extern struct explorer *explorer_new (const struct setup *setup);
extern void explorer_free (struct explorer *x);

/* Runs the workload (a list of operations with commas), and looks at all
 * crashes within its last operation.  False: something was wrong.
 */
extern bool explore_workload (struct explorer *x, const char *workload);

/* One state, or one crash of a recovery: what a reproducer says. */
extern bool explore_replay (struct explorer *x, const char *workload,
                            const char *where);


/* The rest of it, behind the workload; after that was run. */
extern bool replay_where (struct explorer *x, const char *where);

#define MAX_FAILURES_SHOWN 20

/* Reports; counts a failure. */
extern void state_failed (struct explorer *x, int level, const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

/* states.c */
extern void collect_events (struct explorer *x, int level);
extern void make_expect (struct explorer *x, int level, uint64_t n,
                         bool crash);
extern void explore_subsets (struct explorer *x, int level, unsigned n);
extern void explore_point (struct explorer *x, int level, unsigned n);
extern void build_image (struct explorer *x, int level, unsigned n,
                         const struct land *lands);
extern unsigned find_pending (struct explorer *x, int level, unsigned n,
                              struct event **pending);

/* check.c.  check_state: the image of that level, by the expectation of
 * that level.  check_kill: the server alone was killed after N events, and
 * starts again; ANY_DIGEST as in struct expect.
 */
extern void check_state (struct explorer *x, int level);
extern void check_kill (struct explorer *x, unsigned n, bool any_digest);

/* A set of numbers, for what was seen: true if V is new. */
extern bool seen_add (uint64_t v);
extern void seen_clear (void);

#endif /* CRASH_STATES_H */
