/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Slots: what is asked of those that there aren't, growth while some are
 * being taken, and two things that go wrong at once (promises 8, 17, 18
 * and 23 of remap-promises(7)).
 *
 * Linked with --wrap, see fail-malloc.h, and for pthread_mutex_lock.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "fail-malloc.h"
#include "spare/internal.h"
#include "spare-testing.h"

/* Called before the Nth time that the spare's slots are locked. */
static struct rig *lock_rig;
static unsigned lock_countdown;
static void (*lock_hook) (struct rig *r);

extern int __real_pthread_mutex_lock (pthread_mutex_t *m);
extern int __wrap_pthread_mutex_lock (pthread_mutex_t *m);

int
__wrap_pthread_mutex_lock (pthread_mutex_t *m)
{
  if (lock_countdown > 0 && m == &lock_rig->spare->alloc_lock &&
      --lock_countdown == 0)
    lock_hook (lock_rig);
  return __real_pthread_mutex_lock (m);
}

static void
grow_now (struct rig *r)
{
  CU_ASSERT_EQUAL (spare_grow (r->spare, 4 * MIB, &r->message), 0);
}

static void
check_content (struct rig *r, sector_t sector, uint64_t v)
{
  const struct run run = map_lookup (r->map, sector, 1);
  uint8_t buf[512], want[512];

  CU_ASSERT_EQUAL_FATAL (run.state, REMAPPED);
  CU_ASSERT_EQUAL (spare_read (r->spare, buf, run.slot, 1), 0);
  fill (want, sector, 1, v);
  CU_ASSERT_EQUAL (memcmp (buf, want, sizeof buf), 0);
}

/* The spare grows when somebody is about to take a slot: one of the new ones
 * is taken, and is where the new geometry says.
 */
static void
test_grows_before (void)
{
  struct spare_status st;
  struct rig r;

  rig_make (&r, MIB);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (do_remap (&r, 10, st.slots_total - 1, 1, 0), 0);
  /* The last one is free, but was looked at last time. */
  r.spare->cursor = st.slots_total;
  memdev_resize (r.m, 4 * MIB);
  lock_rig = &r;
  lock_hook = grow_now;
  lock_countdown = 2;           /* after it was seen that one is free */
  CU_ASSERT_EQUAL (do_remap (&r, 5, 1, 2, 0), 0);
  CU_ASSERT_EQUAL (lock_countdown, 0);
  CU_ASSERT (map_lookup (r.map, 5, 1).slot >= st.slots_total);
  for (int i = 0; i < 2; i++) {
    check_content (&r, 5, 2);
    check_content (&r, 10, 1);
    check_content (&r, 10 + st.slots_total - 2, 1);
    rig_reload (&r);
  }
  CU_ASSERT_EQUAL (r.m->outside, 0);
  rig_free (&r);
}

static void
grow_hook (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  struct rig *r = opaque;

  if (op != MEMDEV_ALLOCATE)
    return;
  r->m->hook = NULL;
  grow_now (r);
}

/* It grows while room is made below the last slots: those that it got
 * meanwhile have none yet, so room is made again (promise 17).
 */
static void
test_grows_meanwhile (void)
{
  struct spare_status st;
  uint64_t allocates;
  struct rig r;

  rig_make (&r, MIB);
  memdev_resize (r.m, 4 * MIB);
  r.m->hook = grow_hook;
  r.m->hook_opaque = &r;
  CU_ASSERT_EQUAL (do_remap (&r, 5, 1, 2, 0), 0);
  CU_ASSERT_PTR_NULL (r.m->hook);
  allocates = r.m->allocates;
  CU_ASSERT_EQUAL (do_remap (&r, 7, 1, 2, 0), 0);
  CU_ASSERT (r.m->allocates > allocates);
  /* Once is enough. */
  allocates = r.m->allocates;
  CU_ASSERT_EQUAL (do_remap (&r, 9, 1, 2, 0), 0);
  CU_ASSERT_EQUAL (r.m->allocates, allocates);

  /* All of them have room: that's all that the device has. */
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (do_remap (&r, 5000, st.slots_free, 3, 0), 0);
  for (int i = 0; i < 2; i++) {
    check_content (&r, 5, 2);
    check_content (&r, 9, 2);
    check_content (&r, 5000 + st.slots_free - 1, 3);
    rig_reload (&r);
  }
  rig_free (&r);
}

