/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare: formatting and recognising, commits and what survives them,
 * errors of the device, lack of room, growth.  Crashes are in
 * test-spare-crash.c, damage in test-spare-damage.c, lack of memory in
 * test-spare-nomem.c.
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

#include "spare-examine.h"
#include "spare-internal.h"
#include "spare-testing.h"

static uint64_t seed;

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
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 0, 1, 7), EINVAL);
  CU_ASSERT_EQUAL (do_change (&r, 5, 0, 1, 0), EINVAL);
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

/* So many LOST runs that the log has no room for another; growth helps. */
static void
test_record_full (void)
{
  struct spare_status st;
  struct rig r;
  uint64_t i, n, digest;
  int err = 0, j;

  rig_make (&r, MIB);
  for (i = 0; err == 0 && i < 20000; ++i)
    err = do_change (&r, CHANGE_LOST, i * 2, 1, WHY_AUTO_READ);
  CU_ASSERT_EQUAL (err, ENOSPC);
  n = i - 1;
  spare_get_status (r.spare, &st);
  CU_ASSERT (n >= st.slots_total * 3 / 2);
  CU_ASSERT_FALSE (spare_failed (r.spare));
  digest = rig_digest (&r);
  for (j = 0; j < 2; ++j) {
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, n * 2, 1, 0), ENOSPC);
    CU_ASSERT_EQUAL (do_remap (&r, 90000, 1, 1, 0), ENOSPC);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    rig_reload (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
  }

  /* What makes the state smaller would need a record first: room helps. */
  memdev_resize (r.m, 3 * MIB);
  CU_ASSERT_EQUAL (spare_grow (r.spare, 3 * MIB, &r.message), 0);
  for (; n < i + 1000; ++n)
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, n * 2, 1, 0), 0);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* A log that is full, too: a growth that leaves no room for records is
 * refused, and all slots of one that succeeds can be used.
 */
static void
test_grow_record_full (void)
{
  struct spare_status st;
  uint64_t size = MIB, i, digest;
  struct rig r;
  int err;

  rig_make (&r, size);
  for (i = 0; do_remap (&r, i * 2, 1, 1, 0) == 0; ++i)
    ;
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (i, st.slots_total);
  for (i = 0; do_change (&r, CHANGE_LOST, 10001 + i * 2, 1, 0) == 0; ++i)
    ;
  CU_ASSERT (i > 1000);
  digest = rig_digest (&r);
  do {
    size += 64 * 1024;
    memdev_resize (r.m, size);
    err = spare_grow (r.spare, size, &r.message);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    if (err) {
      CU_ASSERT_EQUAL (err, ENOSPC);
      CU_ASSERT (strstr (r.message.text, "enlarge it more") != NULL);
    }
  } while (err && size < 2 * MIB);
  CU_ASSERT_EQUAL (err, 0);
  CU_ASSERT (size > MIB + 64 * 1024);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 9001, 1, 0), 0);

  size += MIB;
  memdev_resize (r.m, size);
  CU_ASSERT_EQUAL (spare_grow (r.spare, size, &r.message), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT (st.slots_free > 1000);
  for (i = 0; i < st.slots_free; ++i)
    CU_ASSERT_EQUAL_FATAL (do_remap (&r, 50000 + i * 2, 1, 1, 0), 0);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* Where reasons and times alone are too much they are dropped. */
static void
test_notes_full (void)
{
  struct rig r;
  uint64_t i, digest;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 0, 100000, 1), 0);
  for (i = 0; i < 3500; ++i) {
    r.now++;
    CU_ASSERT_EQUAL_FATAL (do_change (&r, CHANGE_LOST, i * 2, 1, 2), 0);
  }
  CU_ASSERT (r.warnings > 0);
  CU_ASSERT (strstr (r.warning, "reasons and times") != NULL);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);

  /* An old area that can't be read costs reasons and times only. */
  memdev_set_bad (r.m, MEMDEV_READ,
                  r.spare->hdr.area[r.spare->hdr.active].offset, 4096, EIO);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  CU_ASSERT (strstr (r.warning, "can't be read any more") != NULL);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* Growth while in use, the areas moving several times. */
static void
test_grow (void)
{
  struct spare_status st;
  uint64_t size = MIB, digest, slots = 0, pages = 0, moves = 0, i;
  struct rig r;
  int err, small = 0;

  rig_make (&r, size);
  while (size < 20 * MIB) {
    for (i = 0; i < 50; ++i)
      CU_ASSERT_EQUAL (do_remap (&r, i * 10 + size / 512, 3, i, i % 7), 0);
    digest = rig_digest (&r);
    size += size / 5 + memdev_random (&seed) % 10000;
    memdev_resize (r.m, size);
    err = spare_grow (r.spare, size, &r.message);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    if (err == ENOSPC && size < 4 * MIB) {
      /* So small a step leaves no room for new areas: a larger one does. */
      CU_ASSERT (strstr (r.message.text, "enlarge it more") != NULL);
      small++;
      continue;
    }
    CU_ASSERT_EQUAL (err, 0);
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.size, size);
    CU_ASSERT_EQUAL (st.claimed, size);
    CU_ASSERT (st.slots_total >= slots);
    CU_ASSERT (st.log_pages >= st.slots_total / 124 + 2);
    moves += st.log_pages != pages;
    slots = st.slots_total;
    pages = st.log_pages;
    CU_ASSERT_EQUAL (do_remap (&r, 9, 1, size, 0), 0);
    digest = rig_digest (&r);
    rig_reload (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
  }
  CU_ASSERT (moves > 3);
  CU_ASSERT (small < 5);

  /* All of it can be used. */
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (do_remap (&r, 60000, st.slots_free, 5, 0), 0);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);

  CU_ASSERT_EQUAL (spare_grow (r.spare, size, &r.message), 0);
  CU_ASSERT_EQUAL (spare_grow (r.spare, size - 1, &r.message), EINVAL);
  CU_ASSERT (r.message.text[0] != 0);
  CU_ASSERT_EQUAL (r.m->outside, 0);
  rig_free (&r);
}

