/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare: commits, alone and together, and what survives them.
 *
 * TEST_SEED=N repeats a run of the random tests.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "spare-testing.h"

static uint64_t seed;

static void
check_note (struct rig *r, enum change_kind kind, uint64_t n,
            enum change_reason reason, uint64_t time)
{
  enum change_reason got_reason = 99;
  uint64_t got_time = 0;

  CU_ASSERT (log_note (r, kind, n, &got_reason, &got_time));
  CU_ASSERT_EQUAL (got_reason, reason);
  CU_ASSERT_EQUAL (got_time, time);
}

/* Each kind of change, its reason and time, through three checkpoints. */
static void
test_kinds (void)
{
  struct rig r;
  uint64_t digest;
  int i;

  rig_make (&r, MIB);
  r.now = 1000;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 100, 50, WHY_AUTO_READ), 0);
  r.now = 2000;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 120, 10, WHY_CLIENT), 0);
  r.now = 3000;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 140, 5, WHY_IMPORT), 0);
  r.now = 4000;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_DIRECT, 145, 2, WHY_MANUAL), 0);
  r.now = 5000;
  CU_ASSERT_EQUAL (do_remap (&r, 200, 8, 7, WHY_WEAK), 0);
  r.now = 6000;
  CU_ASSERT_EQUAL (do_remap (&r, 203, 2, 8, WHY_AUTO_WRITE), 0);
  r.now = 7000;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 1000, 3, WHY_UNKNOWN), 0);
  r.now = 8000;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 1002, 3, WHY_MANUAL), 0);
  digest = rig_digest (&r);

  for (i = 0; i < 4; ++i) {
    r.now = 9000 + i;
    check_note (&r, CHANGE_LOST, 100, WHY_AUTO_READ, 1000);
    check_note (&r, CHANGE_LOST, 119, WHY_AUTO_READ, 1000);
    check_note (&r, CHANGE_ZERO, 120, WHY_CLIENT, 2000);
    check_note (&r, CHANGE_LOST, 139, WHY_AUTO_READ, 1000);
    check_note (&r, CHANGE_LOST, 140, WHY_IMPORT, 3000);
    check_note (&r, CHANGE_LOST, 144, WHY_IMPORT, 3000);
    check_note (&r, CHANGE_LOST, 147, WHY_AUTO_READ, 1000);
    check_note (&r, CHANGE_REMAP, 202, WHY_WEAK, 5000);
    check_note (&r, CHANGE_REMAP, 203, WHY_AUTO_WRITE, 6000);
    check_note (&r, CHANGE_REMAP, 205, WHY_WEAK, 5000);
    check_note (&r, CHANGE_RETIRE, 1001, WHY_UNKNOWN, 7000);
    check_note (&r, CHANGE_RETIRE, 1002, WHY_MANUAL, 8000);
    check_note (&r, CHANGE_RETIRE, 1004, WHY_MANUAL, 8000);
    CU_ASSERT_EQUAL (map_lookup (r.map, 145, 2).state, DIRECT);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    if (i % 2 == 0)
      CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    rig_reload (&r);
  }
  CU_ASSERT_EQUAL (r.warnings, 0);
  rig_free (&r);
}

/* A list takes effect as a whole, in order. */
static void
test_list (void)
{
  const struct change v[] = {
    { .sector = 10, .count = 10, .kind = CHANGE_LOST },
    { .sector = 12, .count = 2, .kind = CHANGE_ZERO },
    { .sector = 13, .count = 1, .kind = CHANGE_DIRECT },
    { .slot = 5, .count = 1, .kind = CHANGE_RETIRE },
  };
  struct change_list list = { 0 };
  struct rig r;
  uint8_t buf[512];
  size_t i;

  rig_make (&r, MIB);
  fill (buf, 15, 1, 1);
  for (i = 0; i < sizeof v / sizeof v[0]; ++i)
    CU_ASSERT_EQUAL (change_list_add (&list, &v[i]), 0);
  CU_ASSERT_EQUAL (spare_store (r.spare, &list, 15, buf, 1, WHY_MANUAL), 0);
  CU_ASSERT (map_all_direct (r.map, 0, 100));
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  for (i = 0; i < 2; ++i) {
    CU_ASSERT_EQUAL (map_lookup (r.map, 10, 1).state, LOST);
    CU_ASSERT_EQUAL (map_lookup (r.map, 12, 1).state, ZERO);
    CU_ASSERT_EQUAL (map_lookup (r.map, 13, 1).state, DIRECT);
    CU_ASSERT_EQUAL (map_lookup (r.map, 15, 1).state, REMAPPED);
    CU_ASSERT_EQUAL (map_lookup (r.map, 19, 1).state, LOST);
    rig_reload (&r);
  }
  change_list_free (&list);

  /* What makes no sense changes nothing. */
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 0, 0, 0), EINVAL);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, MAIN_SECTORS - 1, 2, 0),
                   EINVAL);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 0, 1, WHY_LAST + 1),
                   EINVAL);
  CU_ASSERT_EQUAL (do_change (&r, 8, 0, 1, 0), EINVAL);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ATTRIBUTE, 0, 1, 0), EINVAL);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, UINT64_MAX, 1, 0), EINVAL);
  CU_ASSERT_FALSE (spare_failed (r.spare));
  rig_free (&r);
}

