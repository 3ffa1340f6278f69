/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare: formatting and recognising, sizes, what is read and seen of it.
 * Commits are in test-spare-commit.c, errors of the device in
 * test-spare-errors.c, growth in test-spare-grow.c, crashes in
 * test-spare-crash.c, damage in test-spare-damage.c, lack of memory in
 * test-spare-nomem.c.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "spare/examine.h"
#include "spare/internal.h"
#include "spare/slots.h"
#include "spare-testing.h"

static enum spare_content
probe (struct rig *r, int *err)
{
  enum spare_content content = 99;
  struct spare_identity id;

  *err = spare_probe (&r->m->dev, r->m->size, NULL, &content, &id,
                      &r->message);
  return content;
}

/* Promise 21: blank, foreign, a spare. */
static void
test_probe (void)
{
  static const uint64_t places[] = {
    0, 1, 511, 512, 4095, 4096, 32768, 36863, 65536, MIB - 1, MIB,
    MIB + 76,
  };
  struct rig r;
  uint8_t byte;
  size_t i;
  int err;

  rig_init (&r, memdev_new (MIB + 77));
  CU_ASSERT_EQUAL (probe (&r, &err), SPARE_BLANK);
  CU_ASSERT_EQUAL (err, 0);
  for (i = 0; i < sizeof places / sizeof places[0]; ++i) {
    byte = 1;
    memdev_poke (r.m, places[i], &byte, 1);
    CU_ASSERT_EQUAL (probe (&r, &err), SPARE_FOREIGN);
    CU_ASSERT_EQUAL (err, 0);
    byte = 0;
    memdev_poke (r.m, places[i], &byte, 1);
  }
  CU_ASSERT_EQUAL (r.m->writes, 0);

  CU_ASSERT_EQUAL_FATAL (rig_format (&r, r.m->size), 0);
  rig_close (&r, true);
  r.m->writes = 0;
  CU_ASSERT_EQUAL (probe (&r, &err), SPARE_VALID);
  CU_ASSERT_EQUAL (err, 0);
  CU_ASSERT_EQUAL (r.m->writes, 0);

  memdev_fail (r.m, MEMDEV_READ, 1, EIO, true);
  probe (&r, &err);
  CU_ASSERT_EQUAL (err, EIO);
  rig_free (&r);

  /* Less than a page, and nothing at all. */
  rig_init (&r, memdev_new (100));
  CU_ASSERT_EQUAL (probe (&r, &err), SPARE_BLANK);
  byte = 1;
  memdev_poke (r.m, 99, &byte, 1);
  CU_ASSERT_EQUAL (probe (&r, &err), SPARE_FOREIGN);
  rig_free (&r);
  rig_init (&r, memdev_new (0));
  CU_ASSERT_EQUAL (probe (&r, &err), SPARE_BLANK);
  rig_free (&r);
}

static uint64_t
next_data (void *ctx, uint64_t offset)
{
  struct memdev *m = ctx;

  return offset < m->size / 2 ? m->size / 2 : offset;
}

static void
test_probe_holes (void)
{
  struct rig r;
  enum spare_content content;
  struct spare_identity id;
  uint8_t byte = 1;

  rig_init (&r, memdev_new (16 * MIB));
  CU_ASSERT_EQUAL (spare_probe (&r.m->dev, r.m->size, next_data, &content,
                                &id, &r.message), 0);
  CU_ASSERT_EQUAL (content, SPARE_BLANK);
  CU_ASSERT (r.m->bytes_read <= 8 * MIB + 2 * SPARE_PAGE);
  memdev_poke (r.m, 16 * MIB - 1, &byte, 1);
  CU_ASSERT_EQUAL (spare_probe (&r.m->dev, r.m->size, next_data, &content,
                                &id, &r.message), 0);
  CU_ASSERT_EQUAL (content, SPARE_FOREIGN);
  rig_free (&r);
}

