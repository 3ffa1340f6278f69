/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare: bad slots, failing flushes, no room for slots or records.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "spare/internal.h"
#include "spare-testing.h"

/* One slot is bad, and for the next one there is no room: that one isn't
 * bad (promise 17).
 */
static void
test_no_room_singly (void)
{
  struct change_list list = { 0 };
  uint8_t buf[3 * 512] = { 0 };
  struct rig r;

  rig_make (&r, MIB);
  const uint64_t at = r.spare->hdr.segment[0].offset;

  memdev_set_bad (r.m, MEMDEV_WRITE, at, 512, EIO);
  memdev_set_bad (r.m, MEMDEV_WRITE, at + 512, 512, ENOSPC);
  CU_ASSERT_EQUAL (spare_store (r.spare, &list, 5, buf, 3, 0), ENOSPC);
  CU_ASSERT_EQUAL_FATAL (list.n, 1);
  CU_ASSERT_EQUAL (list.v[0].kind, CHANGE_RETIRE);
  CU_ASSERT_EQUAL (list.v[0].slot, 0);
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  change_list_free (&list);
  rig_free (&r);
}

/* Promise 17: a slot that can't be written is retired, and another taken. */
static void
test_bad_slots (void)
{
  struct spare_status st;
  struct run run;
  struct rig r;
  uint8_t buf[16 * 512], want[16 * 512];
  uint64_t offset, first, digest, i;

  rig_make (&r, MIB);
  offset = r.spare->hdr.segment[0].offset;
  memdev_set_bad (r.m, MEMDEV_WRITE, offset + 3 * 512, 512, EIO);
  memdev_set_bad (r.m, MEMDEV_WRITE, offset + 7 * 512, 1024, ENODATA);
  CU_ASSERT_EQUAL (do_remap (&r, 100, 16, 5, WHY_AUTO_WRITE), 0);
  /* A single slot that is bad. */
  memdev_set_bad (r.m, MEMDEV_WRITE, offset + r.spare->cursor * 512, 512,
                  EIO);
  CU_ASSERT_EQUAL (do_remap (&r, 50, 1, 5, WHY_AUTO_WRITE), 0);
  digest = rig_digest (&r);
  for (i = 0; i < 3; ++i) {
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.slots_retired, 4);
    CU_ASSERT_EQUAL (st.slots_used, 17);
    CU_ASSERT_EQUAL (st.counters[COUNT_RETIRED], 4);
    CU_ASSERT_FALSE (st.failed);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    if (i == 1)
      CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    rig_reload (&r);
  }
  fill (want, 100, 16, 5);
  for (i = 0; i < 16; ++i) {
    run = map_lookup (r.map, 100 + i, 1);
    CU_ASSERT_EQUAL_FATAL (run.state, REMAPPED);
    CU_ASSERT_EQUAL (spare_read (r.spare, buf + i * 512, run.slot, 1), 0);
  }
  CU_ASSERT_EQUAL (memcmp (buf, want, sizeof buf), 0);

  /* Seven places of 4 KiB in a row are survived, again and again; eight are
   * not.
   */
  offset = (offset + 600 * 512) / 4096 * 4096;
  first = (offset - r.spare->hdr.segment[0].offset) / 512;
  r.spare->cursor = first;
  memdev_set_bad (r.m, MEMDEV_WRITE, offset, 7 * 4096, EIO);
  CU_ASSERT_EQUAL (do_remap (&r, 300, 1, 1, 0), 0);
  r.spare->cursor = first + 8 * 8;
  memdev_set_bad (r.m, MEMDEV_WRITE, offset + 8 * 4096, 7 * 4096, EIO);
  CU_ASSERT_EQUAL (do_remap (&r, 301, 1, 1, 0), 0);
  CU_ASSERT_FALSE (spare_failed (r.spare));
  r.spare->cursor = first + 16 * 8;
  memdev_set_bad (r.m, MEMDEV_WRITE, offset + 16 * 4096, 8 * 4096, EIO);
  digest = rig_digest (&r);
  i = r.m->failed;
  CU_ASSERT_EQUAL (do_remap (&r, 302, 4, 1, 0), EIO);
  /* Seven times eight single ones, one more, and the writes of several. */
  CU_ASSERT (r.m->failed - i <= 57 + 16);
  CU_ASSERT (spare_failed (r.spare));
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (do_remap (&r, 400, 1, 1, 0), EIO);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 400, 1, 0), EIO);
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, 0, 1), EIO);
  CU_ASSERT_EQUAL (spare_flush (r.spare), EIO);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), EIO);
  CU_ASSERT_EQUAL (spare_grow (r.spare, MIB + 4096, NULL), EIO);
  CU_ASSERT_EQUAL (spare_read (r.spare, buf, 0, 1), 0);
  rig_free (&r);
}

