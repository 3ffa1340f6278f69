/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * fault-sweep: for each workload and each kind of fault, the Nth operation
 * that can have it does, for every N until none is left; once, and from
 * then on.  Each operation must end well or with a clean error, without
 * inventing or losing anything; when the fault is over service resumes; and
 * what was acknowledged is there after a restart, whatever a crash does to
 * the writes that were not flushed (promises 1, 10 to 18 and 23 of
 * remap-promises(7)).
 *
 * On each setup that is done for some fixed workloads, for each operation
 * alone, and for pairs at random, N in all.
 *
 *   fault-sweep [--workloads N] [--seed N]
 *   fault-sweep --replay SETUP/OP,OP/FAULT/N/once|forever[/POINT/LANDS]
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "fail-malloc.h"
#include "states.h"

#define MAIN 1
#define SPARE 2
#define MEMORY 4

static const struct fault {
  const char *name;
  unsigned where;
  unsigned ops;
  int err;                      /* of main */
  int spare_err;                /* of the spare, if both fail */
  bool lands;                   /* writes of the spare that fail are done */
} faults[] = {
  { "main-EIO", MAIN, MEMDEV_ANY, EIO },
  { "main-ETIMEDOUT", MAIN, MEMDEV_ANY, ETIMEDOUT },
  { "main-ENODEV", MAIN, MEMDEV_ANY, ENODEV },
  { "main-EPERM", MAIN, MEMDEV_ANY, EPERM },
  { "main-read", MAIN, MEMDEV_READ, EIO },
  { "main-write", MAIN, MEMDEV_MODIFY, EIO },
  { "main-late", MAIN, MEMDEV_MODIFY, ETIMEDOUT },
  { "main-flush", MAIN, MEMDEV_FLUSH, EIO },
  { "main-flush-ENODEV", MAIN, MEMDEV_FLUSH, ENODEV },
  { "spare-EIO", SPARE, MEMDEV_ANY, EIO },
  { "spare-read", SPARE, MEMDEV_READ, EIO },
  { "spare-write", SPARE, MEMDEV_WRITE, EIO },
  { "spare-flush", SPARE, MEMDEV_FLUSH, EIO },
  { "spare-ENOSPC", SPARE, MEMDEV_WRITE | MEMDEV_ALLOCATE, ENOSPC },
  { "spare-write-lands", SPARE, MEMDEV_WRITE, EIO, .lands = true },
  { "spare-full-lands", SPARE, MEMDEV_WRITE, ENOSPC, .lands = true },
  { "spare-EDQUOT", SPARE, MEMDEV_ALLOCATE, EDQUOT },
  { "memory", MEMORY, 0, ENOMEM },
  { "both", MAIN | SPARE, MEMDEV_ANY, EIO, EIO },
  { "both-gone", MAIN | SPARE, MEMDEV_ANY, ENODEV, EIO },
  { "both-full", MAIN | SPARE, MEMDEV_MODIFY, EIO, ENOSPC },
  { NULL }
};

static const struct {
  const char *setup, *ops;
} workloads[] = {
  { "plain", "w0+4,f,r0+8,w2f" },
  { "plain", "r4,r5,w6+4,f" },
  { "plain", "z2+2,z6+4,t0+2,f,w8" },
  { "plain", "m0+2,w0,u6+2,f,w6" },
  { "plain", "y8,l8,w12,p6,f" },
  { "plain", "w2,c,w3,z2,w0f" },
  { "plain", "w2,g,w3,G,f" },
  { "plain", "w2,x,w3,k,f" },
  { "plain", "w0,w0,u0+2,w0" },
  { "plain", "w6,f,w6,f,r6+2" },
  { "plain", "r6,w6,r6,f" },
  { "few", "w2+2,z6+2,w8,w9f,f" },
  { "few", "m0+2,u0+2,w2,r0+16" },
  { "log", "w2,z2,w3,w8f,f" },
  { "log", "r4,r5,m1,c,w2" },
  { "pieces", "w2,w3,z2,w2,z6,f" },
  { "pieces", "w2,z2,G,w3,w2,f" },
  { "high", "w2,r4,z9,w9,f" },
  { "block", "w4+2,p8,r12,f,w5f" },
  { "block", "z20+4,w21,p24,r0+36,f" },
  { "block", "m0+2,u16,y20,w34+2,f" },
  { "samples", "s,w0,f,s,w8+8" },
  { "samples", "w0,s,f,s,z8+8,f" },
  { "samples", "s,p3,t8+8,k,w19f" },
  { "samples", "s,f,x,w2,s,u0+32" },
  { NULL }
};

