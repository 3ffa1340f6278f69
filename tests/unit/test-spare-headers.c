/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare's two headers: what is read from them, whatever they hold, and
 * what is left of them when they can't be written (promises 15 to 17, 20
 * and 21 of remap-promises(7)).
 *
 * Linked with --wrap for functions that allocate.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "fail-malloc.h"
#include "spare/examine.h"
#include "spare/internal.h"
#include "spare-testing.h"

static const uint64_t place[2] = { 0, 32768 };

/* A formatted spare that isn't open. */
static void
make_closed (struct rig *r)
{
  rig_make (r, MIB);
  CU_ASSERT_EQUAL (do_remap (r, 10, 4, 1, 0), 0);
  rig_close (r, true);
}

static void
get (struct rig *r, int copy, struct header *h)
{
  uint64_t page[SPARE_PAGE / 8];

  CU_ASSERT_EQUAL_FATAL (device_pread (&r->m->dev, page, SPARE_PAGE,
                                       place[copy]), 0);
  CU_ASSERT_EQUAL_FATAL (header_decode (page, h, NULL), HEADER_COMPLETE);
}

static void
put (struct rig *r, int copy, const struct header *h)
{
  uint64_t page[SPARE_PAGE / 8];

  header_encode (h, page);
  memdev_poke (r->m, place[copy], page, SPARE_PAGE);
}

static int
probe (struct rig *r, enum spare_content *content)
{
  struct spare_identity id;

  r->message.text[0] = '\0';
  return spare_probe (&r->m->dev, r->m->size, NULL, content, &id,
                      &r->message);
}

static void
check_contradiction (struct rig *r)
{
  struct spare_report report;
  enum spare_content content;

  r->m->writes = 0;
  CU_ASSERT_EQUAL (probe (r, &content), EINVAL);
  CU_ASSERT_PTR_NOT_NULL (strstr (r->message.text, "contradict"));
  CU_ASSERT_PTR_NOT_NULL (strstr (r->message.text, "32768"));
  CU_ASSERT_EQUAL (rig_load (r), EINVAL);
  CU_ASSERT_EQUAL (spare_examine_headers (&r->m->dev, r->m->size, &report,
                                          &r->message), EINVAL);
  CU_ASSERT_EQUAL (report.used, -1);
  CU_ASSERT (report.header[0].complete && report.header[1].complete);
  CU_ASSERT (!report.same);
  CU_ASSERT_EQUAL (r->m->writes, 0);
  rig_free (r);
}

/* Of two spares, or as no program wrote them: nobody guesses. */
static void
test_contradiction (void)
{
  struct header h;
  struct rig r;

  make_closed (&r);
  get (&r, 1, &h);
  h.uuid[15] ^= 1;
  h.sequence += 10;
  put (&r, 1, &h);
  check_contradiction (&r);

  make_closed (&r);
  get (&r, 0, &h);
  h.label[0] ^= 1;
  put (&r, 1, &h);
  check_contradiction (&r);

  /* The same twice is none. */
  make_closed (&r);
  get (&r, 0, &h);
  put (&r, 1, &h);
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  rig_free (&r);
}

/* A read that fails may leave anything behind. */
static int (*real_pread) (void *ctx, void *buf, uint32_t count,
                          uint64_t offset);

static int
scribbling_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  int err = real_pread (ctx, buf, count, offset);

  if (err)
    memset (buf, 0xee, count);
  return err;
}

/* The first copy finds no room.  HOW: what was written all the same. */
enum before { INTACT, DAMAGED, UNREADABLE };

static void
check_no_room (enum memdev_partial how, enum before before, int err)
{
  struct device_ops ops;
  struct message m = { "" };
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 10, 4, 1, 0), 0);
  ops = *r.m->dev.ops;
  real_pread = ops.pread;
  ops.pread = scribbling_pread;
  r.m->dev.ops = &ops;
  r.m->partial = how;
  memdev_fail (r.m, MEMDEV_WRITE, 1, ENOSPC, false);
  if (before == DAMAGED)
    memdev_poke (r.m, place[r.spare->older_copy] + 2000, "x", 1);
  if (before == UNREADABLE)
    memdev_set_bad (r.m, MEMDEV_READ, 0, 65536, EIO);
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "new", &m), err);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, strerror (err)));
  CU_ASSERT_EQUAL (spare_failed (r.spare), err == EIO);
  CU_ASSERT_STRING_EQUAL (spare_get_identity (r.spare)->label, "a disk");
  memdev_set_bad (r.m, 0, 0, 65536, 0);
  /* Where it isn't known what is there, nothing is written any more. */
  CU_ASSERT_EQUAL (do_remap (&r, 20, 4, 1, 0), err == EIO ? EIO : 0);
  rig_reload (&r);
  CU_ASSERT_STRING_EQUAL (spare_get_identity (r.spare)->label,
                          how == MEMDEV_GOOD ? "new" : "a disk");
  CU_ASSERT_EQUAL (do_remap (&r, 30, 4, 1, 0), 0);
  rig_free (&r);
}

