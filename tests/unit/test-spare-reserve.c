/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Room in the log that is reserved (promise 27 of remap-promises(7)): what was
 * promised finds it, whatever is committed before.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <CUnit/Basic.h>

#include "spare/internal.h"
#include "spare-testing.h"

/* As many runs as can be had, in steps. */
static uint64_t
reserve_all (struct rig *r)
{
  uint64_t n = 0, step;

  for (step = 1 << 20; step > 0; step /= 2)
    while (spare_reserve (r->spare, step) == 0)
      n += step;
  return n;
}

/* N scattered changes, with twice as many runs kept for them. */
static int
do_reserved (struct rig *r, uint64_t first, size_t n)
{
  struct change_list list = { .reserved = 2 * n };
  int err;

  add_scattered (&list, CHANGE_WRITTEN, first, n);
  err = spare_commit (r->spare, &list, NULL);
  change_list_free (&list);
  return err;
}

static void
test_kept (void)
{
  const uint64_t middle = MAIN_SECTORS / 2;
  uint64_t all, digest, runs;
  struct rig r;

  rig_make (&r, MIB);
  all = reserve_all (&r);
  CU_ASSERT (all > 1000);
  CU_ASSERT_EQUAL (spare_reserve (r.spare, 1), ENOSPC);
  CU_ASSERT_EQUAL (spare_reserve (r.spare, 0), 0);
  spare_unreserve (r.spare, all - 800);

  /* Others get what is left, in any number of commits, and no more. */
  for (runs = 0; do_change (&r, CHANGE_LOST, 2 * runs, 1, 0) == 0; )
    runs++;
  CU_ASSERT (runs > 1000);
  CU_ASSERT_EQUAL (do_scattered (&r, CHANGE_LOST, 2 * runs, 100), ENOSPC);
  CU_ASSERT_EQUAL (spare_reserve (r.spare, 1000), ENOSPC);
  /* What makes nothing larger always can be done. */
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 0, 1, 0), 0);

  /* And that for which it was kept. */
  CU_ASSERT_EQUAL (do_reserved (&r, middle, 150), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 2 * runs, 1, 0), 0);
  CU_ASSERT_EQUAL (do_reserved (&r, middle + 1000, 250), 0);
  CU_ASSERT_EQUAL (atomic_load (&r.spare->reserved), 0);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);

  /* A list without changes gives it back, too. */
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_DIRECT, 0, MAIN_SECTORS, 0), 0);
  CU_ASSERT_EQUAL (spare_reserve (r.spare, 10), 0);
  struct change_list list = { .reserved = 10 };
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  CU_ASSERT_EQUAL (atomic_load (&r.spare->reserved), 0);
  rig_free (&r);
}

/* The filesystem is full: what was reserved has storage. */
static void
test_full (void)
{
  uint64_t all;
  struct rig r;

  rig_make (&r, 64 * MIB);
  CU_ASSERT_EQUAL (spare_reserve (r.spare, 1), 0);
  spare_unreserve (r.spare, 1);
  memdev_set_room (r.m, 0);
  all = reserve_all (&r);
  CU_ASSERT (all > 150000 && all < 160000);
  CU_ASSERT_EQUAL (do_scattered (&r, CHANGE_LOST, 0, 3000), ENOSPC);
  for (unsigned i = 0; i < 5; i++) {
    CU_ASSERT_EQUAL (do_reserved (&r, 1 + 25000 * i, 10000), 0);
    all -= 20000;
  }
  CU_ASSERT_EQUAL (atomic_load (&r.spare->reserved), all);
  spare_unreserve (r.spare, all);
  rig_free (&r);
}

/* A commit that fails keeps what was reserved; a spare that has failed
 * promises nothing more.
 */
static void
test_failure (void)
{
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (spare_reserve (r.spare, 20), 0);
  memdev_fail (r.m, MEMDEV_WRITE, 1, ENOSPC, true);
  CU_ASSERT_EQUAL (do_reserved (&r, 100, 10), ENOSPC);
  memdev_fail (r.m, 0, 0, 0, false);
  CU_ASSERT_EQUAL (atomic_load (&r.spare->reserved), 20);
  CU_ASSERT_EQUAL (do_reserved (&r, 100, 10), 0);
  CU_ASSERT_EQUAL (atomic_load (&r.spare->reserved), 0);
  memdev_fail (r.m, MEMDEV_FLUSH, 1, EIO, false);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 0, 1, 0), EIO);
  CU_ASSERT_EQUAL (spare_reserve (r.spare, UINT64_C (1) << 40), EIO);
  rig_free (&r);
}

/* Beside commits of others: whoever has reserved never finds the log full. */
static void *
others (void *arg)
{
  struct rig *r = arg;
  uint64_t i;

  for (i = 0; i < 3000; i++)
    do_change (r, CHANGE_LOST, 2 * i, 1, 0);
  return NULL;
}

static void
test_threads (void)
{
  const uint64_t middle = MAIN_SECTORS / 2;
  pthread_t thread;
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL_FATAL (pthread_create (&thread, NULL, others, &r), 0);
  for (unsigned i = 0; i < 300 && spare_reserve (r.spare, 10) == 0; i++)
    CU_ASSERT_EQUAL (do_reserved (&r, middle + 20 * i, 5), 0);
  pthread_join (thread, NULL);
  CU_ASSERT_EQUAL (atomic_load (&r.spare->reserved), 0);
  rig_free (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "what is reserved is there (promise 27)", test_kept },
    { "without storage (promise 27)", test_full },
    { "failures", test_failure },
    { "beside others (promise 27)", test_threads },
    { NULL }
  };

  return run_tests (argc, argv, "spare: reserved room", tests);
}