/* Promise 20: another version, an unknown feature. */
static void
test_unknown (void)
{
  static const unsigned places[] = { 12, 16, 28, 88, 92, 479, 1024, 4095 };
  struct rig r;
  uint64_t page[SPARE_PAGE / 8];
  uint8_t *p = (uint8_t *) page;
  size_t i;
  int err, copy;

  for (i = 0; i < sizeof places / sizeof places[0]; ++i) {
    for (copy = 0; copy < 2; ++copy) {
      rig_make (&r, MIB);
      rig_close (&r, true);
      device_pread (&r.m->dev, page, SPARE_PAGE, copy * 32768);
      p[places[i]] ^= 0x40;
      fix_header_crc (page);
      memdev_poke (r.m, copy * 32768, page, SPARE_PAGE);
      r.m->writes = 0;
      probe (&r, &err);
      CU_ASSERT_EQUAL (err, ENOTSUP);
      CU_ASSERT_EQUAL (rig_load (&r), ENOTSUP);
      CU_ASSERT (r.message.text[0] != 0);
      CU_ASSERT_EQUAL (r.m->writes, 0);
      rig_free (&r);
    }
  }

  /* A feature that allows reading; and one that allows anything. */
  for (i = 20; i <= 24; i += 4) {
    rig_make (&r, MIB);
    rig_close (&r, true);
    for (copy = 0; copy < 2; ++copy) {
      device_pread (&r.m->dev, page, SPARE_PAGE, copy * 32768);
      p[i] = 1;
      fix_header_crc (page);
      memdev_poke (r.m, copy * 32768, page, SPARE_PAGE);
    }
    CU_ASSERT_EQUAL (rig_load (&r), i == 20 ? ENOTSUP : 0);
    rig_close (&r, true);
    r.read_only = true;
    CU_ASSERT_EQUAL (rig_load (&r), 0);
    rig_free (&r);
  }
}

static void
test_sizes (void)
{
  static const uint64_t sizes[] = {
    MIB, MIB + 1, MIB + 511, MIB + 512, MIB + 5000, 3 * MIB + 12345, 64 * MIB,
  };
  struct spare_status st;
  struct rig r;
  uint64_t digest;
  size_t i;

  for (i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
    rig_make (&r, sizes[i]);
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.size, sizes[i]);
    CU_ASSERT_EQUAL (st.claimed, sizes[i]);
    CU_ASSERT (st.whole);
    CU_ASSERT (st.slots_total * 512 > sizes[i] * 7 / 10 - 65536);
    CU_ASSERT_EQUAL (st.slots_free, st.slots_total);
    CU_ASSERT (st.log_pages >= st.slots_total * 3 / 2 / 124 + 8);
    CU_ASSERT_EQUAL (spare_get_identity (r.spare)->main_size, MAIN_SIZE);
    CU_ASSERT_STRING_EQUAL (spare_get_identity (r.spare)->label, "a disk");
    CU_ASSERT_EQUAL (spare_get_identity (r.spare)->created, 1700000000);
    CU_ASSERT_EQUAL (do_remap (&r, 0, 10, 1, WHY_AUTO_WRITE), 0);
    CU_ASSERT_EQUAL (do_remap (&r, MAIN_SECTORS - 1, 1, 1, WHY_AUTO_WRITE),
                     0);
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, MAIN_SECTORS, 1, 0), EINVAL);
    digest = rig_digest (&r);
    rig_reload (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    CU_ASSERT_EQUAL (r.warnings, 0);
    CU_ASSERT_EQUAL (r.m->outside, 0);
    rig_free (&r);
  }

  rig_init (&r, memdev_new (MIB));
  CU_ASSERT_EQUAL (rig_format (&r, MIB - 1), EINVAL);
  CU_ASSERT_EQUAL (rig_format (&r, UINT64_C (1) << 62), EINVAL);
  CU_ASSERT_EQUAL (r.m->writes, 0);
  rig_free (&r);
}

/* Every slot can be used, and reads back. */
static void
test_all_slots (void)
{
  struct spare_status st;
  uint8_t buf[512], want[512];
  struct run run;
  struct rig r;
  uint64_t i, n;

  rig_make (&r, MIB + 700);
  spare_get_status (r.spare, &st);
  n = st.slots_total;
  for (i = 0; i < n; ++i)
    CU_ASSERT_EQUAL (do_remap (&r, i * 3, 1, i, WHY_AUTO_WRITE), 0);
  CU_ASSERT_EQUAL (do_remap (&r, i * 3, 1, i, WHY_AUTO_WRITE), ENOSPC);
  rig_reload (&r);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_free, 0);
  CU_ASSERT_EQUAL (st.slots_used, n);
  for (i = 0; i < n; ++i) {
    run = map_lookup (r.map, i * 3, 1);
    CU_ASSERT_EQUAL_FATAL (run.state, REMAPPED);
    CU_ASSERT_EQUAL (spare_read (r.spare, buf, run.slot, 1), 0);
    fill (want, i * 3, 1, i);
    CU_ASSERT_EQUAL (memcmp (buf, want, sizeof buf), 0);
    CU_ASSERT_EQUAL (spare_read_part (r.spare, buf, run.slot, 100, 12), 0);
    CU_ASSERT_EQUAL (memcmp (buf, want + 100, 12), 0);
  }
  CU_ASSERT_EQUAL (spare_read (r.spare, buf, n, 1), EIO);
  CU_ASSERT_EQUAL (spare_read (r.spare, buf, n - 1, 2), EIO);
  CU_ASSERT_EQUAL (spare_read (r.spare, buf, UINT64_MAX, 1), EIO);
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, n, 1), EIO);
  CU_ASSERT_EQUAL (spare_read_part (r.spare, buf, n, 0, 1), EIO);
  CU_ASSERT_EQUAL (spare_read_part (r.spare, buf, 0, 500, 13), EIO);
  CU_ASSERT_EQUAL (r.m->outside, 0);
  rig_free (&r);
}

