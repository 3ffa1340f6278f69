/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Why and since when: what a history reads from the log, once and then
 * piece by piece, while commits and checkpoints go on.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "spare/history.h"
#include "spare/internal.h"
#include "spare-testing.h"

static struct spare_history *
history (struct rig *r)
{
  struct spare_history *h = spare_history_new (r->spare, r->map);

  CU_ASSERT_PTR_NOT_NULL_FATAL (h);
  return h;
}

/* The run at or after START is this one. */
static bool
next_is (struct spare_history *h, sector_t start, sector_t end,
         sector_t at, uint64_t count, enum sector_state state,
         enum change_reason why, uint64_t since)
{
  struct history_run run;

  return spare_history_next (h, start, end, &run) && run.run.start == at &&
    run.run.count == count && run.run.state == state && run.why == why &&
    run.since == since && (run.run.slot == NO_SLOT) == (state != REMAPPED);
}

static bool
none (struct spare_history *h, sector_t start, sector_t end)
{
  struct history_run run;

  return !spare_history_next (h, start, end, &run);
}

static void
test_reasons (void)
{
  struct history_run run;
  struct spare_history *h;
  struct rig r;

  rig_make (&r, MIB);
  h = history (&r);
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT (none (h, 0, MAIN_SECTORS));

  r.now = 1000;
  CU_ASSERT_EQUAL (do_remap (&r, 100, 10, 1, WHY_AUTO_WRITE), 0);
  r.now = 2000;
  CU_ASSERT_EQUAL (do_remap (&r, 110, 5, 1, WHY_AUTO_WRITE), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 115, 5, 1, WHY_WEAK), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 500, 3, WHY_IMPORT), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, MAIN_SECTORS - 1, 1,
                              WHY_CLIENT), 0);
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT (next_is (h, 0, 1000, 100, 10, REMAPPED, WHY_AUTO_WRITE, 1000));
  CU_ASSERT (next_is (h, 110, 1000, 110, 5, REMAPPED, WHY_AUTO_WRITE, 2000));
  CU_ASSERT (next_is (h, 115, 1000, 115, 5, REMAPPED, WHY_WEAK, 2000));
  CU_ASSERT (next_is (h, 120, 1000, 500, 3, LOST, WHY_IMPORT, 2000));
  CU_ASSERT (none (h, 503, 1000));
  CU_ASSERT (next_is (h, 503, MAIN_SECTORS, MAIN_SECTORS - 1, 1, ZERO,
                      WHY_CLIENT, 2000));

  /* Clipped at both ends, with the right slot. */
  CU_ASSERT (spare_history_next (h, 103, 105, &run));
  CU_ASSERT_EQUAL (run.run.start, 103);
  CU_ASSERT_EQUAL (run.run.count, 2);
  CU_ASSERT_EQUAL (run.run.slot, map_lookup (r.map, 103, 1).slot);
  CU_ASSERT (none (h, 0, 100));
  CU_ASSERT (none (h, 100, 100));

  /* Changed again; and given back. */
  r.now = 3000;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 501, 1, WHY_MANUAL), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_DIRECT, 100, 20, WHY_MANUAL), 0);
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT (next_is (h, 0, 1000, 500, 1, LOST, WHY_IMPORT, 2000));
  CU_ASSERT (next_is (h, 501, 1000, 501, 1, ZERO, WHY_MANUAL, 3000));
  CU_ASSERT (next_is (h, 502, 1000, 502, 1, LOST, WHY_IMPORT, 2000));
  spare_history_free (h);
  rig_free (&r);
}

/* What is the same and adjacent is one run, however it came about. */
static void
test_merged (void)
{
  struct spare_history *h;
  struct rig r;

  rig_make (&r, MIB);
  h = history (&r);
  for (sector_t i = 0; i < 100; i++)
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 10 + i, 1, WHY_AUTO_READ),
                     0);
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT (next_is (h, 0, 1000, 10, 100, LOST, WHY_AUTO_READ, r.now));
  spare_history_free (h);
  rig_free (&r);
}