/* Growth that fails leaves everything as it was, and may be repeated. */
static void
test_grow_errors (void)
{
  struct spare_status st;
  uint64_t digest, n;
  struct rig r;
  int err, kind;

  for (kind = 0; kind < 3; ++kind) {
    for (n = 1, err = 1; err != 0 && n < 100; ++n) {
      rig_make (&r, MIB);
      CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
      digest = rig_digest (&r);
      memdev_resize (r.m, 4 * MIB);
      memdev_fail (r.m, kind == 2 ? MEMDEV_FLUSH : MEMDEV_WRITE |
                   MEMDEV_ALLOCATE, n, kind == 0 ? ENOSPC : EIO, false);
      err = spare_grow (r.spare, 4 * MIB, &r.message);
      if (r.m->failed == 0) {
        CU_ASSERT_EQUAL (err, 0);
        CU_ASSERT (n > 3);
        rig_free (&r);
        break;
      }
      memdev_fail (r.m, 0, 0, 0, false);
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
      if (kind == 2)
        CU_ASSERT (spare_failed (r.spare));
      if (kind == 0)
        CU_ASSERT_FALSE (spare_failed (r.spare));
      if (!spare_failed (r.spare))
        CU_ASSERT_EQUAL (do_remap (&r, 500, 2, 1, 0), 0);
      digest = rig_digest (&r);
      rig_reload (&r);
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
      spare_get_status (r.spare, &st);
      CU_ASSERT (st.size == MIB || st.size == 4 * MIB);
      CU_ASSERT_EQUAL (spare_grow (r.spare, 4 * MIB, &r.message), 0);
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
      CU_ASSERT_EQUAL (do_remap (&r, 900, 2, 1, 0), 0);
      digest = rig_digest (&r);
      rig_reload (&r);
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
      rig_free (&r);
      err = 1;
    }
  }
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

int
main (int argc, char *argv[])
{
  static const struct { const char *name; void (*fn) (void); } tests[] = {
    { "probe: blank, foreign, valid (promise 21)", test_probe },
    { "probe: holes are not read", test_probe_holes },
    { "unknown versions and features (promise 20)", test_unknown },
    { "format and load at many sizes", test_sizes },
    { "all slots can be used", test_all_slots },
    { "all kinds of changes, reasons and times", test_kinds },
    { "a list is one commit", test_list },
    { "slots are released and retired", test_release },
    { "no room beside a bad slot", test_no_room_singly },
    { "thousands of commits", test_many },
    { "large lists", test_large_list },
    { "long runs", test_long_run },
    { "flushes of a commit (promise 13)", test_flushes },
    { "group commit (promise 13)", test_group },
    { "bad slots (promise 17)", test_bad_slots },
    { "bad writes to mapped slots (promise 17)", test_bad_writes },
    { "a failed flush (promise 16)", test_flush_failure },
    { "a failed write of a record", test_log_write_error },
    { "no room for slots (promise 18)", test_slots_full },
    { "no room for a record (promise 18)", test_log_full_below },
    { "no room for metadata (promise 18)", test_metadata_full_below },
    { "a log full of LOST runs (promise 18)", test_record_full },
    { "growth of a full log", test_grow_record_full },
    { "no room for reasons", test_notes_full },
    { "growth", test_grow },
    { "growth that fails", test_grow_errors },
    { "read only", test_read_only },
    { "another label (promise 20)", test_relabel },
    { "what is seen of headers", test_examine },
    { "what is seen of a log that was cut off", test_examine_incomplete },
    { "a large one", test_open_large },
  };
  const char *s = getenv ("TEST_SEED");
  CU_pSuite suite;
  unsigned failures;
  size_t i;

  seed = s ? strtoull (s, NULL, 0) : (uint64_t) time (NULL);
  printf ("TEST_SEED=%" PRIu64 "\n", seed);
  if (CU_initialize_registry () != CUE_SUCCESS ||
      (suite = CU_add_suite ("spare", NULL, NULL)) == NULL)
    return EXIT_FAILURE;
  for (i = 0; i < sizeof tests / sizeof tests[0]; ++i) {
    if (argc > 1 && strstr (tests[i].name, argv[1]) == NULL)
      continue;
    if (CU_add_test (suite, tests[i].name, tests[i].fn) == NULL)
      return EXIT_FAILURE;
  }
  CU_basic_set_mode (CU_BRM_VERBOSE);
  CU_basic_run_tests ();
  failures = CU_get_number_of_failures ();
  CU_cleanup_registry ();
  return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
