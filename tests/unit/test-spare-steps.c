/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Commits and checkpoints of which a step fails in the middle: what was
 * acknowledged is there afterwards, and what was not is there whole, in
 * doubt, or not at all (promises 13, 15, 16 and 18 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "spare/header.h"
#include "spare/internal.h"
#include "spare/notes.h"
#include "spare/pages.h"
#include "spare-testing.h"

/* As after kill -9, and a start. */
static void
kill_and_load (struct rig *r)
{
  memdev_fail (r->m, 0, 0, 0, false);
  r->m->hook = NULL;
  rig_close (r, false);
  CU_ASSERT_EQUAL_FATAL (rig_load (r), 0);
}

/* A commit that is longer than what is written at once (promise 15): two
 * headers, then the log in two pieces.
 */
static void
test_large_commit (void)
{
  static const struct { int err; unsigned nth; } fault[] = {
    { EIO, 1 }, { EIO, 2 }, { EIO, 3 }, { EIO, 4 },
    { ENOSPC, 1 }, { ENOSPC, 2 }, { ENOSPC, 3 }, { ENOSPC, 4 },
  };
  struct change_list list = { 0 };
  uint64_t digest;
  struct rig r;

  add_scattered (&list, CHANGE_LOST, 100, 300 * ENTRIES_PER_PAGE);
  for (size_t i = 0; i < sizeof fault / sizeof fault[0];
       i += slow_tool () ? 3 : 1) {
    rig_make (&r, 64 * MIB);
    CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
    digest = rig_digest (&r);
    memdev_fail (r.m, MEMDEV_WRITE, fault[i].nth, fault[i].err, false);
    CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), fault[i].err);
    CU_ASSERT_EQUAL (r.m->fail_hits, 1);
    CU_ASSERT_EQUAL (spare_failed (r.spare), fault[i].err == EIO);
    CU_ASSERT_EQUAL (list.in_doubt, fault[i].err == EIO && fault[i].nth > 2);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    kill_and_load (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);

    CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
    digest = rig_digest (&r);
    kill_and_load (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    rig_free (&r);
  }
  change_list_free (&list);
}

/* The headers allow the log to grow step by step, and never beyond what they
 * have said (promise 15).
 */
static void
test_high_water (void)
{
  uint64_t digest;
  struct rig r;

  rig_make (&r, 48 * MIB);
  r.spare->not_before = UINT32_MAX;     /* no checkpoint before it is full */
  const uint64_t pages = r.spare->hdr.area[0].pages;
  CU_ASSERT (pages > 2 * HIGH_WATER_STEP);
  CU_ASSERT_EQUAL (r.spare->hdr.high_water, HIGH_WATER_STEP);
  for (uint64_t i = 1; i < pages; i++) {
    CU_ASSERT_EQUAL_FATAL (do_change (&r, CHANGE_LOST, 2 * i, 1, 0), 0);
    CU_ASSERT_EQUAL (r.spare->hdr.high_water,
                     i < pages / HIGH_WATER_STEP * HIGH_WATER_STEP
                     ? i / HIGH_WATER_STEP * HIGH_WATER_STEP + HIGH_WATER_STEP
                     : pages);
    if (i % 250 == 0 || i + 1 == pages) {
      digest = rig_digest (&r);
      kill_and_load (&r);
      r.spare->not_before = UINT32_MAX;
      CU_ASSERT_EQUAL_FATAL (rig_digest (&r), digest);
    }
  }
  rig_free (&r);
}

/* A record for which there is no room may be on the disk all the same, and
 * then can't be made invalid either: it is in doubt, and nothing is
 * acknowledged any more (promise 18).
 */
enum how { LANDED, BROKEN, UNREADABLE };

struct fault {
  struct rig *r;
  enum how how;
  unsigned writes;
};

static void
fault_hook (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  struct fault *f = opaque;

  if (op == MEMDEV_WRITE && ++f->writes == 2) {
    f->r->m->partial = MEMDEV_NOTHING;
    if (f->how == BROKEN)
      memdev_fail (f->r->m, MEMDEV_WRITE, 1, EIO, false);
  }
  if (op == MEMDEV_READ && f->how == UNREADABLE)
    memdev_fail (f->r->m, MEMDEV_READ, 1, EIO, false);
}

static void
test_not_forgotten (void)
{
  const struct change c = { .sector = 9, .count = 1, .kind = CHANGE_LOST };

  for (enum how how = LANDED; how <= UNREADABLE; how++) {
    struct change_list list = { 0 };
    struct rig r;
    struct fault f = { .r = &r, .how = how };
    uint64_t digest;

    rig_make (&r, MIB);
    digest = rig_digest (&r);
    CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
    memdev_fail (r.m, MEMDEV_WRITE, 1, ENOSPC, true);
    r.m->partial = MEMDEV_GOOD;
    r.m->hook = fault_hook;
    r.m->hook_opaque = &f;
    CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), EIO);
    CU_ASSERT_EQUAL (f.writes, 2);
    CU_ASSERT (list.in_doubt);
    CU_ASSERT (spare_failed (r.spare));
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    change_list_free (&list);
    kill_and_load (&r);
    CU_ASSERT_EQUAL (map_lookup (r.map, 9, 1).state, LOST);
    rig_free (&r);
  }
}

