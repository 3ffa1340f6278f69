/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a spare costs: storage that it allocates (promise 17 of
 * remap-promises(7)), and that what it needs follows its state and not its
 * size.  Bytes and pages are counted, of disks of 20 TB.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "spare/internal.h"
#include "spare/room.h"
#include "spare-testing.h"

#define TB UINT64_C (1000000000000)

/* A new spare of a disk of 20 TB. */
static void
make_large (struct rig *r)
{
  rig_init (r, memdev_new (spare_default_size (20 * TB)));
  r->main_size = 20 * TB;
  CU_ASSERT_EQUAL_FATAL (rig_format (r, r->m->size), 0);
}

static uint64_t
storage (struct rig *r, uint64_t from, uint64_t to)
{
  uint64_t n = 0;

  for (uint64_t i = from / SPARE_PAGE; i < to / SPARE_PAGE; i++)
    n += r->m->has_storage[i];
  return n * SPARE_PAGE;
}

/* Does each page of the log that may be needed have storage? */
static void
check_reserve (struct rig *r)
{
  const struct header *h = &r->spare->hdr;

  for (unsigned i = 0; i < 2; i++) {
    const uint64_t pages = min_u64 (h->high_water + ROOM_RESERVE,
                                    h->area[i].pages);

    CU_ASSERT_EQUAL_FATAL (
      storage (r, h->area[i].offset, h->area[i].offset + pages * SPARE_PAGE),
      pages * SPARE_PAGE);
  }
}

static void
test_default_size (void)
{
  CU_ASSERT_EQUAL (spare_default_size (0), 64 * MIB);
  CU_ASSERT_EQUAL (spare_default_size (64 * 1024 * MIB), 1024 * MIB);
  CU_ASSERT_EQUAL (spare_default_size (256 * 1024 * MIB), 4096 * MIB);
  CU_ASSERT_EQUAL (spare_default_size (20 * TB), 4096 * MIB);
  CU_ASSERT_EQUAL (spare_default_size (INT64_MAX), 4096 * MIB);
}

/* A new spare allocates 64 MiB at most, whatever its size. */
static void
test_new (void)
{
  static const uint64_t sizes[] = { MIB, 40 * MIB, 64 * MIB, 4096 * MIB };
  struct rig r;

  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    rig_make (&r, sizes[i]);
    CU_ASSERT (storage (&r, 0, r.m->size) <= 64 * MIB);
    check_reserve (&r);
    rig_reload (&r);
    CU_ASSERT (storage (&r, 0, r.m->size) <= 64 * MIB);
    rig_free (&r);
  }
}

/* Each piece of storage may be what there is no room for: nothing is written,
 * and it can be made later.
 */
static void
test_no_room (void)
{
  for (unsigned n = 1; n <= 2; n++) {
    struct rig r;

    rig_init (&r, memdev_new (4096 * MIB));
    memdev_fail (r.m, MEMDEV_ALLOCATE, n, ENOSPC, false);
    CU_ASSERT_EQUAL (rig_format (&r, r.m->size), ENOSPC);
    CU_ASSERT_EQUAL (r.m->fail_hits, 1);
    CU_ASSERT_EQUAL (r.m->allocates, n);
    CU_ASSERT_EQUAL (r.m->writes, 0);
    CU_ASSERT_PTR_NOT_NULL (strstr (r.message.text, strerror (ENOSPC)));
    memdev_fail (r.m, 0, 0, 0, false);
    CU_ASSERT_EQUAL_FATAL (rig_format (&r, r.m->size), 0);
    rig_free (&r);
  }
}

/* Room is made before the log comes to it, in both areas. */
static void
test_ahead (void)
{
  uint64_t digest;
  struct rig r;

  make_large (&r);
  for (unsigned i = 0; i < 20; i++) {
    CU_ASSERT_EQUAL_FATAL (do_scattered (&r, CHANGE_LOST, UINT64_C (50000) * i,
                                         160 * ENTRIES_PER_PAGE), 0);
    check_reserve (&r);
  }
  CU_ASSERT (r.spare->hdr.high_water >= 2048);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  check_reserve (&r);
  rig_free (&r);
}

