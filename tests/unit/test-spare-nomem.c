/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare when memory runs out: every allocation of every operation
 * fails once (promise 23 of remap-promises(7)).  It must say ENOMEM, and
 * be in the state before; the next attempt succeeds.
 *
 * Linked with --wrap, see fail-malloc.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "fail-malloc.h"
#include "spare/backup.h"
#include "spare/history.h"
#include "spare/internal.h"
#include "spare-testing.h"

static int
op_remap (struct rig *r)
{
  return do_remap (r, 3, 10, 7, 0);
}

static int
op_lost (struct rig *r)
{
  return do_change (r, CHANGE_LOST, 0, 30, 0);
}

static int
op_retire (struct rig *r)
{
  return do_change (r, CHANGE_RETIRE, 1000, 3, 0);
}

static int
op_bad_slots (struct rig *r)
{
  memdev_set_bad (r->m, MEMDEV_WRITE,
                  r->spare->hdr.segment[0].offset +
                  (r->spare->cursor + 2) * 512, 512, EIO);
  return do_remap (r, 100, 6, 7, 0);
}

static int
op_checkpoint (struct rig *r)
{
  return spare_checkpoint (r->spare);
}

static int
op_grow (struct rig *r)
{
  return spare_grow (r->spare, 4 * MIB, &r->message);
}

/* Fills the log first, so that it comes to a checkpoint within. */
static int
op_forced (struct rig *r)
{
  r->spare->hdr.high_water = r->spare->hdr.area[0].pages;
  r->spare->pos = r->spare->hdr.area[0].pages;
  return do_change (r, CHANGE_LOST, 0, 30, 0);
}

/* The log is full of what is LOST: what makes that less is a checkpoint. */
static uint64_t
fill_log (struct rig *r)
{
  uint64_t first = 1000, n = 1024;

  for (uint32_t key = 0; key < 2; key++)
    CU_ASSERT_EQUAL (do_attribute (r, "tag", key, 0, "x", 1), 0);
  while (n > 0) {
    if (do_scattered (r, CHANGE_LOST, first, n) == 0)
      first += 2 * n;
    else
      n /= 2;
  }
  return first;
}

/* As many changes as there are runs; *CALLS: the commit's allocations. */
static int
op_whole (struct rig *r, uint64_t end, unsigned countdown, unsigned *calls)
{
  const struct attribute a[] = {
    { .tag = "tag", .len = 1, .data = (const uint8_t *) "y" },
    { .tag = "tag", .key = 1, .len = 1, .data = (const uint8_t *) "z" },
  };
  struct change_list list = { 0 };
  int err;

  CU_ASSERT_EQUAL (change_list_add_attribute (&list, &a[0]), 0);
  add_scattered (&list, CHANGE_ZERO, 1000, (end - 1000) / 2);
  CU_ASSERT_EQUAL (change_list_add_attribute (&list, &a[1]), 0);
  malloc_hits = malloc_calls = 0;
  malloc_countdown = countdown;
  err = spare_commit (r->spare, &list, NULL);
  malloc_countdown = 0;
  *calls = malloc_calls;
  change_list_free (&list);
  return err;
}

static void
check_whole (struct rig *r, uint64_t end)
{
  struct attribute *a;
  uint64_t digest;

  for (uint32_t key = 0; key < 2; key++) {
    CU_ASSERT (spare_next_attribute (r->spare, "tag", key, &a));
    CU_ASSERT_EQUAL (a->key, key);
    CU_ASSERT_EQUAL (a->data[0], "yz"[key]);
    free (a);
  }
  CU_ASSERT_EQUAL (map_lookup (r->map, end - 2, 1).state, ZERO);
  digest = rig_digest (r);
  rig_reload (r);
  CU_ASSERT_EQUAL (rig_digest (r), digest);
}

/* An update that has room as a checkpoint only, of attributes and of as many
 * states as there can be.  Of its allocations those of the maps are many, and
 * come first; each of the last ones fails.
 */
static void
test_whole (void)
{
  const unsigned last = 100;
  unsigned n, all, calls;
  struct memdev *full;
  uint64_t digest, end;
  struct rig r;
  int err;

  rig_make (&r, MIB);
  end = fill_log (&r);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, end, 1, 0), ENOSPC);
  rig_close (&r, true);
  full = r.m;
  rig_init (&r, memdev_kill (full, full->nevents));
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  const uint64_t generation = r.spare->hdr.generation;

  CU_ASSERT_EQUAL (op_whole (&r, end, 0, &all), 0);
  CU_ASSERT_EQUAL (r.spare->hdr.generation, generation + 1);
  check_whole (&r, end);
  rig_free (&r);
  CU_ASSERT_FATAL (all > 2 * last);
  for (n = 1; n <= all; n += n + last < all ? (all - last) / 10 : 1) {
    rig_init (&r, memdev_kill (full, full->nevents));
    CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
    digest = rig_digest (&r);
    err = op_whole (&r, end, n, &calls);
    CU_ASSERT_EQUAL (malloc_hits, 1);
    CU_ASSERT_EQUAL (err, ENOMEM);
    CU_ASSERT_FALSE (spare_failed (r.spare));
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    CU_ASSERT_EQUAL (op_whole (&r, end, 0, &calls), 0);
    check_whole (&r, end);
    rig_free (&r);
  }
  memdev_free (full);
  printf ("(%u allocations) ", all);
}