/* Slots that lost their sector are free again; those retired are not. */
static void
test_release (void)
{
  struct change c = { .kind = CHANGE_RETIRE, .count = 1 };
  struct change_list list = { 0 };
  struct spare_status st;
  struct rig r;
  uint64_t total, i;
  slot_t slot;
  uint8_t buf[512];

  rig_make (&r, MIB);
  spare_get_status (r.spare, &st);
  total = st.slots_total;
  CU_ASSERT_EQUAL (do_remap (&r, 0, 100, 1, 0), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 50, 100, 2, 0), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_used, 150);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 0, 25, 0), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_DIRECT, 25, 25, 0), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_used, 100);

  /* A mapped slot goes bad: replaced and retired at once, either order. */
  for (i = 0; i < 2; ++i) {
    slot = map_lookup (r.map, 60 + i, 1).slot;
    c.slot = slot;
    memset (&list, 0, sizeof list);
    if (i == 0)
      CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
    fill (buf, 60 + i, 1, 3);
    CU_ASSERT_EQUAL (spare_store (r.spare, &list, 60 + i, buf, 1, 0), 0);
    if (i == 1)
      CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
    CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
    change_list_free (&list);
  }
  for (i = 0; i < 2; ++i) {
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.slots_used, 100);
    CU_ASSERT_EQUAL (st.slots_retired, 2);
    CU_ASSERT_EQUAL (st.slots_free, total - 102);
    CU_ASSERT_EQUAL (st.counters[COUNT_RETIRED], 2);
    CU_ASSERT_EQUAL (st.counters[COUNT_AUTO_REMAPS], 200);
    rig_reload (&r);
  }

  /* A sector that keeps its slot doesn't lose it. */
  const struct run run = map_lookup (r.map, 100, 10);
  c = (struct change) { .kind = CHANGE_REMAP, .sector = 98, .count = 12,
                        .slot = run.slot - 2 };
  memset (&list, 0, sizeof list);
  CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  change_list_free (&list);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_used, 100);

  /* Abandoned slots are free again. */
  memset (&list, 0, sizeof list);
  CU_ASSERT_EQUAL (spare_store (r.spare, &list, 5, buf, 1, 0), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_used, 101);
  spare_abandon (r.spare, &list);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_used, 100);
  change_list_free (&list);
  rig_free (&r);
}

/* Thousands of commits, checkpoints between them, equal after each start. */
static void
test_many (void)
{
  struct spare_status st;
  uint64_t digest, checkpoints = 0;
  struct rig r;
  int i, full = 0, err;

  rig_make (&r, 2 * MIB);
  for (i = 0; i < 6000; ++i) {
    err = do_random (&r, &seed, i % 100 == 0 ? 300 : 8);
    if (err == ENOSPC)
      full++;
    else
      CU_ASSERT_EQUAL_FATAL (err, 0);
    if (i % 150 == 149) {
      spare_get_status (r.spare, &st);
      checkpoints += st.checkpoints;
      digest = rig_digest (&r);
      if (i % 300 == 149)
        rig_reload (&r);
      else {
        rig_close (&r, false);
        CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
      }
      CU_ASSERT_EQUAL_FATAL (rig_digest (&r), digest);
    }
  }
  CU_ASSERT (checkpoints > 50);
  CU_ASSERT_EQUAL (r.warnings, 0);
  CU_ASSERT (full < 5000);
  rig_free (&r);
}

/* A commit of several pages, and one that needs a checkpoint first. */
static void
test_large_list (void)
{
  struct change_list list = { 0 };
  struct change c = { .kind = CHANGE_LOST, .count = 1 };
  struct rig r;
  uint64_t digest, i;

  rig_make (&r, 4 * MIB);
  for (i = 0; i < 1000; ++i) {
    c.sector = i * 2;
    CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
  }
  for (i = 0; i < 20; ++i) {
    CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
    digest = rig_digest (&r);
    if (i % 3 == 0) {
      rig_reload (&r);
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
    }
  }

  /* Longer than the log. */
  for (i = 0; i < 40000; ++i) {
    c.sector = i * 3;
    CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
  }
  r.m->writes = 0;
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), ENOSPC);
  CU_ASSERT_EQUAL (r.m->writes, 0);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 1, 1, 0), 0);
  change_list_free (&list);
  rig_free (&r);
}

/* Runs of more sectors than an entry can have. */
static void
test_long_run (void)
{
  struct spare_identity id = { .main_size = INT64_MAX };
  struct message message;
  struct rig r;
  struct run run;
  int i;

  rig_init (&r, memdev_new (MIB));
  r.map = map_new ();
  CU_ASSERT_EQUAL_FATAL (spare_format (&r.m->dev, MIB, false, &id, &r.env,
                                       r.map, &r.spare, &message), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 7, 20000000000, 0), 0);
  for (i = 0; i < 4; ++i) {
    CU_ASSERT (map_next (r.map, 0, &run));
    CU_ASSERT_EQUAL (run.start, 7);
    CU_ASSERT_EQUAL (run.count, 20000000000);
    CU_ASSERT_FALSE (map_next (r.map, 20000000007, &run));
    if (i == 1)
      CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    rig_reload (&r);
  }
  rig_free (&r);
}