/* Room for slots can't be had, for this reason or that. */
static void
test_allocate_fails (void)
{
  static const struct { int err, expected; } cases[] = {
    { ENOSPC, ENOSPC }, { EFBIG, ENOSPC }, { ENOMEM, ENOMEM }, { EIO, EIO },
    { ENXIO, EIO },
  };
  struct spare_status st;
  uint64_t digest;
  struct rig r;

  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rig_make (&r, MIB);
    digest = rig_digest (&r);
    memdev_fail (r.m, MEMDEV_ALLOCATE, 1, cases[i].err, false);
    CU_ASSERT_EQUAL (do_remap (&r, 5, 3, 2, 0), cases[i].expected);
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.full, cases[i].expected == ENOSPC);
    CU_ASSERT_EQUAL (st.slots_used + st.slots_retired, 0);
    CU_ASSERT_FALSE (st.failed);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    CU_ASSERT_EQUAL (do_remap (&r, 5, 3, 2, 0), 0);
    check_content (&r, 7, 2);
    rig_free (&r);
  }
}

/* Slots and bytes that there aren't. */
static void
test_bounds (void)
{
  struct spare_status st;
  uint8_t buf[1024] = { 0 };
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 5, 2, 2, 0), 0);
  spare_get_status (r.spare, &st);
  const uint64_t n = st.slots_total;

  r.m->reads = r.m->writes = 0;
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, n + 1, 0), EIO);
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, UINT64_MAX, 1), EIO);
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, n - 1, 2), EIO);
  CU_ASSERT_EQUAL (spare_read_part (r.spare, buf, 0, 513, 0), EIO);
  CU_ASSERT_EQUAL (spare_read_part (r.spare, buf, 0, UINT32_MAX, 2), EIO);
  CU_ASSERT_EQUAL (spare_read_part (r.spare, buf, 0, 2, UINT32_MAX), EIO);
  CU_ASSERT_EQUAL (spare_read_part (r.spare, buf, n, 0, 1), EIO);
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, 0, 0), 0);
  CU_ASSERT_EQUAL (spare_write (r.spare, buf, n, 0), 0);
  CU_ASSERT_EQUAL (spare_read (r.spare, buf, n, 0), 0);
  CU_ASSERT_EQUAL (r.m->reads + r.m->writes, 0);
  CU_ASSERT_EQUAL (spare_read_part (r.spare, buf, 0, 512, 0), 0);
  CU_ASSERT_FALSE (spare_failed (r.spare));
  check_content (&r, 5, 2);
  rig_free (&r);
}

/* A slot can't be written, and there is no memory to note that: it isn't
 * given out again all the same (promise 17); and the eighth of them is the
 * end, note or not.
 */
static void
test_no_memory_for_bad (void)
{
  struct change_list list;
  struct spare_status st;
  uint8_t buf[512] = { 0 };
  uint64_t base, digest;
  struct rig r;

  for (int before = 0; before <= 7; before += 7) {
    rig_make (&r, MIB);
    base = r.spare->hdr.segment[0].offset;
    CU_ASSERT_EQUAL (do_remap (&r, 5, 64, 2, 0), 0);
    digest = rig_digest (&r);
    memdev_set_bad (r.m, MEMDEV_WRITE, base, 65 * 512, EIO);
    for (slot_t slot = 0; slot < (slot_t) before * 8; slot += 8)
      CU_ASSERT_EQUAL (spare_write (r.spare, buf, slot, 1), EIO);
    CU_ASSERT_FALSE (spare_failed (r.spare));

    memset (&list, 0, sizeof list);
    malloc_countdown = 1;
    CU_ASSERT_EQUAL (spare_store (r.spare, &list, 500, buf, 1, 0), ENOMEM);
    CU_ASSERT_EQUAL (malloc_countdown, 0);
    CU_ASSERT_EQUAL (list.n, 0);
    CU_ASSERT_EQUAL (spare_failed (r.spare), before == 7);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    if (before == 0) {
      CU_ASSERT_EQUAL (spare_store (r.spare, &list, 500, buf, 1, 0), 0);
      CU_ASSERT_EQUAL_FATAL (list.n, 1);
      CU_ASSERT_EQUAL (list.v[0].slot, 65);
      CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
      spare_get_status (r.spare, &st);
      CU_ASSERT_EQUAL (st.slots_used, 64 + 1 + 1);
    }
    else
      CU_ASSERT_EQUAL (spare_store (r.spare, &list, 500, buf, 1, 0), EIO);
    change_list_free (&list);
    rig_free (&r);
  }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "growth before a slot is taken (promise 18)", test_grows_before },
    { "growth while room is made (promise 17)", test_grows_meanwhile },
    { "no room for slots (promise 18)", test_allocate_fails },
    { "slots that there aren't (promise 23)", test_bounds },
    { "a bad slot, and no memory (promise 17)", test_no_memory_for_bad },
    { NULL }
  };

  return run_tests (argc, argv, "spare-slots", tests);
}