static void
test_no_room (void)
{
  check_no_room (MEMDEV_NOTHING, INTACT, ENOSPC);
  check_no_room (MEMDEV_NOTHING, DAMAGED, ENOSPC);
  check_no_room (MEMDEV_NOTHING, UNREADABLE, EIO);
  check_no_room (MEMDEV_GOOD, INTACT, EIO);
}

static void
check_equal (struct rig *r, const char *label)
{
  struct spare_report report;

  rig_reload (r);
  CU_ASSERT_STRING_EQUAL (spare_get_identity (r->spare)->label, label);
  CU_ASSERT_EQUAL (spare_examine_headers (&r->m->dev, r->m->size, &report,
                                          &r->message), 0);
  CU_ASSERT (report.same);
}

/* The second copy finds no room, again and again. */
static void
test_behind (void)
{
  struct message m = { "" };
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 10, 4, 1, 0), 0);
  memdev_fail (r.m, MEMDEV_WRITE, 2, ENOSPC, false);
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "new", &m), ENOSPC);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, strerror (ENOSPC)));
  CU_ASSERT (r.spare->header_behind && !spare_failed (r.spare));

  /* What is behind must be equal first: that doesn't succeed either. */
  memdev_fail (r.m, MEMDEV_WRITE, 2, ENOSPC, false);
  r.m->writes = 0;
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "newer", &m), ENOSPC);
  CU_ASSERT_EQUAL (r.m->writes, 2);
  CU_ASSERT (r.spare->header_behind && !spare_failed (r.spare));
  memdev_fail (r.m, MEMDEV_WRITE, 2, ENOSPC, false);
  CU_ASSERT_EQUAL (do_remap (&r, 20, 4, 1, 0), ENOSPC);

  CU_ASSERT_EQUAL (spare_relabel (r.spare, "newest", &m), 0);
  CU_ASSERT (!r.spare->header_behind);
  CU_ASSERT_EQUAL (do_remap (&r, 20, 4, 1, 0), 0);
  check_equal (&r, "newest");

  /* Behind when it is closed: equal when it is opened. */
  memdev_fail (r.m, MEMDEV_WRITE, 2, ENOSPC, true);
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "last", &m), ENOSPC);
  rig_close (&r, true);
  memdev_fail (r.m, 0, 0, 0, false);
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  check_equal (&r, "last");
  rig_free (&r);
}

static void
test_relabel_errors (void)
{
  struct message m = { "" };
  struct rig r;

  rig_make (&r, MIB);
  malloc_countdown = 1;
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "new", &m), ENOMEM);
  malloc_countdown = 0;
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, strerror (ENOMEM)));
  CU_ASSERT_STRING_EQUAL (spare_get_identity (r.spare)->label, "a disk");
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "new", &m), 0);

  /* A spare that has failed isn't written. */
  memdev_fail (r.m, MEMDEV_FLUSH, 1, EIO, false);
  CU_ASSERT_EQUAL (do_remap (&r, 10, 4, 1, 0), EIO);
  CU_ASSERT (spare_failed (r.spare));
  r.m->writes = 0;
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "newer", &m), EIO);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, strerror (EIO)));
  CU_ASSERT_EQUAL (r.m->writes, 0);
  CU_ASSERT_STRING_EQUAL (spare_get_identity (r.spare)->label, "new");
  rig_free (&r);
}