/* Only what is new is read; after a drop all of it. */
static void
test_increments (void)
{
  struct spare_history *h;
  struct rig r;
  uint64_t all;

  rig_make (&r, 16 * MIB);
  h = history (&r);
  for (sector_t i = 0; i < 200; i++)
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 2 * i, 1, WHY_AUTO_READ), 0);
  r.m->bytes_read = 0;
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  all = r.m->bytes_read;
  CU_ASSERT (all >= 200 * SPARE_PAGE);

  r.m->bytes_read = 0;
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT (next_is (h, 100, 1000, 100, 1, LOST, WHY_AUTO_READ, r.now));
  CU_ASSERT_EQUAL (r.m->bytes_read, 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 1000, 1, WHY_MANUAL), 0);
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT_EQUAL (r.m->bytes_read, SPARE_PAGE);
  CU_ASSERT (next_is (h, 1000, 1100, 1000, 1, LOST, WHY_MANUAL, r.now));

  spare_history_drop (h);
  CU_ASSERT (next_is (h, 1000, 1100, 1000, 1, LOST, WHY_UNKNOWN, 0));
  r.m->bytes_read = 0;
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT (r.m->bytes_read > all);
  CU_ASSERT (next_is (h, 1000, 1100, 1000, 1, LOST, WHY_MANUAL, r.now));
  spare_history_free (h);
  rig_free (&r);
}

/* Through checkpoints and growth, and from a spare opened read-only. */
static void
test_generations (void)
{
  struct spare_history *h;
  struct rig r;

  rig_make (&r, MIB);
  h = history (&r);
  for (unsigned i = 0; i < 10; i++) {
    r.now = 5000 + i;
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 10 * i, 2, WHY_MANUAL), 0);
    if (i % 2 == 0)
      CU_ASSERT_EQUAL (spare_history_update (h), 0);
    for (unsigned j = 0; j < i % 4; j++)
      CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    if (i == 6) {
      memdev_resize (r.m, 8 * MIB);
      CU_ASSERT_EQUAL (spare_grow (r.spare, 8 * MIB, &r.message), 0);
    }
    CU_ASSERT_EQUAL (spare_history_update (h), 0);
    for (unsigned j = 0; j <= i; j++)
      CU_ASSERT (next_is (h, 10 * j, 1000, 10 * j, 2, LOST, WHY_MANUAL,
                          5000 + j));
  }
  spare_history_free (h);
  rig_close (&r, true);

  r.read_only = true;
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  r.m->writes = 0;
  h = history (&r);
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  for (unsigned j = 0; j < 10; j++)
    CU_ASSERT (next_is (h, 10 * j, 1000, 10 * j, 2, LOST, WHY_MANUAL,
                        5000 + j));
  CU_ASSERT_EQUAL (r.m->writes, 0);
  spare_history_free (h);
  rig_free (&r);
}

/* A page that can't be read any more: the state is known all the same. */
static void
test_damage (void)
{
  struct spare_history *h;
  uint64_t page;
  uint8_t byte = 0xee;
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 10, 1, WHY_MANUAL), 0);
  page = r.spare->hdr.area[r.spare->hdr.active].offset +
    (uint64_t) (r.spare->pos - 1) * SPARE_PAGE;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 20, 1, WHY_MANUAL), 0);
  memdev_poke (r.m, page + 200, &byte, 1);
  h = history (&r);
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT (next_is (h, 0, 1000, 10, 1, LOST, WHY_UNKNOWN, 0));
  CU_ASSERT (next_is (h, 11, 1000, 20, 1, LOST, WHY_MANUAL, r.now));
  memdev_set_bad (r.m, MEMDEV_READ, page, SPARE_PAGE, EIO);
  spare_history_drop (h);
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT (next_is (h, 0, 1000, 10, 1, LOST, WHY_UNKNOWN, 0));
  CU_ASSERT (next_is (h, 11, 1000, 20, 1, LOST, WHY_MANUAL, r.now));
  spare_history_free (h);
  rig_free (&r);
}

/* What is retired has no sector; what is adjacent in main, but not in the
 * spare, is two runs; and a run that is longer than what can be noted at
 * once is still one.
 */
