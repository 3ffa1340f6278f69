/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Pending states (promise 27 of remap-promises(7)): against a model, without
 * memory, and read while they change.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "map-testing.h"
#include "map/pending.h"

#define PAGE PENDING_PAGE_SECTORS
#define SECTORS (5 * PAGE)

static const enum sector_state any[] = { DIRECT, KEPT, WRITTEN, ZERO };

static void
set (struct pending *p, sector_t start, uint64_t count,
     enum sector_state state)
{
  uint64_t n;

  CU_ASSERT_EQUAL_FATAL (pending_pin (p, start, count), 0);
  for (sector_t at = start; at < start + count; at += n) {
    n = pending_page_end (at) - at;
    if (n > start + count - at)
      n = start + count - at;
    pending_set (p, at, n, state, 2);
  }
  pending_unpin (p, start, count);
}

static bool
is_pending (const struct pending *p, sector_t start, uint64_t count,
            enum sector_state state, uint64_t want)
{
  return pending_get (p, start, &count) == state && count == want;
}

static void
compare (struct pending *p, const uint8_t *model)
{
  struct pending_totals t, want = { 0 };
  uint64_t n;

  for (sector_t s = 0; s < SECTORS; s += n) {
    n = SECTORS - s;
    CU_ASSERT_EQUAL_FATAL (pending_get (p, s, &n), any[model[s]]);
    CU_ASSERT_FATAL (n > 0);
    for (uint64_t i = 0; i < n; i++)
      CU_ASSERT_EQUAL_FATAL (model[s + i], model[s]);
    CU_ASSERT_FATAL (s + n == SECTORS || model[s + n] != model[s]);
  }
  for (sector_t s = 0; s < SECTORS; s++) {
    want.kept += any[model[s]] == KEPT;
    want.written += any[model[s]] == WRITTEN;
    want.zero += any[model[s]] == ZERO;
  }
  pending_get_totals (p, &t);
  CU_ASSERT_EQUAL (t.kept, want.kept);
  CU_ASSERT_EQUAL (t.written, want.written);
  CU_ASSERT_EQUAL (t.zero, want.zero);
}

/* Whatever is set, cleared and recorded: lookups, totals and batches say what
 * the model does.
 */
static void
test_model (void)
{
  static uint8_t model[SECTORS], seen[SECTORS];
  struct pending *p = pending_new (SECTORS);
  struct pending_batch b = { 0 };
  unsigned code;
  struct run run;

  CU_ASSERT_PTR_NOT_NULL_FATAL (p);
  memset (model, 0, sizeof model);
  for (int i = 0; i < 400; i++) {
    const uint64_t count = 1 + random_below (i % 9 ? 70 : 2 * PAGE);
    const sector_t start = random_below (SECTORS - count);

    code = random_below (4);
    if (i % 7 == 3) {
      pending_clear (p, start, count, any[code], 0);
      for (sector_t s = start; s < start + count; s++)
        if (code == 0 || model[s] == code)
          model[s] = 0;
    }
    else {
      set (p, start, count, any[code]);
      memset (model + start, code, count);
    }
    if (i % 25 == 24) {
      pending_clear_all (p, ZERO);
      for (sector_t s = 0; s < SECTORS; s++)
        model[s] = any[model[s]] == ZERO ? 0 : model[s];
    }
    compare (p, model);
    if (i % 10 != 9)
      continue;

    /* All that is pending was touched since it was recorded last. */
    const bool recorded = i % 20 == 19;

    memset (seen, 0, sizeof seen);
    CU_ASSERT_EQUAL_FATAL (pending_take (p, &b), 0);
    while (pending_batch_next (p, &b, &run)) {
      for (code = 1; any[code] != run.state; )
        code++;
      memset (seen + run.start, code, run.count);
      if (recorded)
        pending_clear (p, run.start, run.count, run.state, 0);
    }
    CU_ASSERT_EQUAL (memcmp (seen, model, sizeof seen), 0);
    if (recorded)
      memset (model, 0, sizeof model);
    pending_release (p, &b, recorded);
    compare (p, model);
  }
  pending_free (p);
}