/* One header can't be read: it may be that of a spare (promise 21). */
static void
test_probe_unreadable (void)
{
  enum spare_content content;
  struct rig r;

  for (int copy = 0; copy < 2; copy++) {
    rig_init (&r, memdev_new (MIB));
    memdev_set_bad (r.m, MEMDEV_READ, place[copy], 1, ENODATA);
    CU_ASSERT_EQUAL (probe (&r, &content), EIO);
    CU_ASSERT_EQUAL (content, SPARE_FOREIGN);
    CU_ASSERT_PTR_NOT_NULL (strstr (r.message.text, "headers can't"));
    CU_ASSERT_PTR_NOT_NULL (strstr (r.message.text, strerror (ENODATA)));
    rig_free (&r);

    make_closed (&r);
    memdev_set_bad (r.m, MEMDEV_READ, place[copy], 1, ENODATA);
    CU_ASSERT_EQUAL (probe (&r, &content), 0);
    CU_ASSERT_EQUAL (content, SPARE_VALID);
    rig_free (&r);
  }
}

static uint64_t
no_more_data (void *ctx, uint64_t offset)
{
  const struct memdev *m = ctx;

  return offset < 65536 ? offset : m->size;
}

static void
test_check_blank (void)
{
  struct message m = { "" };
  bool blank = false;
  struct rig r;

  rig_init (&r, memdev_new (4 * MIB));
  /* Nothing is read where there are holes. */
  memdev_set_bad (r.m, MEMDEV_READ, 65536, 4 * MIB - 65536, EIO);
  CU_ASSERT_EQUAL (spare_check_blank (&r.m->dev, 65536, 4 * MIB,
                                      no_more_data, &blank, &m), 0);
  CU_ASSERT (blank);
  CU_ASSERT_EQUAL (r.m->reads, 0);
  memdev_poke (r.m, 100, "x", 1);
  CU_ASSERT_EQUAL (spare_check_blank (&r.m->dev, 0, 65536, no_more_data,
                                      &blank, &m), 0);
  CU_ASSERT (!blank);
  memdev_set_bad (r.m, 0, 0, 4 * MIB, 0);
  CU_ASSERT_EQUAL (spare_check_blank (&r.m->dev, 101, 4 * MIB, NULL, &blank,
                                      &m), 0);
  CU_ASSERT (blank);

  memdev_set_bad (r.m, MEMDEV_READ, 3 * MIB, 1, ENODATA);
  CU_ASSERT_EQUAL (spare_check_blank (&r.m->dev, MIB, 4 * MIB, NULL, &blank,
                                      &m), EIO);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, "3145728"));
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, strerror (ENODATA)));
  memdev_set_bad (r.m, 0, 0, 4 * MIB, 0);
  memdev_fail (r.m, MEMDEV_READ, 1, ENOMEM, false);
  CU_ASSERT_EQUAL (spare_check_blank (&r.m->dev, MIB, 4 * MIB, NULL, &blank,
                                      &m), ENOMEM);
  rig_free (&r);
}

static void
check_class (struct rig *r, int copy, uint64_t size, int err,
             const char *what)
{
  struct spare_report report;

  CU_ASSERT_EQUAL (spare_examine_headers (&r->m->dev, size, &report,
                                          &r->message), err);
  CU_ASSERT_STRING_EQUAL (report.header[copy].what, what);
  CU_ASSERT_EQUAL (report.header[copy].offset, place[copy]);
  CU_ASSERT (!report.header[copy].complete && !report.same);
  CU_ASSERT_STRING_EQUAL (report.header[!copy].what,
                          size == MIB ? "complete" : "not a header");
}

/* All that a header's page can be, and the other one is intact. */
static void
test_classes (void)
{
  static const char zeroes[SPARE_PAGE];
  struct spare_report report;
  uint64_t page[SPARE_PAGE / 8];
  struct header good, h;
  struct rig r;

  make_closed (&r);
  for (int copy = 0; copy < 2; copy++) {
    get (&r, copy, &good);
    memdev_poke (r.m, place[copy], zeroes, SPARE_PAGE);
    check_class (&r, copy, MIB, 0, "blank");
    memdev_poke (r.m, place[copy], "something", 9);
    check_class (&r, copy, MIB, 0, "not a header");
    put (&r, copy, &good);
    memdev_poke (r.m, place[copy] + 2000, "x", 1);
    check_class (&r, copy, MIB, 0, "wrong checksum");
    header_encode (&good, page);
    ((uint8_t *) page)[12]++;
    fix_header_crc (page);
    memdev_poke (r.m, place[copy], page, SPARE_PAGE);
    check_class (&r, copy, MIB, ENOTSUP,
                 "of an unknown version or feature");
    h = good;
    h.formatting = true;
    put (&r, copy, &h);
    check_class (&r, copy, MIB, 0, "formatting was begun");
    if (copy == 0)
      check_class (&r, 0, 32768, 0, "formatting was begun");
    put (&r, copy, &good);
  }

  /* Both are complete, and one is newer. */
  h = good;
  h.sequence += 5;
  strcpy (h.label, "renamed");
  put (&r, 1, &h);
  CU_ASSERT_EQUAL (spare_examine_headers (&r.m->dev, MIB, &report,
                                          &r.message), 0);
  CU_ASSERT (!report.same && report.used == 1);
  CU_ASSERT_EQUAL (report.header[1].sequence, good.sequence + 5);
  rig_free (&r);
}