/* What lies where there was no room for the record is part of an older one:
 * that one can't come back, so the record is simply not there.
 */
static void
test_older_record (void)
{
  uint64_t digest;
  struct rig r;

  rig_make (&r, MIB);
  /* Three pages that arrive, though there was no room; then one page. */
  memdev_fail (r.m, MEMDEV_WRITE, 1, ENOSPC, false);
  r.m->partial = MEMDEV_GOOD;
  CU_ASSERT_EQUAL (do_scattered (&r, CHANGE_LOST, 1000,
                                 3 * ENTRIES_PER_PAGE), ENOSPC);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 5, 1, 0), 0);
  digest = rig_digest (&r);

  memdev_fail (r.m, MEMDEV_WRITE, 1, ENOSPC, true);
  r.m->partial = MEMDEV_NOTHING;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 7, 1, 0), ENOSPC);
  CU_ASSERT_FALSE (spare_failed (r.spare));
  memdev_fail (r.m, 0, 0, 0, false);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  kill_and_load (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 7, 1, 0), 0);
  rig_free (&r);
}

/* Eight slots fail while a record is being written: the spare has failed,
 * and what wasn't flushed before isn't any more (promise 16).
 */
static void
fail_slots (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  struct rig *r = opaque;
  uint8_t buf[512] = { 0 };

  if (op != MEMDEV_WRITE ||
      offset >= r->spare->hdr.area[1].offset)
    return;
  r->m->hook = NULL;
  memdev_set_bad (r->m, MEMDEV_WRITE, r->spare->hdr.segment[0].offset,
                  MIB / 2, EIO);
  for (slot_t slot = 0; slot < 8; slot++)
    CU_ASSERT_EQUAL (spare_write (r->spare, buf, 8 * slot, 1), EIO);
  CU_ASSERT (spare_failed (r->spare));
}

static void
test_fails_meanwhile (void)
{
  const struct change c = { .sector = 900, .count = 1, .kind = CHANGE_LOST };
  struct change_list list = { 0 };
  uint64_t digest, flushes;
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 100, 1, 0), 0);
  digest = rig_digest (&r);
  CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
  flushes = r.m->flushes;
  r.m->hook = fail_slots;
  r.m->hook_opaque = &r;
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), EIO);
  CU_ASSERT (list.in_doubt);
  CU_ASSERT_EQUAL (r.m->flushes, flushes);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), EIO);
  CU_ASSERT_FALSE (list.in_doubt);
  change_list_free (&list);
  memdev_set_bad (r.m, 0, 0, MIB, 0);
  kill_and_load (&r);
  CU_ASSERT_EQUAL (map_lookup (r.map, 900, 1).state, LOST);
  rig_free (&r);
}

/* Counters alone make a commit; nothing at all makes none. */
static void
test_counters (void)
{
  uint64_t counters[NR_SPARE_COUNTERS] = { 0 };
  const struct change beyond = {
    .sector = MAIN_SECTORS + 5, .count = 1, .kind = CHANGE_LOST,
  };
  struct change_list list = { 0 };
  struct spare_status st;
  struct rig r;

  rig_make (&r, MIB);
  r.m->writes = r.m->flushes = 0;
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, counters), 0);
  CU_ASSERT_EQUAL (r.m->writes + r.m->flushes, 0);
  counters[COUNT_RECOVERED] = 7;
  counters[COUNT_RETIRED] = 3;  /* not the caller's to count */
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, counters), 0);
  kill_and_load (&r);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.counters[COUNT_RECOVERED], 7);
  CU_ASSERT_EQUAL (st.counters[COUNT_RETIRED], 0);

  /* Slots that are retired already aren't counted again. */
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 10, 5, 0), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 12, 2, 0), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 8, 9, 0), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.counters[COUNT_RETIRED], 9);
  CU_ASSERT_EQUAL (st.slots_retired, 9);
  kill_and_load (&r);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.counters[COUNT_RETIRED], 9);
  CU_ASSERT_EQUAL (st.slots_retired, 9);

  CU_ASSERT_EQUAL (change_list_add (&list, &beyond), 0);
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), EINVAL);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, st.slots_total - 1, 2, 0),
                   EINVAL);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, st.slots_total + 1, 1, 0),
                   EINVAL);
  change_list_free (&list);
  rig_free (&r);
}

/* A checkpoint of more pages than are written at once, or of exactly so
 * many; each of its writes fails.
 */