static const struct fault *fault;
static struct explorer *x;
static uint64_t runs, clean, hits;
static uint64_t run_hits;       /* faults in this run */
static uint64_t hits_at_start;  /* faults of the spare before this session */

static void
no_memory (bool on)
{
  static unsigned left;

  /* The world's own needs are not the core's. */
  if (on)
    malloc_countdown = left;
  else {
    left = malloc_countdown;
    malloc_countdown = 0;
  }
}

static void
set_memory (unsigned n, bool forever)
{
  malloc_countdown = n;
  malloc_forever = forever;
  malloc_hits = 0;
  no_memory (false);
}

static void
arm (struct world *w, unsigned n, bool forever)
{
  const int spare_err = fault->spare_err ? fault->spare_err : fault->err;
  const unsigned spare_ops = spare_err == ENOSPC
    ? MEMDEV_WRITE | MEMDEV_ALLOCATE : fault->ops;

  w->mem->partial = fault->lands ? MEMDEV_GOOD : MEMDEV_NOTHING;
  if (fault->where & MAIN)
    memdev_fail (w->main, fault->ops, n, fault->err, forever);
  /* Of two, the spare has it from the beginning. */
  if (fault->where == SPARE)
    memdev_fail (w->mem, spare_ops, n, spare_err, forever);
  else if (fault->where & SPARE)
    memdev_fail (w->mem, spare_ops, 4, spare_err, true);
  if (fault->where & MEMORY)
    set_memory (n, forever);
}

static void
disarm (struct world *w)
{
  if (fault->where & MEMORY)
    run_hits += malloc_hits;
  else if (fault->where & MAIN)
    run_hits += w->main->fail_hits;
  else
    run_hits += w->mem->fail_hits;
  memdev_land (w->main);
  memdev_fail (w->main, 0, 0, 0, false);
  memdev_fail (w->mem, 0, 0, 0, false);
  set_memory (0, false);
}

static bool
spare_is_full (void)
{
  const int err = fault->spare_err ? fault->spare_err : fault->err;

  return err == ENOSPC || err == EDQUOT;
}

/* Once the fault is over, a write that needs main and spare succeeds, and
 * so does a flush (the first one may still tell of an earlier failure);
 * unless the spare has failed.
 */
static const char *
resume (struct world *w, struct model *m)
{
  static char text[100];
  const struct op ops[] = {
    { .kind = 'w', .start = sector_with (w, 'B') - 1, .count = 2 },
    { .kind = 'f' }, { .kind = 'f' },
  };
  const char *wrong = NULL;
  bool ok;

  /* Main that is lost is asked again once a second. */
  w->now_ms += 5000;
  for (unsigned i = 0; i < 3 && wrong == NULL; i++) {
    wrong = run_op (m, &ops[i]);
    /* If only bad blocks are left for canaries, it looks lost once more. */
    if (wrong == NULL && i == 0 && m->record[m->n-1].err &&
        atomic_load (&w->e->main_lost)) {
      w->now_ms += 5000;
      wrong = run_op (m, &ops[i]);
    }
    ok = m->record[m->n-1].err == 0;
    if (!ok && i != 1 && wrong == NULL && !spare_failed (w->spare) &&
        w->setup->free_slots == 0) {
      snprintf (text, sizeof text, "%s fails when the fault is over: %s",
                i == 0 ? "a write" : "a flush",
                strerror (m->record[m->n-1].err));
      return text;
    }
  }
  if (wrong == NULL && spare_failed (w->spare) &&
      (fault->where == MAIN || fault->where == MEMORY ||
       (spare_is_full () && !fault->lands)))
    return "the spare has failed, but has no error";
  /* Slots that can't be written stay out of use, retired or not. */
  if (wrong == NULL && !spare_failed (w->spare) &&
      !((fault->where & SPARE) && (fault->ops & MEMDEV_WRITE) &&
        !spare_is_full ()))
    wrong = check_idle (w);
  return wrong;
}

/* May R have moved sector S though it never asked main for anything?  It may
 * if it wrote all of a mixed block, unless main was known to be lost.
 */
static bool
may_be_moved (struct world *w, const struct record *r, unsigned s,
              bool main_lost)
{
  const unsigned n = w->setup->block / SECTOR_SIZE, first = s / n * n;
  unsigned direct = 0, all = 0;

  for (unsigned i = first; i < first + n && i < w->nsectors; i++) {
    all++;
    direct += STATE_OF (r->before[i]) == DIRECT;
    if (!(r->effect[i] & WRITES))
      return false;
  }
  return direct < all && !main_lost;
}

