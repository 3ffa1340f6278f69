/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Workloads of one thread, and the crashes in them.
 */

#include <config.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "states.h"

struct explorer *
explorer_new (const struct setup *setup)
{
  struct explorer *x = calloc (1, sizeof *x);
  struct memdev *dev;
  uint64_t units;

  if (x == NULL)
    bug ("out of memory");
  x->use_every = 3000;
  x->program = "crash-explorer";
  for (int i = 0; i < LEVELS; i++) {
    x->w[i] = i == 0 ? world_new (setup) : world_clone (x->w[0]);
    x->m[i] = model_new (x->w[i]);
    x->hash_memory[i] = calloc (MAX_EVENTS * 16, sizeof (uint64_t));
  }
  for (int main = 0; main < 2; main++) {
    dev = main ? x->w[0]->main : x->w[0]->mem;
    units = dev->size / SECTOR_SIZE + 1;
    x->base_hash[main] = calloc (units, sizeof (uint64_t));
    x->unit[main] = calloc (units, sizeof (uint64_t));
    x->stamp[main] = calloc (units, sizeof (uint64_t));
    for (uint64_t i = 0; SEC (i) < dev->size; i++)
      x->base_hash[main][i] =
        hash_bytes (dev->base + SEC (i), min_u64 (dev->size - SEC (i), 512));
  }
  return x;
}

void
explorer_free (struct explorer *x)
{
  for (int i = 0; i < LEVELS; i++) {
    model_free (x->m[i]);
    world_free (x->w[i]);
    free (x->hash_memory[i]);
  }
  for (int main = 0; main < 2; main++) {
    free (x->base_hash[main]);
    free (x->unit[main]);
    free (x->stamp[main]);
  }
  free (x);
}

static void
print_where (const struct explorer *x, int level)
{
  for (int i = 0; i < level; i++) {
    printf ("/%u/", x->point[i]);
    if (i == 0 && x->killed) {
      printf ("kill");
      continue;
    }
    for (unsigned j = 0; j < x->npending[i]; j++) {
      printf ("%c", x->lands[i][j].kind);
      if (x->lands[i][j].n > 0)
        printf ("%u", x->lands[i][j].n);
    }
    if (x->npending[i] == 0)
      printf (".");
  }
}

void
state_failed (struct explorer *x, int level, const char *fs, ...)
{
  va_list args;

  if (++x->totals.failures > MAX_FAILURES_SHOWN)
    return;
  printf ("FAILED: ");
  va_start (args, fs);
  vprintf (fs, args);
  va_end (args);
  printf ("\n  %s --replay %s/%s", x->program, x->w[0]->setup->name,
          x->workload);
  print_where (x, level);
  printf ("\n");
}

/* Returns the clock at which the last operation began. */
static bool
run_workload (struct explorer *x, const char *workload, uint64_t *last)
{
  struct world *w = x->w[0];
  const char *p = workload, *wrong;
  struct op op;

  x->workload = workload;
  x->totals.workloads++;
  world_rewind (w, 1);
  model_reset (x->m[0], NULL);
  w->watch = true;
  *last = 0;
  if (world_open (w, w->setup->blank) != 0) {
    state_failed (x, 0, "%s", w->message.text);
    return false;
  }
  while (*p) {
    *last = w->clock + 1;
    p = op_parse (p, &op);
    if (p == NULL || (*p && *p != ','))
      bug ("not a workload: %s", workload);
    if (op.start + op.count > w->nsectors)
      bug ("%s: there is no such sector", workload);
    wrong = run_op (x->m[0], &op);
    if (wrong) {
      state_failed (x, 0, "in %s: %s", op_text (&op), wrong);
      return false;
    }
    p += *p == ',';
  }
  collect_events (x, 0);
  return true;
}

bool
explore_workload (struct explorer *x, const char *workload)
{
  const uint64_t failures = x->totals.failures;
  uint64_t last;

  if (!run_workload (x, workload, &last))
    return false;
  /* The end, even if the last operation had no events: it was acknowledged
   * since.
   */
  if (last > x->events[0].n)
    last = x->events[0].n;
  for (unsigned n = last; n <= x->events[0].n; n++) {
    x->totals.points++;
    make_expect (x, 0, n, true);
    explore_point (x, 0, n);
    check_kill (x, n, false);
  }
  return x->totals.failures == failures;
}

static const char *
parse_lands (const char *p, struct explorer *x, int level)
{
  char *end;
  unsigned n = 0;

  for (; *p && *p != '/'; p = end) {
    end = (char *) p + 1;
    if (*p == '.')
      continue;
    if (n == MAX_PENDING)
      bug ("too many writes");
    x->lands[level][n].kind = *p;
    x->lands[level][n].n = strtoul (p + 1, &end, 10);
    n++;
  }
  x->npending[level] = n;
  return p;
}

bool
replay_where (struct explorer *x, const char *where)
{
  char *end;

  for (int level = 0; level + 1 < LEVELS && *where; level++) {
    x->point[level] = strtoul (where, &end, 10);
    if (*end != '/' || x->point[level] > x->events[level].n)
      bug ("no such point: %s", where);
    where = end + 1;
    if (!(level == 1 && x->killed))
      make_expect (x, level, x->point[level], true);
    else {
      /* As in check_kill. */
      x->expect[2] = x->expect[1];
    }
    if (strncmp (where, "kill", 4) == 0) {
      check_kill (x, x->point[0], false);
      x->killed = true;
      where += 4;
    }
    else {
      where = parse_lands (where, x, level);
      build_image (x, level, x->point[level], x->lands[level]);
      check_state (x, level + 1);
    }
    where += *where == '/';
  }
  return x->totals.failures == 0;
}

bool
explore_replay (struct explorer *x, const char *workload, const char *where)
{
  uint64_t last;

  x->shallow = true;
  return run_workload (x, workload, &last) && replay_where (x, where);
}