/* What a batch gets, and what goes on meanwhile. */
static void
test_batch (void)
{
  struct pending *p = pending_new (SECTORS);
  struct pending_batch b = { 0 };
  struct run run;

  /* Runs of the log count once, and only where something changes. */
  CU_ASSERT_EQUAL (pending_pin (p, 10, 5), 0);
  CU_ASSERT (pending_set (p, 10, 5, WRITTEN, 2));
  CU_ASSERT_FALSE (pending_set (p, 11, 3, WRITTEN, 2));
  CU_ASSERT (pending_set (p, 12, 1, KEPT, 2));
  set (p, PAGE - 1, 2, ZERO);
  CU_ASSERT_EQUAL (pending_take (p, &b), 0);
  CU_ASSERT_EQUAL (b.runs, 8);
  CU_ASSERT_EQUAL (b.n, 2);

  /* What changes after that is for the next one. */
  CU_ASSERT (pending_set (p, 12, 1, WRITTEN, 2));
  CU_ASSERT (pending_batch_next (p, &b, &run));
  CU_ASSERT (run.start == 10 && run.count == 5 && run.state == WRITTEN);
  CU_ASSERT (pending_batch_next (p, &b, &run));
  CU_ASSERT (run.start == PAGE - 1 && run.count == 1 && run.state == ZERO);
  CU_ASSERT (pending_batch_next (p, &b, &run));
  CU_ASSERT (run.start == PAGE && run.count == 1 && run.state == ZERO);
  CU_ASSERT_FALSE (pending_batch_next (p, &b, &run));
  pending_clear (p, 10, 2, WRITTEN, 0);
  CU_ASSERT_FALSE (pending_clear (p, 13, 2, KEPT, 9));
  pending_release (p, &b, true);
  CU_ASSERT (is_pending (p, 0, 100, DIRECT, 12));
  CU_ASSERT (is_pending (p, 12, 100, WRITTEN, 3));

  CU_ASSERT_EQUAL (pending_take (p, &b), 0);
  CU_ASSERT_EQUAL (b.n, 1);
  CU_ASSERT_EQUAL (b.runs, 2);
  pending_release (p, &b, false);               /* it couldn't be recorded */
  CU_ASSERT_EQUAL (pending_take (p, &b), 0);
  CU_ASSERT_EQUAL (b.n, 1);
  CU_ASSERT_EQUAL (b.runs, 2);
  pending_release (p, &b, true);
  CU_ASSERT_EQUAL (pending_take (p, &b), 0);
  CU_ASSERT_EQUAL (b.n, 0);
  pending_release (p, &b, true);
  /* What is cut takes more. */
  CU_ASSERT (pending_clear (p, 13, 1, DIRECT, 2));
  CU_ASSERT_EQUAL (pending_take (p, &b), 0);
  CU_ASSERT_EQUAL (b.runs, 2);
  pending_release (p, &b, true);
  pending_unpin (p, 10, 5);
  pending_free (p);
}

/* Far apart, at the end of a large disk, and across what was never touched. */
static void
test_large (void)
{
  const uint64_t nr = UINT64_C (1) << 45;
  struct pending *p = pending_new (nr);
  struct pending_batch b = { 0 };
  struct pending_totals t;
  struct run run;

  CU_ASSERT_PTR_NOT_NULL_FATAL (p);
  CU_ASSERT (is_pending (p, 0, nr, DIRECT, nr));
  CU_ASSERT (is_pending (p, nr - 1, 1, DIRECT, 1));
  set (p, nr - 1, 1, KEPT);
  CU_ASSERT (is_pending (p, 5, nr - 5, DIRECT, nr - 6));
  set (p, 3, 1, ZERO);
  CU_ASSERT (is_pending (p, 4, nr, DIRECT, nr - 5));

  /* Memory is given up when much of it holds nothing. */
  for (uint64_t i = 0; i < 2000; i++)
    set (p, i * 5 * PAGE, 1, WRITTEN);
  CU_ASSERT_EQUAL (pending_take (p, &b), 0);
  while (pending_batch_next (p, &b, &run))
    if (run.start != 3)
      pending_clear (p, run.start, run.count, run.state, 0);
  pending_release (p, &b, true);
  pending_get_totals (p, &t);
  CU_ASSERT_EQUAL (t.pages, 1);
  CU_ASSERT (is_pending (p, 3, 9, ZERO, 1));
  CU_ASSERT (is_pending (p, 4, nr - 4, DIRECT, nr - 4));
  set (p, 5 * PAGE, 1, WRITTEN);
  CU_ASSERT (is_pending (p, 4, nr - 4, DIRECT, 5 * PAGE - 4));
  pending_free (p);
}