static void
try_all (int (*op) (struct rig *r), bool same, bool lose_slots)
{
  struct spare_status before, after;
  uint64_t digest;
  unsigned n, i;
  struct rig r;
  int err;

  for (n = 1; n < 1000; ++n) {
    rig_make (&r, MIB);
    memdev_resize (r.m, 4 * MIB);
    for (i = 0; i < 10; ++i)
      CU_ASSERT_EQUAL (do_remap (&r, i * 7, 4, i, 0), 0);
    digest = rig_digest (&r);
    spare_get_status (r.spare, &before);
    malloc_hits = 0;
    malloc_countdown = n;
    err = op (&r);
    malloc_countdown = 0;
    if (malloc_hits == 0) {
      CU_ASSERT_EQUAL (err, 0);
      rig_free (&r);
      break;
    }
    CU_ASSERT (err == ENOMEM || (err == 0 && same));
    CU_ASSERT_FALSE (spare_failed (r.spare));
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    spare_get_status (r.spare, &after);
    if (!lose_slots)
      CU_ASSERT_EQUAL (after.slots_used, before.slots_used);
    CU_ASSERT_EQUAL (op (&r), 0);
    digest = rig_digest (&r);
    rig_reload (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    rig_free (&r);
  }
  printf ("(%u allocations) ", n - 1);
  CU_ASSERT (n > 1 && n < 1000);
}

static void
test_remap (void)
{
  try_all (op_remap, false, false);
}

static void
test_lost (void)
{
  try_all (op_lost, false, false);
}

static void
test_retire (void)
{
  try_all (op_retire, false, true);
}

static void
test_bad_slots (void)
{
  try_all (op_bad_slots, false, true);
}

static void
test_checkpoint (void)
{
  try_all (op_checkpoint, true, false);
}

static void
test_forced (void)
{
  try_all (op_forced, false, false);
}

static void
test_grow (void)
{
  try_all (op_grow, true, false);
}

static void
test_format (void)
{
  enum spare_content content;
  struct spare_identity id;
  unsigned n;
  struct rig r;
  int err;

  for (n = 1; n < 1000; ++n) {
    rig_init (&r, memdev_new (MIB));
    malloc_hits = 0;
    malloc_countdown = n;
    err = rig_format (&r, MIB);
    malloc_countdown = 0;
    if (malloc_hits == 0)
      break;
    CU_ASSERT_EQUAL (err, ENOMEM);
    CU_ASSERT_EQUAL (spare_probe (&r.m->dev, MIB, NULL, &content, &id,
                                  &r.message), 0);
    err = content == SPARE_VALID ? rig_load (&r) : rig_format (&r, MIB);
    CU_ASSERT_EQUAL (err, 0);
    rig_free (&r);
  }
  CU_ASSERT_EQUAL (err, 0);
  CU_ASSERT (n > 5);
  rig_free (&r);
}

/* Reasons and times: what isn't known without memory is known later, and the
 * state is known all the time.
 */
static void
test_history (void)
{
  struct spare_history *h = NULL;
  struct history_run run;
  unsigned n, failed = 0;
  struct rig r;
  bool found;
  int err;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 10, 2, WHY_MANUAL), 0);
  malloc_countdown = 1;
  CU_ASSERT_PTR_NULL (spare_history_new (r.spare, r.map));
  malloc_countdown = 0;
  for (n = 1; n < 100; ++n) {
    h = spare_history_new (r.spare, r.map);
    CU_ASSERT_PTR_NOT_NULL_FATAL (h);
    malloc_hits = 0;
    malloc_countdown = n;
    err = spare_history_update (h);
    malloc_countdown = 0;
    CU_ASSERT_EQUAL (err, malloc_hits ? ENOMEM : 0);
    if (malloc_hits == 0)
      break;
    CU_ASSERT (spare_history_next (h, 0, 100, &run));
    CU_ASSERT_EQUAL (run.run.start, 10);
    CU_ASSERT_EQUAL (run.run.count, 2);
    CU_ASSERT_EQUAL (run.run.state, LOST);
    CU_ASSERT_EQUAL (spare_history_update (h), 0);
    CU_ASSERT (spare_history_next (h, 0, 100, &run));
    CU_ASSERT_EQUAL (run.why, WHY_MANUAL);
    spare_history_free (h);
  }
  CU_ASSERT (n > 2 && n < 100);

  /* A change since then, which is looked up on the way. */
  for (n = 1; n < 100; ++n) {
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 50 + n, 1, WHY_IMPORT), 0);
    malloc_hits = 0;
    malloc_countdown = n;
    found = spare_history_next (h, 50 + n, 1000, &run);
    malloc_countdown = 0;
    CU_ASSERT (found);
    CU_ASSERT_EQUAL (run.run.start, 50 + n);
    CU_ASSERT_EQUAL (run.run.count, 1);
    CU_ASSERT_EQUAL (run.why, malloc_hits ? WHY_UNKNOWN : WHY_IMPORT);
    if (malloc_hits == 0)
      break;
    failed++;
    CU_ASSERT_EQUAL (spare_history_update (h), 0);
  }
  CU_ASSERT (failed > 0 && n < 100);
  spare_history_free (h);
  rig_free (&r);
}

