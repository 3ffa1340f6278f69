/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Calls to main: who notices that it is lost or back, at which moment
 * (promise 12 of remap-promises(7)), and a main that can't do everything.
 *
 * Linked with --wrap for functions that allocate, pthread_mutex_lock and
 * range_lock_shared.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine/main-dev.h"
#include "engine-rig.h"
#include "fail-malloc.h"

/* What happens just before one of these locks is taken, once. */
static void (*before_asking) (void);
static void (*before_shared) (void);
static struct engine_rig rig;

extern int __real_pthread_mutex_lock (pthread_mutex_t *m);
extern int __wrap_pthread_mutex_lock (pthread_mutex_t *m);
extern uint64_t __real_range_lock_shared (struct range_lock *l,
                                          struct shared_hold *hold,
                                          uint64_t start, uint64_t end);
extern uint64_t __wrap_range_lock_shared (struct range_lock *l,
                                          struct shared_hold *hold,
                                          uint64_t start, uint64_t end);

static void
once (void (**hook) (void))
{
  void (*f) (void) = *hook;

  /* Not written if there is nothing to do: other threads may look. */
  if (f == NULL)
    return;
  *hook = NULL;
  f ();
}

int
__wrap_pthread_mutex_lock (pthread_mutex_t *m)
{
  if (rig.e && m == &rig.e->probe_mutex)
    once (&before_asking);
  return __real_pthread_mutex_lock (m);
}

uint64_t
__wrap_range_lock_shared (struct range_lock *l, struct shared_hold *hold,
                          uint64_t start, uint64_t end)
{
  once (&before_shared);
  return __real_range_lock_shared (l, hold, start, end);
}

/* Main is lost, and it is known. */
static void
lose (const struct rig_options *o)
{
  rig_init (&rig, o);
  sim_gone (rig.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ESHUTDOWN);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_MAIN_LOST);
}

/* It answers again, and may be asked. */
static void
let_come_back (void)
{
  sim_gone (rig.main, 0);
  atomic_fetch_add (&rig.now_ms, 1000);
}

/* Two requests whose errors say the same: one loss. */
static void
test_noticed_twice (void)
{
  struct job a, b;

  rig_init (&rig, NULL);
  sim_close (rig.main, 0, SIM_READ, 0, 4 * MIB, false);
  job_start (&a, &rig, JOB_READ, 0, 4096, 1);
  job_start (&b, &rig, JOB_READ, MIB, 4096, 1);
  sim_wait (rig.main, 0, 2);
  sim_gone (rig.main, ENODEV);
  sim_open (rig.main, 0);
  CU_ASSERT_EQUAL (job_end (&a), ESHUTDOWN);
  CU_ASSERT_EQUAL (job_end (&b), ESHUTDOWN);
  CU_ASSERT_EQUAL (stat_of (&rig, STAT_MAIN_LOST), 1);
  CU_ASSERT_EQUAL (atomic_load (&rig.warnings), 1);
  CU_ASSERT_EQUAL (atomic_load (&rig.e->losses), 1);
  rig_end (&rig);
}

/* While one request asks whether main is back, others don't wait for that:
 * they fail at once.
 */
static void
test_asked_by_another (void)
{
  struct job j;
  uint64_t calls;

  lose (NULL);
  let_come_back ();
  sim_close (rig.main, 0, SIM_PROBE, 0, 0, false);
  job_start (&j, &rig, JOB_READ, MIB, 4096, 1);
  sim_wait (rig.main, 0, 1);
  calls = sim_calls (rig.main, ~0U);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ESHUTDOWN);
  CU_ASSERT_EQUAL (rig_write (&rig, 0, 512, 2), ESHUTDOWN);
  CU_ASSERT_EQUAL (sim_calls (rig.main, ~0U), calls);
  sim_open (rig.main, 0);
  CU_ASSERT_EQUAL (job_end (&j), 0);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), 0);
  rig_end (&rig);
}

/* Another request has found it before this one could ask. */
static void
find_it (void)
{
  CU_ASSERT_EQUAL (rig_read (&rig, MIB, 512, 1), 0);
}

