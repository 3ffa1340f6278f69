/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * crash-interleave: two or three threads at once, in each order in which
 * their operations on main and spare can come (promises 1, 8 and 13 of
 * remap-promises(7)), and crashes in the middle of that.
 *
 *   crash-interleave [--schedules N] [--seed N]
 *   crash-interleave --threads SETUP/OP,OP|OP|OP
 *   crash-interleave --replay SETUP/OP,OP|OP/CHOICES[/POINT/LANDS]
 *
 * Each set of threads is run in all schedules with few preemptions (one
 * thread is stopped although it could go on), up to N; then in N random
 * ones.  CHOICES are digits, see scheduler.h.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "scheduler.h"
#include "states.h"

static const struct {
  const char *setup, *threads;
} races[] = {
  /* A salvage, or a read that finds a sector LOST, and a write. */
  { "plain", "r5|w5" }, { "plain", "r4|w4" }, { "plain", "r4+2|w4|w5" },
  { "few", "r5|w5f|r5" },
  /* Commands of an operator, and requests. */
  { "plain", "m1|w1" }, { "plain", "m0+2|w0,f|r0+2" },
  { "plain", "m0+2|w1+2" }, { "plain", "m0+2|z0+2" },
  { "plain", "u6|w6" }, { "plain", "u6+2|w6f|r6" }, { "few", "u6|z6|w2" },
  { "plain", "l8|w8" }, { "plain", "m1|m1|w1" }, { "plain", "u9|w9" },
  { "plain", "m1|t0+4" },
  /* What is gathered for one commit, and requests for a part of it. */
  { "plain", "y0+16|w8" }, { "plain", "y0+16|w8|r8" },
  { "few", "y0+16|z8,w8" }, { "plain", "I0+4|w1|w3" },
  { "plain", "I0+6|r4|w5" }, { "plain", "I0+4|m0+4|w1f" },
  { "plain", "u0+16|w6f|r6" }, { "plain", "u6+4|u6+4|w6" },
  { "plain", "u6,w6|u6" }, { "plain", "l0+16|w8" }, { "block", "y0+36|w24" },
  { "plain", "y8|w8,u8,w8" }, { "plain", "w3+8|w8" }, { "plain", "w3+8|u6+2" },
  { "plain", "z3+8|y8" }, { "few", "w5+5|w8|z6" },
  /* Failing writes that overlap, with all that may come between. */
  { "plain", "w2|w2" }, { "plain", "w2+2|w2+2" }, { "plain", "w1+3|w3" },
  { "few", "w2+2|w3|r2+2" }, { "plain", "w2|w2,f" }, { "plain", "w2f|w2" },
  { "plain", "w12|w12" }, { "plain", "w11+2|w12" }, { "plain", "w2|r2|w2" },
  { "plain", "z2|w2" }, { "plain", "z2+2|w3|r2+2" }, { "plain", "z2|w2f" },
  { "plain", "p2|r2" }, { "plain", "w12|z12" },
  /* What becomes a sample of main, or is one, and is written. */
  { "samples", "s|w0" }, { "samples", "s,f|w8" }, { "samples", "w0|w2f" },
  { "samples", "s,f,s|z8+8,f" }, { "samples", "f,s|t8+8|w0" },
  { "samples", "w20,s|w0,f" },
  /* Slots that are freed, and used again. */
  { "few", "z6|r6" }, { "few", "z6+2|w2+2|r6" }, { "few", "z6,w8|r6,w9" },
  { "few", "w6|r6" }, { "few", "z6|w6" }, { "few", "z6,w6|w2" },
  { "few", "w8|w8" }, { "few", "w9|z9" }, { "few", "w8|z8,w2" },
  /* Flushes and failures. */
  { "plain", "w2|f" }, { "plain", "w0,w2|f" }, { "plain", "w0,f|f" },
  { "plain", "w6|f|f" }, { "plain", "w0f|w1f|f" }, { "plain", "w6f|w7f" },
  { "plain", "w6,f|w7,f" },
  /* Commits that are made together, checkpoints, growth. */
  { "plain", "w2|w3|z9" }, { "log", "w2|w3" }, { "log", "w2,z2|w3,f" },
  { "pieces", "w2,w3,z2|w6,z6,w6" }, { "pieces", "w2,z2,w2|z9,w9f|r6" },
  { "pieces", "w2,z2,w3|w6,z6,G" }, { "pieces", "w2,w3,z2,w2|w6,c" },
  { "log", "c|w2" }, { "plain", "g|w2" }, { "few", "g|w2+2|z6" },
  { "plain", "G|w2" }, { "pieces", "G|w2,w3,z2" }, { "pieces", "G|c,w2" },
  { "log", "G|w2,z2|w3" }, { "high", "w2|w3|r4" }, { "log", "w2|c|f" },
  /* Main blocks of which requests need parts. */
  { "block", "w4+2|p6" }, { "block", "p5|p6" }, { "block", "m0+4|p1" },
  { "block", "w20+4|w21" }, { "block", "z22|p21" }, { "block", "r13|p14" },
  { "block", "r9|w8+4" }, { "block", "w21|r20+4" }, { "block", "u16|p17" },
  { "block", "z5|w6" }, { "block", "w5|z4+4" },
  { NULL }
};