/* Nothing is written, and what would write is refused. */
static void
test_read_only (void)
{
  struct change_list list = { 0 };
  uint8_t buf[512] = { 0 };
  struct rig r;
  uint64_t digest;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
  digest = rig_digest (&r);
  rig_close (&r, false);
  memdev_poke (r.m, 0, buf, 512);       /* a header to repair */
  r.read_only = true;
  r.m->writes = r.m->flushes = r.m->allocates = 0;
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (do_remap (&r, 50, 1, 1, 0), EROFS);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 50, 1, 0), EROFS);
  CU_ASSERT_EQUAL (spare_store (r.spare, &list, 0, buf, 1, 0), EROFS);
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, 0, 1), EROFS);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), EROFS);
  CU_ASSERT_EQUAL (spare_grow (r.spare, MIB, NULL), EROFS);
  CU_ASSERT_EQUAL (spare_flush (r.spare), 0);
  rig_free (&r);
}

static void
test_relabel (void)
{
  char longest[SPARE_LABEL_MAX + 2];
  struct rig r;
  uint64_t n;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 10, 4, 1, 0), 0);
  memset (longest, 'x', sizeof longest);
  longest[SPARE_LABEL_MAX + 1] = '\0';
  CU_ASSERT_EQUAL (spare_relabel (r.spare, longest, &r.message), EINVAL);
  CU_ASSERT_STRING_EQUAL (spare_get_identity (r.spare)->label, "a disk");
  longest[SPARE_LABEL_MAX] = '\0';
  CU_ASSERT_EQUAL (spare_relabel (r.spare, longest, &r.message), 0);
  CU_ASSERT_STRING_EQUAL (spare_get_identity (r.spare)->label, longest);
  rig_reload (&r);
  CU_ASSERT_STRING_EQUAL (spare_get_identity (r.spare)->label, longest);
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "short", &r.message), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 20, 4, 1, 0), 0);
  rig_reload (&r);
  CU_ASSERT_STRING_EQUAL (spare_get_identity (r.spare)->label, "short");
  rig_close (&r, true);

  r.read_only = true;
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "other", &r.message), EROFS);
  rig_close (&r, true);
  r.read_only = false;

  /* Each write and flush fails in turn: the old label, or the new one. */
  for (n = 1; n <= 4; n++) {
    CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
    memdev_fail (r.m, MEMDEV_WRITE | MEMDEV_FLUSH, n, EIO, 1);
    CU_ASSERT_EQUAL (spare_relabel (r.spare, "failed", &r.message), EIO);
    memdev_fail (r.m, 0, 0, 0, 0);
    rig_close (&r, false);
    CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
    CU_ASSERT (strcmp (spare_get_identity (r.spare)->label, "short") == 0 ||
               strcmp (spare_get_identity (r.spare)->label, "failed") == 0);
    CU_ASSERT_EQUAL (spare_relabel (r.spare, "short", &r.message), 0);
    rig_close (&r, true);
  }
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  rig_free (&r);
}