static void
test_found_by_another (void)
{
  lose (NULL);
  let_come_back ();
  before_asking = find_it;
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), 0);
  CU_ASSERT_PTR_NULL (before_asking);
  CU_ASSERT_EQUAL (sim_calls (rig.main, SIM_PROBE), 1);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_OK);
  /* The next loss can be noticed. */
  CU_ASSERT_EQUAL_FATAL (pthread_mutex_trylock (&rig.e->probe_mutex), 0);
  pthread_mutex_unlock (&rig.e->probe_mutex);
  rig_end (&rig);
}

/* A main that can't be opened anew: its canaries alone tell. */
static void
test_no_probe (void)
{
  struct device_ops ops;
  struct device dev = { .ops = &ops };
  uint8_t buf[512];

  lose (NULL);
  ops = *rig.main->dev.ops;
  ops.probe = NULL;
  dev.ctx = rig.main;
  atomic_fetch_add (&rig.now_ms, 1000);
  CU_ASSERT_EQUAL (engine_pread (over (&rig.conn, &dev), buf, 512, 0),
                   ESHUTDOWN);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_MAIN_LOST);
  let_come_back ();
  CU_ASSERT_EQUAL (engine_pread (over (&rig.conn, &dev), buf, 512, 0), 0);
  CU_ASSERT (matches (buf, 0, 512, 1));
  CU_ASSERT_EQUAL (health (&rig), HEALTH_OK);
  CU_ASSERT_EQUAL (sim_calls (rig.main, SIM_PROBE), 0);
  rig_end (&rig);
}

/* Two rounds of canaries in one request: the first one asks whether main is
 * back, and what fails then proves nothing about its sector; the second one
 * begins near the one that answered.
 */
static void
test_bad_canaries (void)
{
  lose (NULL);
  let_come_back ();
  /* Of the three thirds, in regions of 256 KiB, the first two. */
  sim_bad (rig.main, SIM_READ, 0, 10 * 512, EIO);
  CU_ASSERT_EQUAL (rig_read (&rig, SEC (100), 512, 1), EIO);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_DEGRADED);
  CU_ASSERT_STRING_EQUAL (states (&rig, 99, 3), "DLD");
  CU_ASSERT_EQUAL (totals (&rig).lost, 1);
  rig_end (&rig);
}

/* The first call of several that fails is the last one. */
static void
test_pieces (void)
{
  const struct rig_options o = { .max_call = 4096 };

  rig_init (&rig, &o);
  sim_fail (rig.main, SIM_WRITE, 2, EPERM);
  CU_ASSERT_EQUAL (rig_write (&rig, 0, 32768, 2), EPERM);
  CU_ASSERT_EQUAL (sim_calls (rig.main, SIM_WRITE), 2);
  CU_ASSERT (main_holds (&rig, 0, 4096, 2));
  CU_ASSERT (main_holds (&rig, 4096, 32768 - 4096, 1));
  rig_end (&rig);
}

/* A main without an operation to zero: zeroes are written. */
static void
test_no_zero (void)
{
  const struct rig_options o = { .max_call = 65536 };
  const uint64_t len = 2 * MIB + 4096;
  struct device_ops ops;
  struct device dev = { .ops = &ops };

  rig_init (&rig, &o);
  ops = *rig.main->dev.ops;
  ops.zero = NULL;
  dev.ctx = rig.main;
  CU_ASSERT_EQUAL (engine_zero (over (&rig.conn, &dev), len, 512,
                                DEVICE_FAST_ZERO, false), ENOTSUP);
  CU_ASSERT_EQUAL (sim_calls (rig.main, SIM_MODIFY), 0);

  /* They need no memory; and the first call that fails is the last one. */
  sim_fail (rig.main, SIM_WRITE, 17, EPERM);
  malloc_countdown = 1;
  CU_ASSERT_EQUAL (engine_zero (over (&rig.conn, &dev), len, 512, 0, false),
                   EPERM);
  malloc_countdown = 0;
  CU_ASSERT_EQUAL (sim_calls (rig.main, SIM_MODIFY), 17);
  CU_ASSERT (main_holds (&rig, 512, MIB, 0));
  CU_ASSERT (main_holds (&rig, 512 + MIB, MIB, 1));

  CU_ASSERT_EQUAL (engine_zero (over (&rig.conn, &dev), len, 512, 0, false),
                   0);
  CU_ASSERT (main_holds (&rig, 0, 512, 1));
  CU_ASSERT (main_holds (&rig, 512, len, 0));
  CU_ASSERT (main_holds (&rig, 512 + len, 4096, 1));
  CU_ASSERT_EQUAL (totals (&rig).zero, 0);

  /* What can't be written becomes zeroes all the same (promise 9). */
  sim_bad (rig.main, SIM_WRITE, 1001, 1, EIO);
  CU_ASSERT_EQUAL (engine_zero (over (&rig.conn, &dev), 4096, SEC (1000), 0,
                                false), 0);
  CU_ASSERT_STRING_EQUAL (states (&rig, 1000, 3), "DZD");
  rig_end (&rig);
}