static void
test_runs (void)
{
  struct spare_identity id = { .main_size = UINT64_C (1) << 44 };
  const uint64_t long_run = (UINT64_C (1) << 25) + 7;
  struct spare_history *h;
  struct rig r;

  rig_init (&r, memdev_new (MIB));
  r.map = map_new ();
  CU_ASSERT_EQUAL_FATAL (spare_format (&r.m->dev, MIB, false, &id, &r.env,
                                       r.map, &r.spare, &r.message), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 100, 10, 1, WHY_MANUAL), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 10, 3, WHY_IMPORT), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 110, 5, 1, WHY_MANUAL), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 1000, long_run, WHY_MANUAL),
                   0);
  h = history (&r);
  for (int i = 0; i < 2; i++) {
    CU_ASSERT_EQUAL (spare_history_update (h), 0);
    CU_ASSERT (next_is (h, 0, 1000, 100, 10, REMAPPED, WHY_MANUAL, r.now));
    CU_ASSERT (next_is (h, 110, 1000, 110, 5, REMAPPED, WHY_MANUAL, r.now));
    CU_ASSERT (none (h, 0, 100));
    CU_ASSERT (next_is (h, 115, UINT64_C (1) << 35, 1000, long_run, LOST,
                        WHY_MANUAL, r.now));
    CU_ASSERT (none (h, 1000 + long_run, UINT64_C (1) << 35));
    CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  }
  spare_history_free (h);
  rig_free (&r);
}

/* What is noticed on the way, since the last update, is part of a run as what
 * was known before is: with the same reason and time, and in slots that follow
 * each other.
 */
static void
test_merged_on_the_way (void)
{
  struct spare_history *h;
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 100, 5, WHY_MANUAL), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 200, 5, WHY_MANUAL), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 300, 10, 1, WHY_MANUAL), 0);
  h = history (&r);
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 105, 5, WHY_MANUAL), 0);
  CU_ASSERT (next_is (h, 0, 110, 100, 10, LOST, WHY_MANUAL, r.now));

  CU_ASSERT_EQUAL (do_remap (&r, 310, 5, 1, WHY_MANUAL), 0);
  CU_ASSERT (next_is (h, 300, 1000, 300, 15, REMAPPED, WHY_MANUAL, r.now));
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 15, 3, WHY_IMPORT), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 315, 5, 1, WHY_MANUAL), 0);
  CU_ASSERT (next_is (h, 300, 1000, 300, 15, REMAPPED, WHY_MANUAL, r.now));
  CU_ASSERT (next_is (h, 315, 1000, 315, 5, REMAPPED, WHY_MANUAL, r.now));

  /* Another state, reason or time ends it. */
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 205, 5, WHY_MANUAL), 0);
  CU_ASSERT (next_is (h, 200, 300, 200, 5, ZERO, WHY_MANUAL, r.now));
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 210, 5, WHY_IMPORT), 0);
  CU_ASSERT (next_is (h, 205, 300, 205, 5, LOST, WHY_MANUAL, r.now));
  r.now++;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 215, 5, WHY_IMPORT), 0);
  CU_ASSERT (next_is (h, 210, 300, 210, 5, LOST, WHY_IMPORT, r.now - 1));
  CU_ASSERT (next_is (h, 215, 300, 215, 5, LOST, WHY_IMPORT, r.now));
  spare_history_free (h);
  rig_free (&r);
}

/* What was read when the spare was opened isn't read again, unless it has
 * changed since; one history has it.
 */
static void
test_kept (void)
{
  struct spare_history *h, *second;
  struct rig r;

  rig_make (&r, MIB);
  r.env.keep_history = true;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 10, 2, WHY_IMPORT), 0);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 20, 2, WHY_MANUAL), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 10, 2, WHY_MANUAL), 0);
  rig_reload (&r);
  for (int how = 0; how < 3; how++) {
    if (how == 1)
      CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 30, 2, WHY_WEAK), 0);
    if (how == 2)
      CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    r.m->bytes_read = 0;
    h = history (&r);
    CU_ASSERT_EQUAL (spare_history_update (h), 0);
    CU_ASSERT_EQUAL (r.m->bytes_read > 0, how > 0);
    CU_ASSERT (next_is (h, 0, 1000, 10, 2, LOST, WHY_IMPORT, r.now));
    CU_ASSERT (next_is (h, 12, 1000, 20, 2, LOST, WHY_MANUAL, r.now));
    CU_ASSERT_EQUAL (none (h, 22, 1000), how == 0);
    if (how == 0) {
      second = history (&r);
      CU_ASSERT_EQUAL (spare_history_update (second), 0);
      CU_ASSERT (r.m->bytes_read > 0);
      CU_ASSERT (next_is (second, 12, 1000, 20, 2, LOST, WHY_MANUAL, r.now));
      spare_history_free (second);
    }
    spare_history_free (h);
    rig_reload (&r);
  }
  rig_free (&r);
}