/* Writes to mapped slots count as well. */
static void
test_bad_writes (void)
{
  uint8_t buf[512] = { 0 };
  struct rig r;
  int i;

  rig_make (&r, MIB);
  for (i = 0; i < 8; ++i)
    CU_ASSERT_EQUAL (do_remap (&r, i * 16, 16, 1, 0), 0);
  for (i = 0; i < 8; ++i)
    memdev_set_bad (r.m, MEMDEV_WRITE,
                    r.spare->hdr.segment[0].offset + i * 4096, 512, EIO);
  /* One that fails again and again is one. */
  for (i = 0; i < 20; ++i)
    CU_ASSERT_EQUAL (spare_write (r.spare, buf, 0, 1), EIO);
  for (i = 0; i < 7; ++i)
    CU_ASSERT_EQUAL (spare_write (r.spare, buf, 8 * i, 1), EIO);
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, 1, 1), 0);
  for (i = 0; i < 7; ++i)
    CU_ASSERT_EQUAL (spare_write (r.spare, buf, 8 * i, 1), EIO);
  CU_ASSERT_FALSE (spare_failed (r.spare));
  memdev_fail (r.m, MEMDEV_WRITE, 1, ENOSPC, true);
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, 1, 1), ENOSPC);
  CU_ASSERT_FALSE (spare_failed (r.spare));
  memdev_fail (r.m, 0, 0, 0, false);
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, 8 * 7, 1), EIO);
  CU_ASSERT (spare_failed (r.spare));
  rig_free (&r);
}

/* Promise 16: a flush that failed is final, whoever asked for it. */
static void
test_flush_failure (void)
{
  struct change_list list;
  uint8_t buf[512];
  uint64_t digest, flushes, writes;
  struct rig r;
  int i;

  for (i = 0; i < 4; ++i) {
    rig_make (&r, MIB);
    CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
    digest = rig_digest (&r);
    memset (&list, 0, sizeof list);
    fill (buf, 40, 1, 9);
    CU_ASSERT_EQUAL (spare_store (r.spare, &list, 40, buf, 1, 0), 0);
    if (i == 3)                 /* while the checkpoint is written */
      r.spare->pos = r.spare->hdr.area[0].pages;
    memdev_fail (r.m, MEMDEV_FLUSH, i == 2 ? 2 : 1, EIO, false);
    if (i == 0) {
      CU_ASSERT_EQUAL (spare_flush (r.spare), EIO);
      CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), EIO);
    }
    else
      CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), EIO);
    /* Only the record's own flush leaves it open. */
    CU_ASSERT_EQUAL (list.in_doubt, i == 2);
    change_list_free (&list);
    CU_ASSERT (spare_failed (r.spare));
    CU_ASSERT_EQUAL (rig_digest (&r), digest);

    /* Nothing is written or flushed any more. */
    flushes = r.m->flushes;
    writes = r.m->writes;
    CU_ASSERT_EQUAL (spare_flush (r.spare), EIO);
    CU_ASSERT_EQUAL (do_remap (&r, 60, 1, 1, 0), EIO);
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 60, 1, 0), EIO);
    CU_ASSERT_EQUAL (spare_read (r.spare, buf, 0, 1), 0);
    CU_ASSERT (strstr (r.warning, "flushing the spare failed") != NULL);
    rig_close (&r, true);
    CU_ASSERT_EQUAL (r.m->flushes, flushes);
    CU_ASSERT_EQUAL (r.m->writes, writes);
    CU_ASSERT_EQUAL (rig_load (&r), 0);
    CU_ASSERT_FALSE (spare_failed (r.spare));
    CU_ASSERT_EQUAL (do_remap (&r, 60, 1, 1, 0), 0);
    rig_free (&r);
  }
}

/* A record that can't be written, for other reasons than room. */
static void
test_log_write_error (void)
{
  struct change_list list = { 0 };
  struct change c = { .sector = 9, .count = 1, .kind = CHANGE_LOST };
  struct rig r;
  uint64_t digest;

  rig_make (&r, MIB);
  digest = rig_digest (&r);
  memdev_fail (r.m, MEMDEV_WRITE, 1, EIO, false);
  change_list_add (&list, &c);
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), EIO);
  CU_ASSERT (list.in_doubt);
  CU_ASSERT (spare_failed (r.spare));
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), EIO);
  CU_ASSERT_FALSE (list.in_doubt);
  change_list_free (&list);
  rig_free (&r);
}

/* Promise 18: no slot left, or no room below the spare for slots; what is
 * lost can still be recorded, and service resumes.
 */