static void
check_load (bool keep_history)
{
  uint64_t digest;
  struct rig r;
  unsigned n, i;
  int err;

  rig_make (&r, MIB);
  for (i = 0; i < 20; ++i) {
    CU_ASSERT_EQUAL (do_remap (&r, i * 7, 4, i, 0), 0);
    if (i == 10) {
      CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 900, 3, 0), 0);
      CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    }
  }
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 1000, 3, 0), 0);
  digest = rig_digest (&r);
  r.env.keep_history = keep_history;
  for (n = 1; n < 1000; ++n) {
    rig_close (&r, n & 1);
    malloc_hits = 0;
    malloc_countdown = n;
    err = rig_load (&r);
    malloc_countdown = 0;
    if (malloc_hits == 0)
      break;
    CU_ASSERT_EQUAL (err, ENOMEM);
    rig_reload (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
  }
  CU_ASSERT_EQUAL (err, 0);
  CU_ASSERT (n > 5);
  rig_free (&r);
}

static void
test_load (void)
{
  check_load (false);
  check_load (true);
}

static void
test_probe (void)
{
  enum spare_content content;
  struct spare_identity id;
  struct rig r;
  unsigned n;
  int err;

  rig_init (&r, memdev_new (MIB));
  for (n = 1; n < 100; ++n) {
    malloc_hits = 0;
    malloc_countdown = n;
    err = spare_probe (&r.m->dev, MIB, NULL, &content, &id, &r.message);
    malloc_countdown = 0;
    if (malloc_hits == 0)
      break;
    CU_ASSERT_EQUAL (err, ENOMEM);
  }
  CU_ASSERT_EQUAL (err, 0);
  CU_ASSERT (n > 2);
  rig_free (&r);
}

/* A backup: the spare keeps nothing for one that has failed. */
static void
test_backup (void)
{
  struct memdev *out = memdev_new (MIB);
  struct backup_result result;
  struct rig r, copy;
  unsigned n;
  int err;

  rig_make (&r, MIB);
  for (unsigned i = 0; i < 10; i++)
    CU_ASSERT_EQUAL (do_remap (&r, i * 7, 4, i, 0), 0);
  CU_ASSERT_EQUAL (do_attribute (&r, "test", 1, 0, "abc", 3), 0);
  for (n = 1; n < 1000; n++) {
    malloc_hits = 0;
    malloc_countdown = n;
    err = spare_backup (r.spare, &out->dev, NULL, NULL, &result, &r.message);
    malloc_countdown = 0;
    if (malloc_hits == 0)
      break;
    CU_ASSERT (err == 0 || err == ENOMEM);
    CU_ASSERT_PTR_NULL (r.spare->kept);
    CU_ASSERT_FALSE (spare_failed (r.spare));
  }
  printf ("(%u allocations) ", n - 1);
  CU_ASSERT (n > 10 && n < 1000);
  CU_ASSERT_EQUAL (err, 0);
  rig_init (&copy, out);
  CU_ASSERT_EQUAL (rig_load (&copy), 0);
  rig_free (&copy);
  rig_free (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "probe", test_probe },
    { "format", test_format },
    { "load", test_load },
    { "history", test_history },
    { "remap", test_remap },
    { "lost", test_lost },
    { "retire", test_retire },
    { "remap with bad slots", test_bad_slots },
    { "checkpoint", test_checkpoint },
    { "a commit that needs a checkpoint", test_forced },
    { "a commit that is a checkpoint", test_whole },
    { "growth", test_grow },
    { "a backup", test_backup },
    { NULL, NULL }
  };

  return run_tests (argc, argv, "spare: no memory (promise 23)", tests);
}
