/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reading the log of a spare whose device fails, or changes, while that is
 * being done (promises 15 and 23 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "spare/internal.h"
#include "spare/pages.h"
#include "spare-testing.h"

/* What happens at the Nth read of a load. */
struct plan {
  struct rig *r;
  unsigned nth, reads;
  uint64_t failed;              /* how many have failed */
  uint64_t damage;              /* this byte changes; or, if 0, ... */
  bool forever;                 /* ... reads fail, from then on or once */
};

static void
plan_hook (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  struct plan *p = opaque;
  uint8_t byte;

  if (op != MEMDEV_READ || ++p->reads != p->nth)
    return;
  if (p->damage == 0) {
    memdev_fail (p->r->m, MEMDEV_READ, 1, EIO, p->forever);
    return;
  }
  byte = p->r->m->data[p->damage] ^ 1;
  memdev_poke (p->r->m, p->damage, &byte, 1);
}

static int
load_with (struct rig *r, struct plan *p)
{
  int err;

  p->r = r;
  p->reads = 0;
  r->m->hook = plan_hook;
  r->m->hook_opaque = p;
  err = rig_load (r);
  r->m->hook = NULL;
  p->failed = r->m->fail_hits;
  memdev_fail (r->m, 0, 0, 0, false);
  return err;
}

/* A commit of so many pages that it is read in pieces, twice: once to see
 * that it is complete, and then to apply it.
 */
static uint64_t
make_large (struct rig *r)
{
  uint64_t digest;

  rig_make (r, 64 * MIB);
  CU_ASSERT_EQUAL (do_remap (r, 0, 20, 1, 0), 0);
  CU_ASSERT_EQUAL (do_scattered (r, CHANGE_LOST, 100,
                                 (2 * WINDOW_PAGES + 9) * ENTRIES_PER_PAGE),
                   0);
  digest = rig_digest (r);
  rig_close (r, true);
  return digest;
}

/* Each read fails: once, where another try helps, and from then on. */
static void
test_read_errors (void)
{
  struct plan p = { .nth = 0 };
  uint64_t digest;
  struct rig r;
  unsigned all;

  digest = make_large (&r);
  CU_ASSERT_EQUAL_FATAL (load_with (&r, &p), 0);
  all = p.reads;
  CU_ASSERT (all >= 2 + 2 * 3);
  rig_close (&r, true);
  r.m->writes = 0;
  for (unsigned n = 1; n <= all; n++) {
    p = (struct plan) { .nth = n };
    CU_ASSERT_EQUAL_FATAL (load_with (&r, &p), 0);
    CU_ASSERT_EQUAL (p.failed, 1);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    rig_close (&r, false);
    if (n <= 2)
      continue;                 /* the headers: test-spare-format.c */

    p = (struct plan) { .nth = n, .forever = true };
    CU_ASSERT_EQUAL (load_with (&r, &p), EIO);
    CU_ASSERT (strstr (r.message.text, "can't be read") != NULL);
    CU_ASSERT_PTR_NULL (r.spare);
  }
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* Somebody writes to the log while it is read: refused, or what was there
 * before.
 */
static void
test_changes (void)
{
  static const unsigned pages[] = { 300, 1, 2, 255, 256, 257, 500 };
  const size_t n_pages = slow_tool () ? 1 : sizeof pages / sizeof pages[0];
  unsigned n, changed = 0, refused = 0;
  uint64_t digest, place;
  uint8_t byte;
  struct rig r;
  int err;

  digest = make_large (&r);
  r.read_only = true;
  for (size_t i = 0; i < n_pages; i++)
    for (n = 1; n < 100; n++) {
      struct plan p = { .nth = n };

      /* The place is known only from a header. */
      CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
      place = r.spare->hdr.area[0].offset +
        (uint64_t) pages[i] * SPARE_PAGE + 200;
      rig_close (&r, true);
      byte = r.m->data[place];
      p.damage = place;
      err = load_with (&r, &p);
      memdev_poke (r.m, place, &byte, 1);
      if (err) {
        CU_ASSERT_EQUAL (err, EINVAL);
        CU_ASSERT (strstr (r.message.text, "damaged") != NULL);
        refused++;
        changed += strstr (r.message.text, "changed while it was read") !=
          NULL;
      }
      else
        CU_ASSERT_EQUAL (rig_digest (&r), digest);
      rig_close (&r, true);
      if (p.reads < n)
        break;
    }
  CU_ASSERT (changed >= n_pages);
  CU_ASSERT (refused > changed);
  rig_free (&r);
}

/* Whether the log goes on can't be known if what follows can't be read. */
static void
test_end_unreadable (void)
{
  uint64_t digest, page;
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
  digest = rig_digest (&r);
  page = r.spare->hdr.area[0].offset + r.spare->pos * SPARE_PAGE;
  rig_close (&r, false);
  r.m->writes = 0;
  for (int i = 0; i < 2; i++) {
    memdev_set_bad (r.m, MEMDEV_READ, page + i * SPARE_PAGE, SPARE_PAGE, EIO);
    CU_ASSERT_EQUAL (rig_load (&r), EIO);
    CU_ASSERT (strstr (r.message.text, i ? "page 3 " : "page 2 ") != NULL);
    CU_ASSERT_EQUAL (r.m->writes, 0);
    memdev_set_bad (r.m, 0, page, 2 * SPARE_PAGE, 0);
  }
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* The entries of a checkpoint ascend, retired slots first; and the header has
 * the features that they need.
 */
static void
test_order (void)
{
  static const struct {
    struct log_entry e[3];
    const char *wrong;          /* what it is said to be; NULL: nothing */
  } cases[] = {
    { { { .slot = 5, .count = 2, .kind = CHANGE_RETIRE },
        { .slot = 7, .count = 1, .kind = CHANGE_RETIRE },
        { .sector = 3, .count = 2, .kind = CHANGE_LOST } }, NULL },
    { { { .slot = 5, .count = 2, .kind = CHANGE_RETIRE },
        { .slot = 6, .count = 1, .kind = CHANGE_RETIRE },
        { .sector = 3, .count = 2, .kind = CHANGE_LOST } }, "out of order" },
    { { { .slot = 5, .count = 2, .kind = CHANGE_RETIRE },
        { .sector = 3, .count = 2, .kind = CHANGE_LOST },
        { .slot = 9, .count = 1, .kind = CHANGE_RETIRE } }, "out of order" },
    { { { .sector = 3, .count = 2, .kind = CHANGE_LOST },
        { .sector = 5, .count = 2, .kind = CHANGE_ZERO },
        { .sector = 4, .count = 2, .kind = CHANGE_LOST } }, "out of order" },
    { { { .sector = 3, .count = 2, .kind = CHANGE_LOST },
        { .sector = 5, .count = 2, .kind = CHANGE_DIRECT },
        { .sector = 8, .count = 2, .kind = CHANGE_LOST } }, "out of order" },
    { { { .sector = 3, .count = 2, .kind = CHANGE_LOST },
        { .sector = 5, .count = 2, .kind = CHANGE_KEPT },
        { .sector = 8, .count = 2, .kind = CHANGE_WRITTEN } },
      "of an unknown kind" },
  };
  uint64_t page[SPARE_PAGE / 8];
  struct log_page info;
  struct rig r;

  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rig_make (&r, MIB);
    CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    const uint64_t place = r.spare->hdr.area[1].offset;

    CU_ASSERT_EQUAL (device_pread (&r.m->dev, page, SPARE_PAGE, place), 0);
    CU_ASSERT_FATAL (log_page_decode (page, &r.spare->hdr, 0, &info));
    rig_close (&r, true);
    memset (page, 0, sizeof page);
    for (info.count = 0; info.count < 3; info.count++)
      log_page_put (page, info.count, &cases[i].e[info.count]);
    log_page_encode (&info, page);
    memdev_poke (r.m, place, page, SPARE_PAGE);
    CU_ASSERT_EQUAL (rig_load (&r), cases[i].wrong ? EINVAL : 0);
    if (cases[i].wrong)
      CU_ASSERT (strstr (r.message.text, cases[i].wrong) != NULL);
    rig_free (&r);
  }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "reads fail (promise 15)", test_read_errors },
    { "the log changes meanwhile (promise 23)", test_changes },
    { "what follows can't be read (promise 15)", test_end_unreadable },
    { "a checkpoint out of order (promise 23)", test_order },
    { NULL }
  };

  return run_tests (argc, argv, "spare-replay", tests);
}