struct trial {
  struct explorer *x;
  unsigned ntasks;
  struct op op[MAX_TASKS][MAX_OPS];
  unsigned nops[MAX_TASKS];
  struct engine_conn conn[MAX_TASKS];
  struct record *record[MAX_TASKS];     /* under way */
  uint8_t buf[MAX_TASKS][MAX_SECTORS * SECTOR_SIZE];
  const char *wrong;
  struct schedule schedule;
  uint64_t schedules;
  char name[1000];              /* for the reproducer */
};

static struct trial *current;
static const struct device_ops *memdev_ops;

/* The devices: tasks may be switched before and after each operation. */

static int
point_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  int err;

  schedule_point ();
  err = memdev_ops->pread (ctx, buf, count, offset);
  schedule_point ();
  return err;
}

/* A write that main failed is durable when it is acknowledged, however. */
static int
written (void *ctx, uint32_t count, uint64_t offset, int err)
{
  struct world *w = current->x->w[0];
  struct record *r;
  unsigned s;

  if (err && ctx == w->main && schedule_self () >= 0) {
    r = current->record[schedule_self ()];
    for (s = offset / SECTOR_SIZE; SEC (s) < offset + count; s++)
      if (!sector_writable (w, s))
        r->effect[s] |= FAILED;
  }
  schedule_point ();
  return err;
}

static int
point_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  schedule_point ();
  return written (ctx, count, offset,
                  memdev_ops->pwrite (ctx, buf, count, offset));
}

static int
point_zero (void *ctx, uint32_t count, uint64_t offset, unsigned flags)
{
  schedule_point ();
  return written (ctx, count, offset,
                  memdev_ops->zero (ctx, count, offset, flags));
}

static int
point_flush (void *ctx)
{
  int err;

  schedule_point ();
  err = memdev_ops->flush (ctx);
  schedule_point ();
  return err;
}

static int
point_trim (void *ctx, uint32_t count, uint64_t offset)
{
  int err;

  schedule_point ();
  err = memdev_ops->trim (ctx, count, offset);
  schedule_point ();
  return err;
}

static void
interpose (struct world *w)
{
  static struct device_ops ops;

  memdev_ops = w->main->dev.ops;
  ops = *memdev_ops;
  ops.pread = point_pread;
  ops.pwrite = point_pwrite;
  ops.zero = point_zero;
  ops.flush = point_flush;
  ops.trim = point_trim;
  w->main->dev.ops = w->mem->dev.ops = &ops;
}

static void
task (void *opaque, unsigned i)
{
  struct trial *run = opaque;
  struct world *w = run->x->w[0];
  struct model *m = run->x->m[0];
  struct record *r;
  const char *wrong;
  int err;

  for (unsigned j = 0; j < run->nops[i]; j++) {
    r = run->record[i] = op_begin (m, &run->op[i][j]);
    err = op_do (w, &run->conn[i], r, run->buf[i]);
    world_look (w);
    op_end (m, r, err);
    wrong = check_result (m, r, run->buf[i]);
    if (wrong && !run->wrong)
      run->wrong = wrong;
    schedule_point ();
  }
}

static void
parse_threads (struct trial *run, const char *p)
{
  struct op op;

  for (run->ntasks = 0; run->ntasks < MAX_TASKS && *p; run->ntasks++) {
    unsigned *n = &run->nops[run->ntasks];

    for (*n = 0; *p && *p != '|'; p += *p == ',') {
      p = op_parse (p, &op);
      if (p == NULL || *n == MAX_OPS || strchr ("kx", op.kind))
        bug ("not operations that can be run at once");
      run->op[run->ntasks][(*n)++] = op;
    }
    p += *p == '|';
  }
}

static void
describe (struct trial *run, const char *threads)
{
  size_t n = snprintf (run->name, sizeof run->name, "%s/", threads);
  unsigned last = run->schedule.made;

  while (last > 0 && run->schedule.v[last-1].taken == 0)
    last--;
  for (unsigned i = 0; i < last && n + 1 < sizeof run->name; i++)
    n += snprintf (run->name + n, sizeof run->name - n, "%u",
                   run->schedule.v[i].taken);
  if (last == 0)
    snprintf (run->name + n, sizeof run->name - n, "0");
  run->x->workload = run->name;
}

/* One schedule; false if something was wrong. */
static bool
run_schedule (struct trial *run, const char *threads)
{
  struct explorer *x = run->x;
  struct world *w = x->w[0];
  const char *wrong;

  current = run;
  run->schedules++;
  run->wrong = NULL;
  world_rewind (w, 1);
  model_reset (x->m[0], NULL);
  w->watch = true;
  if (world_open (w, false) != 0)
    bug ("the setup doesn't open: %s", w->message.text);
  for (unsigned i = 0; i < run->ntasks; i++)
    engine_conn_init (&run->conn[i], w->e, &w->main->dev);
  if (!schedule_run (&run->schedule, run->ntasks, task, run)) {
    describe (run, threads);
    state_failed (x, 0, "a deadlock");
    exit (EXIT_FAILURE);
  }
  describe (run, threads);
  wrong = run->wrong ? run->wrong : check_all (x->m[0]);
  if (wrong == NULL)
    wrong = check_idle (w);
  if (wrong)
    state_failed (x, 0, "%s", wrong);
  return wrong == NULL;
}

