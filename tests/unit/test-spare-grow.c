/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare: a log that is full, and growth.
 *
 * TEST_SEED=N repeats a run of the random tests.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "spare/internal.h"
#include "spare/layout.h"
#include "spare-testing.h"

static uint64_t seed;

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

/* What makes the state smaller, or leaves it as large as it is, always finds
 * room (promise 18).  BY_ONE: in commits of one change.
 */
static void
check_shrinks (bool by_one)
{
  const struct attribute b = {
    .tag = "side", .len = 1, .data = (const uint8_t *) "b",
  };
  struct change_list list = { 0 };
  struct spare_status st;
  struct attribute *a;
  struct rig r;
  uint64_t digest, n;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_attribute (&r, "side", 0, 0, "a", 1), 0);
  CU_ASSERT_EQUAL (do_attribute (&r, "zzz", 5, 0, "zzzzz", 5), 0);
  for (n = 0; n < 500; n++)
    CU_ASSERT_EQUAL (do_remap (&r, 50000 + 2 * n, 1, n, 1), 0);
  for (n = 0; n < 20000 && do_change (&r, CHANGE_LOST, 2 * n, 1, 2) == 0; n++)
    ;
  CU_ASSERT (n > 2000 && n < 20000);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 40001, 1, 0), ENOSPC);

  /* What is LOST is forgotten: the state is as large as it was. */
  for (uint64_t i = 0; i < n; i++) {
    if (by_one) {
      CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 2 * i, 1, WHY_MANUAL), 0);
      continue;
    }
    const struct change c = {
      .sector = 2 * i, .count = 1, .kind = CHANGE_ZERO, .reason = WHY_MANUAL,
    };
    CU_ASSERT_EQUAL_FATAL (change_list_add (&list, &c), 0);
  }
  CU_ASSERT_EQUAL (change_list_add_attribute (&list, &b), 0);
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  change_list_free (&list);
  CU_ASSERT_EQUAL (map_lookup (r.map, 2 * n - 2, 1).state, ZERO);
  CU_ASSERT (spare_next_attribute (r.spare, "side", 0, &a));
  CU_ASSERT_EQUAL (a->data[0], 'b');
  free (a);
  digest = rig_digest (&r);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 40001, 1, 0), ENOSPC);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 40001, 1, 0), ENOSPC);

  /* The whole disk becomes zeroes: one run, and all slots are free. */
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 0, MAIN_SECTORS, 6), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_free, st.slots_total);
  digest = rig_digest (&r);
  rig_close (&r, false);
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  for (uint64_t i = 0; i < 1000; i++)
    CU_ASSERT_EQUAL_FATAL (do_change (&r, CHANGE_LOST, 2 * i, 1, 0), 0);
  rig_free (&r);
}

static void
test_full_shrinks (void)
{
  check_shrinks (false);
  check_shrinks (true);
}