/* What this fault must not lead to in the operation R, before whose begin
 * there were ALREADY hits, and main was known to be lost (or not).
 */
static const char *
check_fault (struct world *w, const struct record *r, uint64_t already,
             bool main_lost, bool forever)
{
  /* Promise 12: on a disk that is gone nothing becomes anything. */
  if ((fault->where & MAIN) && fault->ops == MEMDEV_ANY && forever &&
      already > 0 && fault->err != EPERM)
    for (unsigned s = 0; s < w->nsectors; s++)
      if (STATE_OF (r->before[s]) == DIRECT &&
          STATE_OF (sector_state_of (w, s)) != DIRECT &&
          !may_be_moved (w, r, s, main_lost))
        return "main is gone, but a sector's state changes";
  /* Promises 17 and 18. */
  if (fault->where == SPARE && spare_is_full () && !fault->lands &&
      r->op.kind == 'w' && r->err != 0 && r->err != ENOSPC)
    return "the spare is full, and a write fails with another error";
  /* Promise 16. */
  if (r->op.kind == 'k' || r->op.kind == 'x')
    hits_at_start = w->mem->fail_hits;
  if (fault->where == SPARE && fault->ops == MEMDEV_FLUSH &&
      w->mem->fail_hits > hits_at_start && !spare_failed (w->spare))
    return "a flush of the spare has failed, and it goes on";
  return NULL;
}

/* A clean failure: of the first start, or of one in between. */
static bool
restart (struct world *w, const char **wrong)
{
  clean++;
  disarm (w);
  hits_at_start = 0;
  if (world_open (w, false) == 0)
    return true;
  *wrong = w->message.text;
  return false;
}

static const char *
run_all (struct world *w, struct model *m, const char *ops, bool forever)
{
  const char *wrong = NULL;
  uint64_t already;
  bool main_lost;
  struct op op;

  hits_at_start = 0;
  if (world_open (w, false) != 0 && !restart (w, &wrong))
    return wrong;
  while (*ops && wrong == NULL) {
    ops = op_parse (ops, &op);
    ops += *ops == ',';
    already = w->main->fail_hits;
    main_lost = atomic_load (&w->e->main_lost);
    /* A request whose canaries have answered believes that main is alive
     * till its end.
     */
    for (unsigned s = 0; s < w->nsectors; s++)
      m->lost_ok[s] |= forever && already == 0 && (fault->where & MAIN) &&
        (fault->ops & MEMDEV_READ);
    wrong = run_op (m, &op);
    for (unsigned s = 0; s < w->nsectors && w->map; s++)
      m->lost_ok[s] &= STATE_OF (sector_state_of (w, s)) == LOST;
    if (wrong && w->map == NULL) {
      /* It said why it doesn't start: that is all right. */
      op_end (m, &m->record[m->n-1], EIO);
      wrong = NULL;
      if (!restart (w, &wrong))
        return wrong;
    }
    if (m->record[m->n-1].err)
      clean++;
    if (wrong == NULL)
      wrong = check_fault (w, &m->record[m->n-1], already, main_lost,
                           forever);
  }
  return wrong;
}

/* One run; false if the fault didn't come. */
static bool
sweep_one (const char *ops, unsigned n, bool forever, const char *where)
{
  struct world *w = x->w[0];
  struct model *m = x->m[0];
  static char name[200];
  const char *wrong;

  snprintf (name, sizeof name, "%s/%s/%u/%s", ops, fault->name, n,
            forever ? "forever" : "once");
  x->workload = name;
  runs++;
  world_rewind (w, 1);
  world_hear (w);
  for (unsigned i = 0; i < LEVELS; i++)
    x->w[i]->may_differ = false;
  model_reset (m, NULL);
  m->faults = true;
  w->mem->flush_loses = w->main->flush_loses = true;
  w->watch = true;
  w->failing = fault->where & MEMORY ? no_memory : NULL;
  run_hits = 0;
  arm (w, n, forever);
  wrong = run_all (w, m, ops, forever);
  disarm (w);
  w->failing = NULL;
  hits += run_hits;
  /* A write that had timed out has landed now. */
  if (wrong == NULL)
    wrong = check_all (m);
  if (wrong == NULL)
    wrong = resume (w, m);
  if (wrong) {
    state_failed (x, 0, "%s", wrong);
    return run_hits > 0;
  }

  world_hear (w);
  for (unsigned i = 1; i < LEVELS; i++)
    x->w[i]->may_differ = w->may_differ;
  collect_events (x, 0);
  if (where) {
    x->shallow = true;
    replay_where (x, where);
    return true;
  }
  make_expect (x, 0, x->events[0].n, true);
  x->expect[1].any_digest = spare_failed (w->spare);
  explore_subsets (x, 0, x->events[0].n);
  check_kill (x, x->events[0].n, spare_failed (w->spare));
  return run_hits > 0;
}