static unsigned cached;

static int
count_cache (void *ctx, uint32_t count, uint64_t offset)
{
  cached++;
  return 0;
}

static void
go_away (void)
{
  main_went_away (rig.e, ENODEV);
}

/* A main that is lost isn't asked to prefetch, nor to flush, even if it was
 * lost a moment before.
 */
static void
test_not_asked (void)
{
  rig_init (&rig, NULL);
  CU_ASSERT_EQUAL (engine_cache (&rig.conn, 8192, 0, count_cache), 0);
  CU_ASSERT_EQUAL (cached, 1);
  rig_end (&rig);
  lose (NULL);
  CU_ASSERT_EQUAL (engine_cache (&rig.conn, 8192, 0, count_cache), ESHUTDOWN);
  CU_ASSERT_EQUAL (cached, 1);
  rig_end (&rig);

  rig_init (&rig, NULL);
  before_shared = go_away;
  CU_ASSERT_EQUAL (rig_flush (&rig), ESHUTDOWN);
  CU_ASSERT_PTR_NULL (before_shared);
  CU_ASSERT_EQUAL (sim_calls (rig.main, SIM_FLUSH), 0);
  let_come_back ();
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  rig_end (&rig);
}

/* A trim that timed out may land later, so that writes of its blocks go to
 * the spare; but not if the disk answers nothing any more.
 */
static void
test_late_and_gone (void)
{
  struct map_totals t;

  rig_init (&rig, NULL);
  sim_fail (rig.main, SIM_TRIM, 1, ETIMEDOUT);
  CU_ASSERT_EQUAL (engine_trim (&rig.conn, SEC (40), SEC (8), false), EIO);
  sim_gone (rig.main, ETIMEDOUT);
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (8), SEC (4), 2), ESHUTDOWN);
  CU_ASSERT_EQUAL (rig_zero (&rig, SEC (16), SEC (4)), ESHUTDOWN);
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (24) + 100, 200, 2), ESHUTDOWN);
  t = totals (&rig);
  CU_ASSERT_EQUAL (t.remapped + t.zero + t.lost, 0);

  let_come_back ();
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (8), SEC (4), 2), 0);
  CU_ASSERT_EQUAL (totals (&rig).remapped, 4);
  rig_end (&rig);
}

/* The block that answered last is asked first, unless it is the request's own,
 * or isn't DIRECT any more: then one near it.
 */
static void
test_good_canary (void)
{
  const struct run lost = {
    .start = 5 * MIB / SECTOR_SIZE, .count = 1, .state = LOST, .slot = NO_SLOT
  };
  struct map *map = map_new ();
  struct canaries c;

  canaries_init (&c, 64 * MIB, SECTOR_SIZE, MAIN_UNCACHED);
  canaries_answered (&c, 5 * MIB);
  for (int how = 0; how < 3; how++) {
    struct canary_choice choice = {
      .map = map, .avoid_start = how == 1 ? 5 * MIB : 0,
      .avoid_end = how == 1 ? 6 * MIB : SECTOR_SIZE,
    };

    if (how == 2) {
      map_begin (map);
      CU_ASSERT_EQUAL (map_set (map, &lost), 0);
      map_publish (map);
    }
    CU_ASSERT (canaries_pick (&c, &choice));
    CU_ASSERT_EQUAL (choice.n, 1);
    CU_ASSERT_EQUAL (choice.picked[0] == 5 * MIB, how == 0);
    CU_ASSERT (how != 1 || choice.picked[0] < 5 * MIB ||
               choice.picked[0] >= 6 * MIB);
  }
  canaries_destroy (&c);
  map_free (map);
}