/* The same, but each write and each flush of it fails. */
static void
test_full_shrink_fails (void)
{
  static const struct { unsigned ops; int err; } how[] = {
    { MEMDEV_WRITE, ENOSPC }, { MEMDEV_WRITE, EIO }, { MEMDEV_FLUSH, EIO },
  };
  uint64_t before, digest;
  unsigned n;
  struct rig r;
  int err;

  for (size_t i = 0; i < sizeof how / sizeof how[0]; i++) {
    for (n = 1; n < 20; n++) {
      rig_make (&r, MIB);
      for (uint64_t j = 0; do_scattered (&r, CHANGE_LOST, 248 * j, 124) == 0;
           j++)
        ;
      before = rig_digest (&r);
      memdev_fail (r.m, how[i].ops, n, how[i].err, false);
      err = do_scattered (&r, CHANGE_ZERO, 0, 1000);
      const bool hit = r.m->fail_hits > 0;
      digest = rig_digest (&r);
      CU_ASSERT (err ? digest == before : digest != before);
      CU_ASSERT_EQUAL (spare_failed (r.spare), err == EIO);
      CU_ASSERT (hit || err == 0);
      memdev_fail (r.m, 0, 0, 0, false);
      rig_close (&r, false);
      CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
      /* After EIO it may have happened. */
      if (err != EIO)
        CU_ASSERT_EQUAL (rig_digest (&r), digest);
      CU_ASSERT_EQUAL (do_scattered (&r, CHANGE_ZERO, 0, 1000), 0);
      rig_free (&r);
      if (!hit)
        break;
    }
    CU_ASSERT (n > 3 && n < 20);
  }
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

/* So little that there is no slot more, or no log for it. */
static void
test_grow_little (void)
{
  struct spare_status st;
  uint64_t digest, slots;
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
  digest = rig_digest (&r);
  spare_get_status (r.spare, &st);
  slots = st.slots_total;
  memdev_resize (r.m, MIB + 1024);
  for (uint64_t size = MIB + 100; size < MIB + 1024; size += 411) {
    CU_ASSERT_EQUAL (spare_grow (r.spare, size, &r.message), 0);
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.size, size);
    CU_ASSERT_EQUAL (st.slots_total, slots + (size - MIB) / 512);
    rig_reload (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
  }
  /* What no spare can be. */
  CU_ASSERT_EQUAL (spare_grow (r.spare, UINT64_MAX, &r.message), EINVAL);
  CU_ASSERT_EQUAL (spare_grow (r.spare, (uint64_t) INT64_MAX + 1,
                               &r.message), EINVAL);
  CU_ASSERT_EQUAL (spare_grow (r.spare, MAP_MAX_SLOT * 512, &r.message),
                   EINVAL);
  CU_ASSERT (strstr (r.message.text, "can't be made") != NULL);
  CU_ASSERT_EQUAL (spare_grow (r.spare, 1, NULL), EINVAL);
  CU_ASSERT_FALSE (spare_failed (r.spare));
  rig_free (&r);

  /* A full log: a page alone is no room for a larger one. */
  rig_make (&r, MIB + 100);
  for (uint64_t i = 0; do_change (&r, CHANGE_LOST, i * 2, 1, 0) == 0; ++i)
    ;
  digest = rig_digest (&r);
  memdev_resize (r.m, MIB + 4096);
  CU_ASSERT_EQUAL (spare_grow (r.spare, MIB + 700, &r.message), ENOSPC);
  CU_ASSERT (strstr (r.message.text, "enlarge it more") != NULL);
  CU_ASSERT_EQUAL (spare_grow (r.spare, MIB + 4096, &r.message), ENOSPC);
  CU_ASSERT (strstr (r.message.text, "enlarge it more") != NULL);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* Writes both headers of a spare that is closed. */
static void
poke_headers (struct rig *r, const struct header *h)
{
  uint64_t page[SPARE_PAGE / 8];

  header_encode (h, page);
  for (int copy = 0; copy < 2; copy++)
    memdev_poke (r->m, copy * HEADER_B_PAGE * SPARE_PAGE, page, SPARE_PAGE);
}

/* As many segments as there can be: the last one grows on, but there can't be
 * another, and that is what is said then, however much is added.
 */
static void
test_grow_segments (void)
{
  static const uint64_t sizes[] = { 3 * MIB, 8 * MIB };
  struct spare_status st;
  uint64_t digest, i;
  struct rig r;

  rig_make (&r, MIB);
  struct header h = r.spare->hdr;

  rig_close (&r, true);
  h.nsegments = MAX_SEGMENTS;
  for (i = 1; i < MAX_SEGMENTS; i++) {
    h.segment[i].offset = h.segment[i-1].offset + 512;
    h.segment[i].nslots = h.segment[i-1].nslots - 1;
    h.segment[i-1].nslots = 1;
  }
  poke_headers (&r, &h);
  memdev_resize (r.m, 8 * MIB);
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 100, 1, 0), 0);
  CU_ASSERT_EQUAL (spare_grow (r.spare, MIB + 1024, &r.message), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_total, header_slots (&h) + 2);
  digest = rig_digest (&r);
  for (i = 0; i < 2; i++) {
    CU_ASSERT_EQUAL (spare_grow (r.spare, sizes[i], &r.message), ENOSPC);
    CU_ASSERT (strstr (r.message.text, "grown too often") != NULL);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    rig_reload (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.size, MIB + 1024);
  }
  CU_ASSERT_EQUAL (do_remap (&r, 5000, st.slots_free, 7, 0), 0);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (r.m->outside, 0);

  /* A last one that doesn't reach the end of the spare. */
  h = r.spare->hdr;
  rig_close (&r, true);
  h.size = h.claimed = MIB + 4096;
  poke_headers (&r, &h);
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  for (i = 0; i < 2; i++) {
    CU_ASSERT_EQUAL (spare_grow (r.spare, i ? 2 * MIB : MIB + 5000,
                                 &r.message), ENOSPC);
    CU_ASSERT (strstr (r.message.text, "grown too often") != NULL);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
  }
  /* What is too little for a slot needs no segment. */
  CU_ASSERT_EQUAL (spare_grow (r.spare, MIB + 4096 + 100, &r.message), 0);
  CU_ASSERT_EQUAL (header_slots (&r.spare->hdr), header_slots (&h));
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* Log areas that aren't of one size, as another program may make them: the
 * smaller one counts.  Slots that fit into the larger one alone need others.
 */
static void
check_unequal (unsigned smaller, bool too_many)
{
  uint64_t fits, size, digest;
  struct header h;
  struct rig r;

  rig_make (&r, 4 * MIB);
  h = r.spare->hdr;
  rig_close (&r, true);
  h.area[smaller].pages -= 20;
  h.high_water = h.area[0].pages;
  poke_headers (&r, &h);
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
  memdev_resize (r.m, 8 * MIB);
  digest = rig_digest (&r);

  /* With 8 pages for commits beside them. */
  fits = (h.area[smaller].pages - 8) * ENTRIES_PER_PAGE;
  size = 4 * MIB + (fits - header_slots (&h) + 2000 * too_many) * 512;
  CU_ASSERT_EQUAL (spare_grow (r.spare, size, &r.message), 0);
  CU_ASSERT_EQUAL (r.spare->hdr.area[smaller].offset == h.area[smaller].offset,
                   !too_many);
  if (!too_many)
    CU_ASSERT_EQUAL (header_slots (&r.spare->hdr), fits);
  for (int i = 0; i < 2; i++) {
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    rig_reload (&r);
    CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  }
  CU_ASSERT_EQUAL (r.m->outside, 0);
  rig_free (&r);
}

static void
test_grow_unequal (void)
{
  for (unsigned smaller = 0; smaller < 2; smaller++) {
    check_unequal (smaller, false);
    check_unequal (smaller, true);
  }
}

/* How often it was said that it is time to enlarge the spare. */
static unsigned low;

static void
count_low (void *opaque)
{
  low++;
}

static unsigned
said_low (void)
{
  const unsigned n = low;

  low = 0;
  return n;
}

static void
make_telling (struct rig *r)
{
  rig_init (r, memdev_new (MIB));
  r->env.low = count_low;
  CU_ASSERT_EQUAL_FATAL (rig_format (r, MIB), 0);
  low = 0;
}

/* It is time to enlarge it: said by each commit that leaves few slots, or
 * little of the log, whether or not it has succeeded, and by whoever gets no
 * slot; not by one that failed for another reason.
 */
static void
test_low (void)
{
  uint64_t i, eighth;
  struct rig r;
  int err = 0;

  make_telling (&r);
  eighth = r.spare->nslots / 8;
  CU_ASSERT_EQUAL (do_remap (&r, 0, r.spare->nslots - eighth, 1, 0), 0);
  CU_ASSERT_EQUAL (said_low (), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 10000, 1, 1, 0), 0);
  CU_ASSERT_EQUAL (said_low (), 1);
  CU_ASSERT_EQUAL (do_remap (&r, 20000, eighth, 1, 0), ENOSPC);
  CU_ASSERT_EQUAL (said_low (), 1);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_DIRECT, 0, 10, 0), 0);
  CU_ASSERT_EQUAL (said_low (), 0);
  rig_free (&r);

  make_telling (&r);
  for (i = 0; said_low () == 0 && i < 20000; i++)
    CU_ASSERT_EQUAL_FATAL (do_change (&r, CHANGE_LOST, 2 * i, 1, 0), 0);
  CU_ASSERT (i < 20000);
  for (; err == 0 && i < 20000; i++) {
    err = do_change (&r, CHANGE_LOST, 2 * i, 1, 0);
    CU_ASSERT_EQUAL_FATAL (said_low (), 1);
  }
  CU_ASSERT_EQUAL (err, ENOSPC);
  memdev_fail (r.m, MEMDEV_MODIFY | MEMDEV_FLUSH, 1, EIO, true);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 0, 1, 0), EIO);
  CU_ASSERT_EQUAL (said_low (), 0);
  memdev_fail (r.m, 0, 0, 0, false);
  rig_free (&r);

  /* No slot of one that has failed: enlarging it would not help. */
  make_telling (&r);
  memdev_fail (r.m, MEMDEV_FLUSH, 1, EIO, false);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 1, 1, 0), EIO);
  CU_ASSERT_EQUAL (do_remap (&r, 0, r.spare->nslots + 1, 1, 0), EIO);
  CU_ASSERT_EQUAL (said_low (), 0);
  rig_free (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "a log full of LOST runs (promise 18)", test_record_full },
    { "a full log, and less state (promise 18)", test_full_shrinks },
    { "that fails (promises 15, 18)", test_full_shrink_fails },
    { "growth of a full log", test_grow_record_full },
    { "no room for reasons", test_notes_full },
    { "growth", test_grow },
    { "growth that fails", test_grow_errors },
    { "growth by a little", test_grow_little },
    { "too many segments", test_grow_segments },
    { "areas of two sizes", test_grow_unequal },
    { "it is time to enlarge it", test_low },
    { NULL }
  };

  seed = test_seed ();
  return run_tests (argc, argv, "spare-grow", tests);
}