static void
test_slots_full (void)
{
  static const int errors[] = { ENOSPC, EDQUOT, EFBIG };
  struct spare_status st;
  struct rig r;
  uint64_t digest;
  int i;

  for (i = 0; i < 3; ++i) {
    rig_init (&r, memdev_new (8 * MIB));
    memdev_set_room (r.m, 0);
    r.m->room_err = errors[i];
    CU_ASSERT_EQUAL (rig_format (&r, 8 * MIB), ENOSPC);
    CU_ASSERT_EQUAL (r.m->writes, 0);
    memdev_set_room (r.m, UINT64_MAX);
    CU_ASSERT_EQUAL_FATAL (rig_format (&r, 8 * MIB), 0);
    memdev_set_room (r.m, 256); /* one chunk */
    CU_ASSERT_EQUAL (do_remap (&r, 0, 2048, 1, 0), 0);
    digest = rig_digest (&r);
    CU_ASSERT_EQUAL (do_remap (&r, 4000, 1, 1, 0), ENOSPC);
    spare_get_status (r.spare, &st);
    CU_ASSERT (st.full);
    CU_ASSERT_EQUAL (st.slots_retired, 0);
    CU_ASSERT_EQUAL (st.slots_used, 2048);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 4000, 1, 0), 0);
    CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    memdev_set_room (r.m, 256);
    CU_ASSERT_EQUAL (do_remap (&r, 4000, 1, 1, 0), 0);
    spare_get_status (r.spare, &st);
    CU_ASSERT_FALSE (st.full);

    /* A device that doesn't say so before the write. */
    memdev_fail (r.m, MEMDEV_WRITE, 1, errors[i], false);
    CU_ASSERT_EQUAL (do_remap (&r, 4001, 4, 1, 0), ENOSPC);
    CU_ASSERT_EQUAL (do_remap (&r, 4001, 4, 1, 0), 0);
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.slots_used, 2053);
    CU_ASSERT_EQUAL (st.slots_retired, 0);
    CU_ASSERT_FALSE (st.failed);
    digest = rig_digest (&r);
    rig_reload (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    rig_free (&r);
  }

  /* No slot; then one is released. */
  rig_make (&r, MIB);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (do_remap (&r, 0, st.slots_total, 1, 0), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 5000, 1, 1, 0), ENOSPC);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 5000, 1, 0), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_DIRECT, 77, 1, 0), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 5000, 1, 1, 0), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 5001, 1, 1, 0), ENOSPC);
  rig_free (&r);
}

/* No room for the record itself: nothing has changed, and nothing comes
 * back after a crash, whatever the failing write left behind.
 */
static void
test_log_full_below (void)
{
  const struct memdev_crash all = { .subset = UINT64_MAX };
  struct rig r, c;
  uint64_t digest;
  int nth, partial;

  for (partial = 0; partial < 3; ++partial) {
    for (nth = 1; nth <= 3; ++nth) {
      rig_make (&r, MIB);
      CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
      digest = rig_digest (&r);
      r.m->partial = partial;
      /* The slot, the record, or making the record invalid. */
      if (nth == 3) {
        memdev_set_bad (r.m, MEMDEV_WRITE,
                        r.spare->hdr.area[0].offset + r.spare->pos * 4096,
                        4096, ENOSPC);
        if (partial == MEMDEV_GOOD)
          r.m->partial = MEMDEV_NOTHING;
      }
      else
        memdev_fail (r.m, MEMDEV_WRITE, nth, ENOSPC, false);
      CU_ASSERT_EQUAL (do_remap (&r, 40, 1, 1, 0), ENOSPC);
      CU_ASSERT_FALSE (spare_failed (r.spare));
      CU_ASSERT_EQUAL (rig_digest (&r), digest);

      rig_init (&c, memdev_crash (r.m, r.m->nevents, &all));
      CU_ASSERT_EQUAL_FATAL (rig_load (&c), 0);
      CU_ASSERT_EQUAL (rig_digest (&c), digest);
      rig_free (&c);

      memdev_set_bad (r.m, 0, 0, r.m->size, 0);
      CU_ASSERT_EQUAL (do_remap (&r, 40, 1, 2, 0), 0);
      digest = rig_digest (&r);
      rig_reload (&r);
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
      rig_free (&r);
    }
  }
}

/* The same for the headers and the other area. */
static void
test_metadata_full_below (void)
{
  struct rig r;
  uint64_t digest, n;
  int err;

  for (n = 1; n < 8; ++n) {
    rig_make (&r, MIB);
    CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
    digest = rig_digest (&r);
    memdev_fail (r.m, MEMDEV_WRITE, n, ENOSPC, true);
    err = spare_checkpoint (r.spare);
    CU_ASSERT (err == ENOSPC || (n > 2 && err == 0));
    err = do_change (&r, CHANGE_LOST, 40, 1, 0);
    CU_ASSERT (err == ENOSPC || (n > 4 && err == 0));
    CU_ASSERT_FALSE (spare_failed (r.spare));
    memdev_fail (r.m, 0, 0, 0, false);
    if (err)
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
    CU_ASSERT_EQUAL (do_remap (&r, 40, 1, 2, 0), 0);
    digest = rig_digest (&r);
    rig_reload (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    CU_ASSERT_EQUAL (r.warnings, 0);
    rig_free (&r);
  }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "no room beside a bad slot", test_no_room_singly },
    { "bad slots (promise 17)", test_bad_slots },
    { "bad writes to mapped slots (promise 17)", test_bad_writes },
    { "a failed flush (promise 16)", test_flush_failure },
    { "a failed write of a record", test_log_write_error },
    { "no room for slots (promise 18)", test_slots_full },
    { "no room for a record (promise 18)", test_log_full_below },
    { "no room for metadata (promise 18)", test_metadata_full_below },
    { NULL }
  };

  return run_tests (argc, argv, "spare-errors", tests);
}