static void
crash_everywhere (struct trial *run)
{
  struct explorer *x = run->x;

  collect_events (x, 0);
  for (unsigned n = 1; n <= x->events[0].n; n++) {
    x->totals.points++;
    make_expect (x, 0, n, true);
    explore_point (x, 0, n);
  }
}

#define PREEMPTIONS 2

static void
explore_race (struct trial *run, const char *threads, uint64_t limit,
              uint64_t seed)
{
  struct explorer *x = run->x;
  uint64_t all, states;
  bool more = true;

  parse_threads (run, threads);
  run->schedule.n = 0;
  run->schedule.random = 0;
  run->schedules = 0;
  while (more && run->schedules < limit &&
         x->totals.failures <= MAX_FAILURES_SHOWN) {
    if (run_schedule (run, threads))
      crash_everywhere (run);
    more = schedule_next (&run->schedule, PREEMPTIONS);
  }
  all = run->schedules;
  for (uint64_t i = 0; i < limit / 4 && x->totals.failures == 0; i++) {
    run->schedule.n = 0;
    run->schedule.random = memdev_random (&seed) | 1;
    if (run_schedule (run, threads))
      crash_everywhere (run);
  }
  states = x->totals.distinct[1] + x->totals.distinct[2];
  printf ("%s/%s: %" PRIu64 " schedules%s, %" PRIu64 " at random, %" PRIu64
          " states, %" PRIu64 " failed\n", x->w[0]->setup->name, threads, all,
          more ? " of more" : "", run->schedules - all, states,
          x->totals.failures);
}

static struct trial *
new_run (const char *setup, size_t len)
{
  static struct trial run;

  memset (&run, 0, sizeof run);
  if (setup_find (setup, len) == NULL)
    bug ("no such setup: %s", setup);
  run.x = explorer_new (setup_find (setup, len));
  run.x->program = "crash-interleave";
  run.x->use_every = 100000;
  interpose (run.x->w[0]);
  return &run;
}

static int
replay (const char *text, bool all)
{
  char *copy = strdup (text), *threads, *choices = NULL, *where = NULL;
  struct trial *run;
  uint64_t failures;

  threads = strchr (copy, '/');
  if (threads == NULL)
    bug ("not SETUP/THREADS: %s", text);
  run = new_run (copy, threads++ - copy);
  if ((choices = strchr (threads, '/')) != NULL) {
    *choices++ = '\0';
    if ((where = strchr (choices, '/')) != NULL)
      *where++ = '\0';
  }
  if (all)
    explore_race (run, threads, 100000, 1);
  else {
    parse_threads (run, threads);
    for (; choices && *choices && run->schedule.n < MAX_CHOICES_MADE;
         choices++)
      run->schedule.v[run->schedule.n++].taken = *choices - '0';
    run->x->shallow = true;
    if (run_schedule (run, threads)) {
      collect_events (run->x, 0);
      replay_where (run->x, where ? where : "");
    }
  }
  failures = run->x->totals.failures;
  printf ("%s\n", failures ? "not ok" : "ok");
  explorer_free (run->x);
  free (copy);
  return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

int
main (int argc, char *argv[])
{
  const char *sanitizers = getenv ("REMAP_SANITIZERS");
  uint64_t limit = 1000, seed = 1, schedules = 0, states = 0, failures = 0;
  struct trial *run;

  setvbuf (stdout, NULL, _IOLBF, 0);
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp (argv[i], "--replay") == 0)
      return replay (argv[i+1], false);
    if (strcmp (argv[i], "--threads") == 0)
      return replay (argv[i+1], true);
    if (strcmp (argv[i], "--schedules") == 0)
      limit = strtoull (argv[i+1], NULL, 0);
    else if (strcmp (argv[i], "--seed") == 0)
      seed = strtoull (argv[i+1], NULL, 0);
    else
      bug ("unknown option: %s", argv[i]);
  }
  if (sanitizers && *sanitizers && getenv ("REMAP_TEST_LONG") == NULL)
    limit = limit / 50 + 1;
  printf ("seed %" PRIu64 "\n", seed);
  for (unsigned i = 0; races[i].setup; i++) {
    run = new_run (races[i].setup, strlen (races[i].setup));
    explore_race (run, races[i].threads, limit, seed + i);
    schedules += run->schedules;
    states += run->x->totals.distinct[1] + run->x->totals.distinct[2];
    failures += run->x->totals.failures;
    explorer_free (run->x);
    seen_clear ();
  }
  printf ("all: %" PRIu64 " schedules, %" PRIu64 " distinct states of crashes "
          "in them, %" PRIu64 " failed\n", schedules, states, failures);
  return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