/* Two checkpoints in the middle of each read: what was to be read is gone.
 * It isn't tried for ever, nothing false is said, and the next one succeeds.
 */
static void
checkpoints (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  struct rig *r = opaque;

  if (op != MEMDEV_READ)
    return;
  r->m->hook = NULL;
  CU_ASSERT_EQUAL (spare_checkpoint (r->spare), 0);
  CU_ASSERT_EQUAL (spare_checkpoint (r->spare), 0);
  r->m->hook = checkpoints;
}

static void
test_overtaken (void)
{
  struct spare_history *h;
  struct spare_status st;
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 10, 2, WHY_MANUAL), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 20, 2, WHY_IMPORT), 0);
  h = history (&r);
  r.m->hook = checkpoints;
  r.m->hook_opaque = &r;
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  r.m->hook = NULL;
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.checkpoints, 2 * 4);
  CU_ASSERT_EQUAL (spare_history_update (h), 0);
  CU_ASSERT (next_is (h, 0, 100, 10, 2, LOST, WHY_MANUAL, r.now));
  CU_ASSERT (next_is (h, 12, 100, 20, 2, LOST, WHY_IMPORT, r.now));
  spare_history_free (h);
  spare_history_free (NULL);
  rig_free (&r);
}

#define NR_CHANGES 400

static void *
change_all (void *arg)
{
  struct rig *r = arg;

  for (sector_t i = 0; i < NR_CHANGES; i++) {
    do_change (r, CHANGE_LOST, 2 * i, 1, WHY_MANUAL);
    if (i % 50 == 49)
      spare_checkpoint (r->spare);
  }
  return NULL;
}

/* Read while changes are made: each that is seen has its reason. */
static void
test_concurrent (void)
{
  struct history_run run;
  struct spare_history *h;
  pthread_t thread;
  uint64_t seen, unknown = 0;
  sector_t at;
  struct rig r;

  rig_make (&r, 4 * MIB);
  h = history (&r);
  CU_ASSERT_EQUAL_FATAL (pthread_create (&thread, NULL, change_all, &r), 0);
  do {
    CU_ASSERT_EQUAL (spare_history_update (h), 0);
    seen = 0;
    for (at = 0; spare_history_next (h, at, MAIN_SECTORS, &run);
         at = run.run.start + run.run.count) {
      seen++;
      if (run.why != WHY_MANUAL)
        unknown++;
    }
  } while (seen < NR_CHANGES);
  pthread_join (thread, NULL);
  CU_ASSERT_EQUAL (unknown, 0);
  CU_ASSERT_EQUAL (seen, NR_CHANGES);
  spare_history_free (h);
  rig_free (&r);
}

static void
test_names (void)
{
  CU_ASSERT_STRING_EQUAL (change_reason_name (WHY_UNKNOWN), "unknown");
  CU_ASSERT_STRING_EQUAL (change_reason_name (WHY_CLIENT), "client");
  CU_ASSERT_STRING_EQUAL (change_reason_name (99), "unknown");
  CU_ASSERT_STRING_EQUAL (sector_state_name (LOST), "lost");
  CU_ASSERT_STRING_EQUAL (sector_state_name (99), "unknown");
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "reasons", test_reasons },
    { "merged", test_merged },
    { "increments", test_increments },
    { "generations", test_generations },
    { "damage", test_damage },
    { "runs", test_runs },
    { "merged on the way", test_merged_on_the_way },
    { "kept since the spare was opened", test_kept },
    { "overtaken by checkpoints", test_overtaken },
    { "concurrent", test_concurrent },
    { "names", test_names },
    { NULL, NULL }
  };

  return run_tests (argc, argv, "spare-history", tests);
}