/* A checkpoint may end further on than the log that it replaces, for which the
 * reserve was made.
 */
static void
test_ahead_of_checkpoint (void)
{
  struct rig r;

  make_large (&r);
  for (unsigned i = 0; i < 4; i++) {
    CU_ASSERT_EQUAL_FATAL (do_scattered (&r, CHANGE_LOST, UINT64_C (50000) * i,
                                         160 * ENTRIES_PER_PAGE), 0);
    CU_ASSERT_EQUAL_FATAL (spare_checkpoint (r.spare), 0);
    check_reserve (&r);
  }
  rig_free (&r);
}

/* So may one into areas that growth has placed elsewhere: here of one run with
 * many reasons.
 */
static void
test_ahead_of_growth (void)
{
  struct change c = { .kind = CHANGE_LOST, .count = 1, .slot = NO_SLOT };
  struct change_list list = { 0 };
  struct rig r;

  rig_init (&r, memdev_new (4096 * MIB));
  r.main_size = 20 * TB;
  CU_ASSERT_EQUAL_FATAL (rig_format (&r, 64 * MIB), 0);
  for (; c.sector < 160 * ENTRIES_PER_PAGE; c.sector++) {
    c.reason = c.sector % 2 ? WHY_CLIENT : WHY_MANUAL;
    CU_ASSERT_EQUAL_FATAL (change_list_add (&list, &c), 0);
  }
  CU_ASSERT_EQUAL_FATAL (spare_commit (r.spare, &list, NULL), 0);
  change_list_free (&list);
  CU_ASSERT_EQUAL_FATAL (spare_grow (r.spare, 4096 * MIB, &r.message), 0);
  CU_ASSERT (r.spare->hdr.checkpoint_pages >= 160);
  check_reserve (&r);
  rig_free (&r);
}

/* The filesystem is full, from the beginning or later: no slot can be taken,
 * but as many runs can be recorded as LOST as the reserve has entries for,
 * across a restart too.
 */
static void
check_full (unsigned before)
{
  const size_t n = ENTRIES_PER_PAGE;
  uint64_t first = 0, digest;
  unsigned done = 0;
  struct rig r;
  int err;

  make_large (&r);
  for (unsigned i = 0; i < before; i++, first += 3 * n)
    CU_ASSERT_EQUAL_FATAL (do_scattered (&r, CHANGE_LOST, first, n), 0);
  memdev_set_room (r.m, 0);
  CU_ASSERT_EQUAL (do_remap (&r, 10 * TB / 512, 1, 1, 0), ENOSPC);
  do {
    err = do_scattered (&r, CHANGE_LOST, first, n);
    first += 3 * n;
    done += err == 0;
    if (done == ROOM_RESERVE / 2 && err == 0)
      rig_reload (&r);
  } while (err == 0 && done < 10 * ROOM_RESERVE);
  CU_ASSERT_EQUAL (err, ENOSPC);
  /* Pages with entries; a 64th of an area is left for commits. */
  CU_ASSERT (done >= ROOM_RESERVE);
  CU_ASSERT_FALSE (spare_failed (r.spare));
  CU_ASSERT_EQUAL (r.m->room, 0);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 10 * TB / 512, 1, 0), ENOSPC);

  memdev_set_room (r.m, UINT64_MAX);
  CU_ASSERT_EQUAL (do_scattered (&r, CHANGE_LOST, first, n), 0);
  check_reserve (&r);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

static void
test_full (void)
{
  check_full (0);
  check_full (1500);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "the default size", test_default_size },
    { "storage of a new spare (promise 17)", test_new },
    { "room ahead of the log (promise 17)", test_ahead },
    { "room behind a checkpoint (promise 17)", test_ahead_of_checkpoint },
    { "room behind a moved log (promise 17)", test_ahead_of_growth },
    { "LOST on a full filesystem (promises 17, 18)", test_full },
    { "no room for a new one (promise 17)", test_no_room },
    { NULL }
  };

  return run_tests (argc, argv, "spare-size", tests);
}