static void
sweep (const char *ops)
{
  for (fault = faults; fault->name; fault++)
    for (int forever = 0; forever < 2; forever++)
      for (unsigned n = 1; sweep_one (ops, n, forever, NULL); n++)
        if (n == 2000)
          bug ("it never ends: %s, %s", ops, fault->name);
}

static void
new_explorer (const char *setup, size_t len)
{
  if (setup_find (setup, len) == NULL)
    bug ("no such setup: %s", setup);
  x = explorer_new (setup_find (setup, len));
  x->program = "fault-sweep";
  x->use_every = UINT32_MAX;
}

static int
replay (const char *text)
{
  char *copy = strdup (text), *v[6] = { copy };
  unsigned n = 1;

  while (n < 6 && (v[n] = strchr (v[n-1], '/')) != NULL)
    *v[n++]++ = '\0';
  if (n < 5)
    bug ("not SETUP/OPS/FAULT/N/once: %s", text);
  for (fault = faults; fault->name && strcmp (fault->name, v[2]); fault++)
    ;
  if (fault->name == NULL)
    bug ("no such fault: %s", v[2]);
  new_explorer (v[0], strlen (v[0]));
  sweep_one (v[1], strtoul (v[3], NULL, 10), !strcmp (v[4], "forever"),
             n > 5 ? v[5] : NULL);
  n = x->totals.failures;
  printf ("%s\n", n ? "not ok" : "ok");
  explorer_free (x);
  free (copy);
  return n ? EXIT_FAILURE : EXIT_SUCCESS;
}

static uint64_t states, failures;

static void
sweep_setup (const char *setup, uint64_t limit, uint64_t seed)
{
  const uint64_t before = runs;
  const char *const *ops;
  char workload[100];
  unsigned n = 0, i, done = 0;

  new_explorer (setup, strlen (setup));
  for (i = 0; workloads[i].setup; i++)
    if (strcmp (workloads[i].setup, setup) == 0) {
      sweep (workloads[i].ops);
      done++;
    }
  ops = ops_of (x->w[0]->setup);
  while (ops[n])
    n++;
  for (i = 0; i < n && done < limit; i++, done++) {
    snprintf (workload, sizeof workload, "%s,f", ops[i]);
    sweep (workload);
  }
  for (; done < limit; done++) {
    snprintf (workload, sizeof workload, "%s,%s,f",
              ops[memdev_random (&seed) % n], ops[memdev_random (&seed) % n]);
    sweep (workload);
  }
  printf ("%s: %u workloads, %" PRIu64 " runs, %" PRIu64 " states, %" PRIu64
          " failed\n", setup, done, runs - before,
          x->totals.distinct[1] + x->totals.distinct[2],
          x->totals.failures);
  states += x->totals.distinct[1] + x->totals.distinct[2];
  failures += x->totals.failures;
  explorer_free (x);
  seen_clear ();
}

int
main (int argc, char *argv[])
{
  static const char *const names[] = {
    "plain", "few", "log", "pieces", "high", "block", "samples"
  };
  const char *sanitizers = getenv ("REMAP_SANITIZERS");
  uint64_t limit = 60, seed = 1;

  setvbuf (stdout, NULL, _IOLBF, 0);
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp (argv[i], "--replay") == 0)
      return replay (argv[i+1]);
    if (strcmp (argv[i], "--workloads") == 0)
      limit = strtoull (argv[i+1], NULL, 0);
    else if (strcmp (argv[i], "--seed") == 0)
      seed = strtoull (argv[i+1], NULL, 0);
    else
      bug ("unknown option: %s", argv[i]);
  }
  if (sanitizers && *sanitizers && getenv ("REMAP_TEST_LONG") == NULL)
    limit /= 10;
  printf ("seed %" PRIu64 "\n", seed);
  for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
    sweep_setup (names[i], limit, seed + i);
  printf ("all: %" PRIu64 " runs with %" PRIu64 " faults, %" PRIu64
          " clean errors, %" PRIu64 " distinct states after a crash, %"
          PRIu64 " failed\n", runs, hits, clean, states, failures);
  return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