/* Whatever can't be allocated, nothing has changed and nothing is leaked. */
static void
test_no_memory (void)
{
  const long live = alloc_live;
  struct pending *p;
  struct pending_batch b = { 0 };
  int err = ENOMEM;

  alloc_countdown = 1;
  CU_ASSERT_PTR_NULL (pending_new (SECTORS));
  alloc_countdown = 0;
  p = pending_new (SECTORS);
  for (long n = 1; err == ENOMEM; n++) {
    alloc_countdown = n;
    err = pending_pin (p, PAGE - 1, PAGE + 2);
    alloc_countdown = 0;
    CU_ASSERT (n < 9);
  }
  pending_set (p, PAGE, 5, KEPT, 2);
  pending_unpin (p, PAGE - 1, PAGE + 2);
  alloc_countdown = 1;
  CU_ASSERT_EQUAL (pending_take (p, &b), ENOMEM);
  alloc_countdown = 0;
  CU_ASSERT_EQUAL (pending_take (p, &b), 0);
  CU_ASSERT_EQUAL (b.n, 1);
  pending_release (p, &b, false);
  pending_free (p);
  CU_ASSERT_EQUAL (alloc_live, live);
}

/* Readers beside changes and grace periods: a sector that is always pending in
 * one of two states is never seen in another.
 */
static atomic_bool stop;

static void *
reader (void *arg)
{
  const struct pending *p = arg;
  enum sector_state state;
  uint64_t n;

  while (!atomic_load (&stop)) {
    n = 1;
    state = pending_get (p, 7, &n);
    CU_ASSERT (state == KEPT || state == WRITTEN);
    n = 10000 * PAGE;
    pending_get (p, 8, &n);
  }
  return NULL;
}

static void
test_readers (void)
{
  struct pending *p = pending_new (10001 * PAGE);
  struct pending_batch b = { 0 };
  pthread_t thread[2];
  struct run run;

  set (p, 7, 1, KEPT);
  for (int i = 0; i < 2; i++)
    CU_ASSERT_EQUAL_FATAL (pthread_create (&thread[i], NULL, reader, p), 0);
  for (unsigned i = 0; i < 6000 / test_divide; i++) {
    set (p, 7, 1, i % 2 ? KEPT : WRITTEN);
    set (p, (1 + i) * PAGE, 3, ZERO);
    if (i % 1500 != 1499)
      continue;
    CU_ASSERT_EQUAL (pending_take (p, &b), 0);
    while (pending_batch_next (p, &b, &run))
      if (run.start != 7)
        pending_clear (p, run.start, run.count, DIRECT, 0);
    pending_release (p, &b, true);
  }
  atomic_store (&stop, true);
  for (int i = 0; i < 2; i++)
    pthread_join (thread[i], NULL);
  pending_free (p);
}

int
main (void)
{
  static const struct test tests[] = {
    { "any change (promise 27)", test_model },
    { "batches (promise 27)", test_batch },
    { "large disks", test_large },
    { "no memory", test_no_memory },
    { "readers", test_readers },
  };

  return run_tests ("pending", tests, sizeof tests / sizeof tests[0]);
}