/* It answers again, but nothing of it can be read. */
static void
test_back_unreadable (void)
{
  lose (NULL);
  let_come_back ();
  sim_bad (rig.main, SIM_READ, 0, 8192, EIO);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ESHUTDOWN);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_MAIN_LOST);
  CU_ASSERT_EQUAL (totals (&rig).lost, 0);
  sim_bad (rig.main, 0, 0, 8192, 0);
  let_come_back ();
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), 0);
  rig_end (&rig);
}

static void
slowly (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  if (op == SIM_READ)
    atomic_fetch_add (&rig.now_ms, 20000);
}

/* Blocks that fail slowly: the few that must be are asked, and no more. */
static void
test_slow_canaries (void)
{
  rig_init (&rig, NULL);
  sim_bad (rig.main, SIM_READ, 0, 8192, EIO);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ESHUTDOWN);
  CU_ASSERT (sim_calls (rig.main, SIM_READ) > 2 * NR_CANARIES);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_MAIN_LOST);
  rig_end (&rig);

  rig_init (&rig, NULL);
  sim_bad (rig.main, SIM_READ, 0, 8192, EIO);
  rig.main->hook = slowly;
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ESHUTDOWN);
  rig.main->hook = NULL;
  CU_ASSERT (sim_calls (rig.main, SIM_READ) <= 2 * NR_CANARIES);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_MAIN_LOST);
  CU_ASSERT_EQUAL (totals (&rig).lost, 0);
  rig_end (&rig);
}

/* Without memory to ask for a block it isn't known to be back; later it is. */
static void
test_back_nomem (void)
{
  unsigned n, hits = 0;
  int err = -1;

  for (n = 1; n < 50; n++) {
    rig_init (&rig, NULL);
    engine_free (rig.e);
    rig.config.main_cache = MAIN_CACHED;
    rig.e = engine_new (&rig.config, rig.map, rig.spare);
    engine_conn_init (&rig.conn, rig.e, &rig.main->dev);
    CU_ASSERT_EQUAL (rig_read (&rig, 0, 4 * MIB, 1), 0);
    sim_gone (rig.main, ENODEV);
    CU_ASSERT_EQUAL (rig_read (&rig, SEC (70), 512, 1), ESHUTDOWN);
    let_come_back ();
    uint8_t buf[512];

    malloc_hits = 0;
    malloc_countdown = n;
    err = engine_pread (&rig.conn, buf, 512, SEC (70));
    malloc_countdown = 0;
    hits += malloc_hits;
    CU_ASSERT (err == 0 || (malloc_hits && err == ESHUTDOWN));
    let_come_back ();
    CU_ASSERT_EQUAL (rig_read (&rig, SEC (70), 512, 1), 0);
    CU_ASSERT_EQUAL (totals (&rig).lost, 0);
    rig_end (&rig);
    if (malloc_hits == 0)
      break;
  }
  CU_ASSERT (n < 50 && hits > 0);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "noticed twice (promise 12)", test_noticed_twice },
    { "asked by another (promise 12)", test_asked_by_another },
    { "found by another (promise 12)", test_found_by_another },
    { "can't be opened anew (promise 12)", test_no_probe },
    { "bad canaries (promise 12)", test_bad_canaries },
    { "pieces", test_pieces },
    { "can't zero (promise 9)", test_no_zero },
    { "not asked (promises 12 and 14)", test_not_asked },
    { "late, and then gone (promise 12)", test_late_and_gone },
    { "what answered last (promise 12)", test_good_canary },
    { "it answers, and can't be read (promise 12)", test_back_unreadable },
    { "blocks that fail slowly (promise 12)", test_slow_canaries },
    { "back, and no memory", test_back_nomem },
    { NULL }
  };

  return run_tests (argc, argv, "engine-main", tests);
}