static void
test_examine (void)
{
  struct spare_report report;
  uint64_t number, pages;
  struct device dev;
  char page[4096];
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 10, 4, 1, 0), 0);
  CU_ASSERT_FALSE (spare_has_incomplete_commit (r.spare));
  spare_log_end (r.spare, &number, &pages);
  CU_ASSERT_EQUAL (number, 2);
  CU_ASSERT_EQUAL (pages, 2);
  dev = *r.spare->dev;
  CU_ASSERT_EQUAL (spare_examine_headers (&dev, MIB, &report, NULL), 0);
  CU_ASSERT (report.same && report.used >= 0);
  CU_ASSERT (report.header[0].complete && report.header[1].complete);
  CU_ASSERT_EQUAL (report.header[1].offset, 32768);

  memset (page, 0, sizeof page);
  memdev_poke (r.m, 32768, page, sizeof page);
  CU_ASSERT_EQUAL (spare_examine_headers (&dev, MIB, &report, NULL), 0);
  CU_ASSERT (!report.same && report.used == 0);
  CU_ASSERT_STRING_EQUAL (report.header[1].what, "blank");
  CU_ASSERT_FALSE (report.header[1].complete);
  memdev_set_bad (r.m, MEMDEV_READ, 0, 1, EIO);
  CU_ASSERT_EQUAL (spare_examine_headers (&dev, MIB, &report, NULL), 0);
  CU_ASSERT_EQUAL (report.used, -1);
  CU_ASSERT_STRING_EQUAL (report.header[0].what, strerror (EIO));
  memdev_set_bad (r.m, 0, 0, 1, 0);
  rig_free (&r);
}

/* The first page of a commit of two, and not the second. */
static void
test_examine_incomplete (void)
{
  struct change_list list = { 0 };
  struct rig r;
  unsigned i;

  rig_make (&r, MIB);
  for (i = 0; i < 130; i++) {
    const struct change c = {
      .sector = 1000 + 2 * i, .count = 1, .kind = CHANGE_LOST,
    };

    CU_ASSERT_EQUAL_FATAL (change_list_add (&list, &c), 0);
  }
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  change_list_free (&list);
  const uint64_t second = r.spare->hdr.area[0].offset + 2 * 4096;
  rig_close (&r, false);
  memdev_poke (r.m, second, "torn", 4);
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  CU_ASSERT_TRUE (spare_has_incomplete_commit (r.spare));
  CU_ASSERT_EQUAL (do_remap (&r, 10, 4, 1, 0), 0);
  CU_ASSERT_FALSE (spare_has_incomplete_commit (r.spare));
  rig_free (&r);
}

/* For people who look at the time it takes. */
static void
test_open_large (void)
{
  struct change_list list = { 0 };
  struct timespec a, b;
  struct rig r;
  uint64_t i, n = 1000000;

  if (getenv ("TEST_LARGE") == NULL)
    n = 20000;
  rig_init (&r, memdev_new (n * 1024 + MIB));
  r.map = map_new ();
  struct spare_identity id = { .main_size = UINT64_C (1) << 40 };
  CU_ASSERT_EQUAL_FATAL (spare_format (&r.m->dev, r.m->size, false, &id,
                                       &r.env, r.map, &r.spare, NULL), 0);
  for (i = 0; i < n; ++i) {
    const struct change c = {
      .sector = i * 3 % (n * 3), .slot = (i * 7) % n, .count = 1,
      .kind = CHANGE_REMAP,
    };
    if (change_list_add (&list, &c) != 0)
      abort ();
    if (list.n == 10000 || i == n - 1) {
      for (size_t j = 0; j < list.n; ++j)
        slots_hold (r.spare, list.v[j].slot, 1);
      CU_ASSERT_EQUAL_FATAL (spare_commit (r.spare, &list, NULL), 0);
      list.n = 0;
    }
  }
  change_list_free (&list);
  rig_reload (&r);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  rig_close (&r, true);
  clock_gettime (CLOCK_MONOTONIC, &a);
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  clock_gettime (CLOCK_MONOTONIC, &b);
  printf ("(%" PRIu64 " entries opened in %.3f s) ", n,
          b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9);
  struct map_totals totals;
  map_get_totals (r.map, &totals);
  CU_ASSERT_EQUAL (totals.remapped, n);
  rig_free (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "probe: blank, foreign, valid (promise 21)", test_probe },
    { "probe: holes are not read", test_probe_holes },
    { "unknown versions and features (promise 20)", test_unknown },
    { "format and load at many sizes", test_sizes },
    { "all slots can be used", test_all_slots },
    { "read only", test_read_only },
    { "another label (promise 20)", test_relabel },
    { "what is seen of headers", test_examine },
    { "what is seen of a log that was cut off", test_examine_incomplete },
    { "a large one", test_open_large },
    { NULL }
  };

  return run_tests (argc, argv, "spare", tests);
}