/* Promise 13: at depth 1 a commit costs two flushes at most, and one if no
 * slot was written; the slot's content comes before the record.
 */
static void
test_flushes (void)
{
  struct rig r;
  uint64_t n;
  int i;

  rig_make (&r, 16 * MIB);
  for (i = 0; i < 100; ++i) {
    n = r.m->flushes;
    CU_ASSERT_EQUAL (do_remap (&r, i * 2, 1, i, WHY_AUTO_WRITE), 0);
    CU_ASSERT_EQUAL (r.m->flushes - n, 2);
    n = r.m->flushes;
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, i * 2 + 1, 1, 0), 0);
    CU_ASSERT_EQUAL (r.m->flushes - n, 1);
  }
  n = r.m->flushes;
  CU_ASSERT_EQUAL (spare_flush (r.spare), 0);
  CU_ASSERT_EQUAL (r.m->flushes, n);

  /* Headers and checkpoints add to it, rarely. */
  n = r.m->flushes;
  for (; i < 1000; ++i)
    CU_ASSERT_EQUAL (do_remap (&r, i * 2, 1, i, WHY_AUTO_WRITE), 0);
  CU_ASSERT (r.m->flushes - n >= 1800);
  CU_ASSERT (r.m->flushes - n <= 1830);
  rig_free (&r);
}

struct worker {
  struct rig *r;
  pthread_t thread;
  unsigned id, commits;
  int err;
};

#define WORKERS 8
#define WORK 100

static void *
work (void *opaque)
{
  struct worker *w = opaque;
  uint8_t buf[512];
  unsigned i;

  for (i = 0; i < WORK && w->err == 0; ++i) {
    struct change_list list = { 0 };
    const sector_t sector = (w->id * WORK + i) * 2;
    const uint64_t counters[NR_SPARE_COUNTERS] = { [COUNT_WEAK] = 1 };

    fill (buf, sector, 1, i);
    w->err = spare_store (w->r->spare, &list, sector, buf, 1, WHY_WEAK);
    if (w->err == 0)
      w->err = spare_commit (w->r->spare, &list, counters);
    change_list_free (&list);
    if (map_lookup (w->r->map, sector, 1).state != REMAPPED)
      w->err = EPROTO;
    if (i % 16 == 0 && w->err == 0)
      w->err = spare_flush (w->r->spare);
    if (w->id == 0 && i % 50 == 49 && w->err == 0)
      w->err = spare_checkpoint (w->r->spare);
    if (w->id == 1 && i % 40 == 39 && w->err == 0)
      w->err = spare_grow (w->r->spare, w->r->m->size - 2 * MIB + i * 512,
                           NULL);
    struct spare_status st;
    spare_get_status (w->r->spare, &st);
  }
  return NULL;
}

static void
slow_flush (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  const struct timespec ts = { .tv_nsec = 200000 };

  if (op == MEMDEV_FLUSH)
    nanosleep (&ts, NULL);
}

/* Commits from 8 threads share their flushes, and none is lost. */
static void
test_group (void)
{
  struct worker w[WORKERS] = { 0 };
  struct spare_status st;
  uint64_t digest, flushes;
  struct rig r;
  unsigned i;

  rig_make (&r, 8 * MIB);
  memdev_resize (r.m, 16 * MIB);
  r.m->hook = slow_flush;
  flushes = r.m->flushes;
  for (i = 0; i < WORKERS; ++i) {
    w[i].r = &r;
    w[i].id = i;
    CU_ASSERT_EQUAL_FATAL (pthread_create (&w[i].thread, NULL, work, &w[i]),
                           0);
  }
  for (i = 0; i < WORKERS; ++i) {
    pthread_join (w[i].thread, NULL);
    CU_ASSERT_EQUAL (w[i].err, 0);
  }
  flushes = r.m->flushes - flushes;
  /* Alone they would cost two each. */
  CU_ASSERT (flushes < WORKERS * WORK);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_used, WORKERS * WORK);
  CU_ASSERT_EQUAL (st.counters[COUNT_WEAK], WORKERS * WORK);
  CU_ASSERT_EQUAL (st.changes, WORKERS * WORK);
  CU_ASSERT (st.commits < WORKERS * WORK);
  printf ("(%" PRIu64 " flushes for %u commits) ", flushes, WORKERS * WORK);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "all kinds of changes, reasons and times", test_kinds },
    { "a list is one commit", test_list },
    { "slots are released and retired", test_release },
    { "thousands of commits", test_many },
    { "large lists", test_large_list },
    { "long runs", test_long_run },
    { "flushes of a commit (promise 13)", test_flushes },
    { "group commit (promise 13)", test_group },
    { NULL }
  };

  seed = test_seed ();
  return run_tests (argc, argv, "spare-commit", tests);
}
