/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * crash-explorer: runs workloads, and looks at every state that a crash in
 * the middle of them could leave behind (promises 1, 13, 14, 15 and 20 of
 * remap-promises(7)).
 *
 *   crash-explorer [--states N] [--seed N] [SETUP...]
 *   crash-explorer --workload SETUP/OP,OP,...
 *   crash-explorer --replay SETUP/OP,.../POINT/LANDS[/POINT/LANDS]
 *
 * Each setup gets its share of N distinct states: first all workloads of
 * no, one and two operations, as far as they fit, then random ones of three
 * and four.  Setups are in world.c, operations in run.h, LANDS in states.h.
 */

#include <config.h>

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "states.h"

/* For a setup without a share. */
#define MAX_SLOW_STATES 50000

static uint64_t
distinct (const struct totals *t)
{
  return t->distinct[1] + t->distinct[2];
}

/* All workloads of up to two operations, then random ones. */
static void
explore_setup (struct explorer *x, uint64_t states, uint64_t seed)
{
  const char *const *ops = ops_of (x->w[0]->setup);
  char workload[128];
  unsigned n = 0, i, j, len;

  while (ops[n])
    n++;
  explore_workload (x, "");
  for (i = 0; i < n && distinct (&x->totals) < states; i++)
    explore_workload (x, ops[i]);
  /* Those that come first in the list are combined first. */
  for (j = 0; j < 2 * n && distinct (&x->totals) < states; j++)
    for (i = 0; i < n && distinct (&x->totals) < states; i++)
      if (j - i < n) {
        snprintf (workload, sizeof workload, "%s,%s", ops[i], ops[j-i]);
        explore_workload (x, workload);
      }
  while (distinct (&x->totals) < states) {
    workload[0] = '\0';
    len = 3 + memdev_random (&seed) % 2;
    for (i = 0; i < len; i++) {
      strcat (workload, i ? "," : "");
      strcat (workload, ops[memdev_random (&seed) % n]);
    }
    explore_workload (x, workload);
    if (x->totals.failures > MAX_FAILURES_SHOWN)
      break;
  }
}

static void
print_totals (const char *name, const struct totals *t, double seconds)
{
  printf ("%s: %" PRIu64 " workloads, %" PRIu64 " crash points, %" PRIu64
          " kills; states: %" PRIu64 " built, %" PRIu64 " distinct ones "
          "checked; of crashes in recovery: %" PRIu64 " built, %" PRIu64
          " distinct; %.1f s, %" PRIu64 " failed\n",
          name, t->workloads, t->points, t->kills, t->built[1],
          t->distinct[1], t->built[2], t->distinct[2], seconds, t->failures);
}

static void
add_totals (struct totals *sum, const struct totals *t)
{
  sum->workloads += t->workloads;
  sum->points += t->points;
  sum->kills += t->kills;
  sum->failures += t->failures;
  for (int i = 0; i < LEVELS; i++) {
    sum->built[i] += t->built[i];
    sum->distinct[i] += t->distinct[i];
  }
}

static double
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int
single (const char *text, bool replay)
{
  char *copy = strdup (text), *workload, *where;
  const struct setup *setup;
  struct explorer *x;
  bool ok;

  workload = strchr (copy, '/');
  if (workload == NULL || !(setup = setup_find (copy, workload - copy)))
    bug ("no such setup: %s", text);
  *workload++ = '\0';
  where = strchr (workload, '/');
  if (where)
    *where++ = '\0';
  x = explorer_new (setup);
  ok = replay ? explore_replay (x, workload, where ? where : "")
    : explore_workload (x, workload);
  if (!replay)
    print_totals (text, &x->totals, 0);
  printf ("%s\n", ok ? "ok" : "not ok");
  explorer_free (x);
  free (copy);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main (int argc, char *argv[])
{
  uint64_t states = 1000000, seed = 1, share;
  const char *sanitizers = getenv ("REMAP_SANITIZERS");
  const struct setup *setup;
  struct totals sum = { 0 };
  double begin = now (), t;
  int first = 1;

  setvbuf (stdout, NULL, _IOLBF, 0);
  /* The log is read through windows of 1 MiB: not a mapping for each. */
  mallopt (M_MMAP_THRESHOLD, 64 << 20);
  mallopt (M_TRIM_THRESHOLD, 256 << 20);
  for (; first + 1 < argc && strncmp (argv[first], "--", 2) == 0;
       first += 2) {
    if (strcmp (argv[first], "--replay") == 0)
      return single (argv[first+1], true);
    if (strcmp (argv[first], "--workload") == 0)
      return single (argv[first+1], false);
    if (strcmp (argv[first], "--states") == 0)
      states = strtoull (argv[first+1], NULL, 0);
    else if (strcmp (argv[first], "--seed") == 0)
      seed = strtoull (argv[first+1], NULL, 0);
    else
      bug ("unknown option: %s", argv[first]);
  }
  printf ("seed %" PRIu64 "\n", seed);
  if (sanitizers && *sanitizers && getenv ("REMAP_TEST_LONG") == NULL)
    states /= 50;
  for (setup = setups; setup->name; setup++) {
    struct explorer *x;

    if (argc > first && strcmp (argv[first], setup->name) != 0)
      continue;
    t = now ();
    x = explorer_new (setup);
    /* Those without a share are slow, and soon have few states that are new. */
    share = setup->share ? states / 20 * setup->share : states / 50;
    if (setup->share == 0 && share > MAX_SLOW_STATES)
      share = MAX_SLOW_STATES;
    explore_setup (x, argc > first ? states : share, seed);
    print_totals (setup->name, &x->totals, now () - t);
    add_totals (&sum, &x->totals);
    explorer_free (x);
    seen_clear ();
  }
  print_totals ("all", &sum, now () - begin);
  return sum.failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