/* What lies behind the end of the log isn't always half of a commit. */
static void
test_incomplete (void)
{
  struct log_page info = { .total = 2, .count = 0 };
  uint64_t page[SPARE_PAGE / 8], end;
  struct rig r;
  uint32_t pos;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 10, 4, 1, 0), 0);
  pos = r.spare->pos;
  end = r.spare->hdr.area[0].offset + pos * UINT64_C (4096);
  CU_ASSERT_FATAL (pos < r.spare->hdr.high_water);
  CU_ASSERT_FALSE (spare_has_incomplete_commit (r.spare));

  memcpy (info.uuid, r.spare->hdr.uuid, sizeof info.uuid);
  info.generation = r.spare->hdr.generation;
  info.position = pos;
  for (unsigned n = 0; n <= 3; n++) {
    memset (page, 0, sizeof page);
    info.number = r.spare->number + n;
    log_page_encode (&info, page);
    memdev_poke (r.m, end, page, sizeof page);
    CU_ASSERT_EQUAL (spare_has_incomplete_commit (r.spare), n == 1);
    if (n != 1)
      continue;
    memdev_set_bad (r.m, MEMDEV_READ, end, 1, EIO);
    CU_ASSERT_FALSE (spare_has_incomplete_commit (r.spare));
    memdev_set_bad (r.m, 0, end, 1, 0);
    malloc_countdown = 1;
    CU_ASSERT_FALSE (spare_has_incomplete_commit (r.spare));
    malloc_countdown = 0;
  }
  rig_free (&r);
}

/* A device that always has room needs no operation to make some. */
static void
test_no_allocate (void)
{
  struct spare_identity id = { .main_size = MAIN_SIZE };
  struct device_ops ops;
  struct device dev = { .ops = &ops };
  uint8_t buf[2048], back[2048];
  struct rig r;

  rig_init (&r, memdev_new (MIB));
  ops = *r.m->dev.ops;
  ops.allocate = NULL;
  dev.ctx = r.m;
  CU_ASSERT_EQUAL (device_allocate (&dev, 0, MIB), 0);
  r.map = map_new ();
  CU_ASSERT_PTR_NOT_NULL_FATAL (r.map);
  CU_ASSERT_EQUAL_FATAL (spare_format (&dev, MIB, true, &id, &r.env, r.map,
                                       &r.spare, &r.message), 0);
  CU_ASSERT_EQUAL_FATAL (spare_start (r.spare, &r.message), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 10, 4, 1, 0), 0);
  fill (buf, 10, 4, 1);
  CU_ASSERT_EQUAL (spare_read (r.spare, back, map_lookup (r.map, 10, 4).slot,
                               4), 0);
  CU_ASSERT_EQUAL (memcmp (buf, back, sizeof buf), 0);
  CU_ASSERT_EQUAL (r.m->allocates, 0);
  rig_free (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "contradiction (promise 20)", test_contradiction },
    { "no room for the first (promise 17)", test_no_room },
    { "no room for the second (promises 15 and 17)", test_behind },
    { "relabel fails (promises 16 and 20)", test_relabel_errors },
    { "unreadable (promise 21)", test_probe_unreadable },
    { "blank (promise 21)", test_check_blank },
    { "what a header is", test_classes },
    { "what follows the log (promise 15)", test_incomplete },
    { "a device without allocate", test_no_allocate },
    { NULL, NULL }
  };

  return run_tests (argc, argv, "spare-headers", tests);
}