static void
check_checkpoint (enum change_kind kind, size_t entries, unsigned writes)
{
  uint64_t digest;
  struct rig r;
  unsigned n;
  int err;

  rig_make (&r, 64 * MIB);
  CU_ASSERT_EQUAL_FATAL (do_scattered (&r, kind, 1, entries), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 120000, 9, 0), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_DIRECT, 120000, 9, 0), 0);
  digest = rig_digest (&r);
  for (n = 1; n < 100; n++) {
    memdev_fail (r.m, MEMDEV_WRITE, n, n % 2 ? EIO : EDQUOT, false);
    err = spare_checkpoint (r.spare);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    if (r.m->fail_hits == 0) {
      CU_ASSERT_EQUAL (err, 0);
      break;
    }
    if (n <= writes)
      CU_ASSERT_EQUAL (err, n % 2 ? EIO : ENOSPC);
    CU_ASSERT_EQUAL (spare_failed (r.spare), n % 2);
    kill_and_load (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
  }
  /* And the two headers. */
  CU_ASSERT_EQUAL (n - 1, writes + 2);
  kill_and_load (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

static void
test_large_checkpoint (void)
{
  const size_t window = WINDOW_PAGES * ENTRIES_PER_PAGE;

  check_checkpoint (CHANGE_LOST, window, 1);
  if (slow_tool ())
    return;
  check_checkpoint (CHANGE_LOST, window - ENTRIES_PER_PAGE, 1);
  check_checkpoint (CHANGE_LOST, window + 1, 2);
  check_checkpoint (CHANGE_LOST, window + ENTRIES_PER_PAGE + 1, 2);
  check_checkpoint (CHANGE_RETIRE, window + ENTRIES_PER_PAGE + 1, 2);
}

/* A clock that is millions of years ahead, and a page whose reasons and times
 * can't be read any more: the checkpoint is a proper one.
 */
static void
test_far_future (void)
{
  enum change_reason reason = 99;
  uint64_t digest, time = 0;
  struct rig r;

  rig_make (&r, MIB);
  r.now = UINT64_MAX;
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 5, 1, WHY_IMPORT), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 9, 1, WHY_IMPORT), 0);
  digest = rig_digest (&r);
  memdev_poke (r.m, r.spare->hdr.area[0].offset + SPARE_PAGE + 200, "x", 1);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  CU_ASSERT (strstr (r.warning, "1 pages") != NULL);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  kill_and_load (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT (log_note (&r, CHANGE_LOST, 5, &reason, &time));
  CU_ASSERT_EQUAL (reason, WHY_UNKNOWN);
  CU_ASSERT_EQUAL (time, NOTE_TIME_MAX);
  CU_ASSERT (log_note (&r, CHANGE_LOST, 9, &reason, &time));
  CU_ASSERT_EQUAL (reason, WHY_IMPORT);
  CU_ASSERT_EQUAL (time, NOTE_TIME_MAX);
  rig_free (&r);
}

/* Somebody has put a page into the log that is whole, but makes no sense: it
 * isn't copied into the checkpoint (promise 23).
 */
static void
test_senseless_page (void)
{
  uint64_t page[SPARE_PAGE / 8], digest, place;
  enum change_reason reason = 99;
  struct log_page info;
  struct log_entry e;
  uint64_t time = 0;
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 5, 1, WHY_IMPORT), 0);
  digest = rig_digest (&r);
  place = r.spare->hdr.area[0].offset + SPARE_PAGE;
  CU_ASSERT_EQUAL (device_pread (&r.m->dev, page, SPARE_PAGE, place), 0);
  CU_ASSERT_FATAL (log_page_decode (page, &r.spare->hdr, 1, &info));
  log_page_get (page, 0, &e);
  e.reason = 77;
  log_page_put (page, 0, &e);
  log_page_encode (&info, page);
  memdev_poke (r.m, place, page, SPARE_PAGE);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  CU_ASSERT (strstr (r.warning, "1 pages") != NULL);
  kill_and_load (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT (log_note (&r, CHANGE_LOST, 5, &reason, &time));
  CU_ASSERT_EQUAL (reason, WHY_UNKNOWN);
  rig_free (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "a commit in two pieces (promise 15)", test_large_commit },
    { "how far the log may go (promise 15)", test_high_water },
    { "a record that isn't forgotten (promise 18)", test_not_forgotten },
    { "an older record in its place (promise 18)", test_older_record },
    { "it fails meanwhile (promise 16)", test_fails_meanwhile },
    { "counters", test_counters },
    { "checkpoints in pieces (promise 15)", test_large_checkpoint },
    { "a clock that is far ahead", test_far_future },
    { "a page that makes no sense (promise 23)", test_senseless_page },
    { NULL }
  };

  return run_tests (argc, argv, "spare-steps", tests);
}
