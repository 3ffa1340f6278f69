/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Backups of a spare that is in use: what a copy holds, and what becomes of
 * the spare meanwhile (promises 1 and 20 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "spare/backup.h"
#include "spare/internal.h"
#include "spare/slots.h"
#include "spare-testing.h"

static int
backup (struct rig *r, struct memdev *out, struct backup_result *result)
{
  return spare_backup (r->spare, &out->dev, NULL, NULL, result, &r->message);
}

/* The copy, opened; *OUT has become its device. */
static void
open_copy (struct rig *copy, struct memdev *out)
{
  rig_init (copy, out);
  CU_ASSERT_EQUAL_FATAL (rig_load (copy), 0);
}

static void
check_at_rest (struct rig *r)
{
  CU_ASSERT_PTR_NULL (r->spare->kept);
  CU_ASSERT_EQUAL (r->spare->nkept, 0);
}

/* All but the place in the history. */
static void
compare (struct rig *r, struct rig *copy, const struct backup_result *result)
{
  uint64_t commit, time;

  CU_ASSERT_FATAL (spare_was_backup (copy->spare, &commit, &time));
  CU_ASSERT_EQUAL (commit, result->commit);
  CU_ASSERT_EQUAL (time, r->now);
  CU_ASSERT_EQUAL (do_attribute (copy, "history", 0, 0, NULL, 0), 0);
  CU_ASSERT_EQUAL (rig_digest (copy), rig_digest (r));
}

/* Everything is in the copy, and the spare is the newer one of the two. */
static void
test_same (void)
{
  struct rig r, copy;
  struct backup_result result;
  struct spare_status st;
  uint64_t seed = 7;

  for (unsigned round = 0; round < 4; round++) {
    rig_make (&r, 2 * MIB);
    for (unsigned i = 0; i < 200; i++)
      do_random (&r, &seed, 20);
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 2900, 3, 0), 0);
    if (round & 1)
      CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    if (round & 2) {
      memdev_resize (r.m, 4 * MIB);
      CU_ASSERT_EQUAL (spare_grow (r.spare, 4 * MIB, &r.message), 0);
      do_random (&r, &seed, 20);
    }
    struct memdev *out = memdev_new (r.m->size);

    CU_ASSERT_EQUAL (backup (&r, out, &result), 0);
    check_at_rest (&r);
    CU_ASSERT_EQUAL (result.size, r.m->size);
    CU_ASSERT_EQUAL (result.lost, 0);
    CU_ASSERT (result.is_older);
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.commit_number, result.commit + 1);
    CU_ASSERT_EQUAL (memdev_unflushed (out, out->nevents), 0);

    open_copy (&copy, out);
    spare_get_status (copy.spare, &st);
    CU_ASSERT_EQUAL (st.commit_number, result.commit);
    compare (&r, &copy, &result);
    rig_reload (&copy);
    CU_ASSERT_EQUAL (rig_digest (&copy), rig_digest (&r));
    rig_free (&copy);
    rig_free (&r);
  }
}

/* Reasons and times come along; only what is used is written. */
static void
test_notes_and_room (void)
{
  enum change_reason reason;
  struct backup_result result;
  struct rig r, copy;
  struct memdev *out;
  uint64_t time;

  rig_make (&r, 32 * MIB);
  r.now = 12345;
  CU_ASSERT_EQUAL (do_remap (&r, 100, 8, 1, WHY_IMPORT), 0);
  r.now = 99999;
  out = memdev_new (r.m->size);
  CU_ASSERT_EQUAL (backup (&r, out, &result), 0);
  CU_ASSERT_EQUAL (result.sectors, 8);
  /* A page of the log, two headers, and one of slots. */
  CU_ASSERT (out->bytes_written <= 4 * SPARE_PAGE);
  open_copy (&copy, out);
  CU_ASSERT (log_note (&copy, CHANGE_REMAP, 100, &reason, &time));
  CU_ASSERT_EQUAL (reason, WHY_IMPORT);
  CU_ASSERT_EQUAL (time, 12345);
  rig_free (&copy);
  rig_free (&r);
}

/* Writers, at each write of the copy. */
struct busy {
  struct rig *r;
  uint64_t seed;
  uint64_t now[2000];           /* the version of each sector; 0: none */
  unsigned skip, changes;
  bool second;                  /* a backup is tried as well */
};

#define BUSY_SECTORS 600

static void
change_while_copied (void *opaque, enum memdev_op op, uint64_t offset,
                     uint64_t count)
{
  struct busy *b = opaque;
  const sector_t sector = memdev_random (&b->seed) % BUSY_SECTORS;
  struct backup_result result;

  if (op != MEMDEV_WRITE || b->skip++ % 2 == 0)
    return;
  /* A slot that is free is taken at once. */
  b->r->spare->cursor = 0;
  b->changes++;
  if (b->second)
    CU_ASSERT_EQUAL (spare_backup (b->r->spare, &b->r->m->dev, NULL, NULL,
                                   &result, NULL), EBUSY);
  if (b->changes % 3 == 0) {
    CU_ASSERT_EQUAL (do_change (b->r, CHANGE_ZERO, 2 * sector, 1, 0), 0);
    return;
  }
  CU_ASSERT_EQUAL (do_remap (b->r, 2 * sector, 1, 100 + b->changes, 0), 0);
}

/* Each sector of the copy reads as it did when the backup was begun. */
static void
test_while_in_use (void)
{
  struct busy b = { .seed = 3, .second = true };
  struct backup_result result;
  struct rig r, copy;
  struct memdev *out;
  uint8_t buf[512], want[512];
  struct run run;

  rig_make (&r, MIB);
  for (unsigned i = 0; i < BUSY_SECTORS; i++)
    CU_ASSERT_EQUAL (do_remap (&r, 2 * i, 1, 1, 0), 0);
  out = memdev_new (r.m->size);
  b.r = &r;
  out->hook = change_while_copied;
  out->hook_opaque = &b;
  CU_ASSERT_EQUAL_FATAL (backup (&r, out, &result), 0);
  out->hook = NULL;
  CU_ASSERT (b.changes > 250);
  check_at_rest (&r);
  open_copy (&copy, out);
  for (unsigned i = 0; i < BUSY_SECTORS; i++) {
    run = map_lookup (copy.map, 2 * i, 1);
    CU_ASSERT_EQUAL_FATAL (run.state, REMAPPED);
    CU_ASSERT_EQUAL (spare_read (copy.spare, buf, run.slot, 1), 0);
    fill (want, 2 * i, 1, 1);
    CU_ASSERT_EQUAL (memcmp (buf, want, 512), 0);
  }
  rig_free (&copy);
  /* What the spare gave up meanwhile is free again. */
  rig_reload (&r);
  rig_free (&r);
}

static void
use_last_slots (void *opaque, enum memdev_op op, uint64_t offset,
                uint64_t count)
{
  struct rig *r = opaque;

  if (op != MEMDEV_WRITE)
    return;
  CU_ASSERT_EQUAL (do_change (r, CHANGE_ZERO, 0, 1, 0), 0);
  CU_ASSERT_EQUAL (do_remap (r, 0, 1, 5, 0), 0);
}

/* A write comes first: the backup is given up. */
static void
test_full (void)
{
  struct backup_result result;
  struct spare_status st;
  struct memdev *out;
  struct rig r;

  rig_make (&r, MIB);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 1, 1, 0), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 2, st.slots_free - 1, 1, 0), 0);
  out = memdev_new (r.m->size);
  out->hook = use_last_slots;
  out->hook_opaque = &r;
  CU_ASSERT_EQUAL (backup (&r, out, &result), EAGAIN);
  check_at_rest (&r);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_free, 0);
  CU_ASSERT_EQUAL (st.slots_used, st.slots_total);
  memdev_free (out);

  /* Status: what is kept is free for whoever needs it. */
  CU_ASSERT_EQUAL (slots_keep_begin (r.spare), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 7, 2, 0), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_free, 2);
  CU_ASSERT (!st.full);
  slots_keep_end (r.spare);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_free, 2);
  rig_free (&r);
}

/* A slot that can't be read: its sector is LOST in the copy, nothing else. */
static void
test_unreadable (void)
{
  struct backup_result result;
  struct spare_status st;
  struct rig r, copy;
  struct memdev *out;
  uint8_t buf[512], want[512];
  uint64_t place;
  struct run run;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 50, 20, 1, 0), 0);
  run = map_lookup (r.map, 55, 1);
  slot_place (spare_geometry (r.spare), run.slot, 1, &place);
  memdev_set_bad (r.m, MEMDEV_READ, place, 512, EIO);
  out = memdev_new (r.m->size);
  CU_ASSERT_EQUAL (backup (&r, out, &result), 0);
  CU_ASSERT_EQUAL (result.lost, 1);
  CU_ASSERT_EQUAL (result.sectors, 19);
  open_copy (&copy, out);
  spare_get_status (copy.spare, &st);
  CU_ASSERT_EQUAL (st.counters[COUNT_LOST], 1);
  for (sector_t i = 50; i < 70; i++) {
    run = map_lookup (copy.map, i, 1);
    CU_ASSERT_EQUAL (run.state, i == 55 ? LOST : REMAPPED);
    fill (want, i, 1, 1);
    if (i != 55) {
      CU_ASSERT_EQUAL (spare_read (copy.spare, buf, run.slot, 1), 0);
      CU_ASSERT_EQUAL (memcmp (buf, want, 512), 0);
    }
  }
  rig_free (&copy);

  /* Nothing at all, and a disk that isn't there any more. */
  memdev_set_bad (r.m, MEMDEV_READ, 0, r.m->size, EIO);
  out = memdev_new (r.m->size);
  CU_ASSERT_EQUAL (backup (&r, out, &result), EIO);
  memdev_set_bad (r.m, 0, 0, r.m->size, 0);
  memdev_set_bad (r.m, MEMDEV_READ, 0, r.m->size, ENODEV);
  CU_ASSERT_EQUAL (backup (&r, out, &result), ENODEV);
  memdev_free (out);
  check_at_rest (&r);
  rig_free (&r);
}

/* A spare that has failed can still be copied; that can't be noted in it. */
static void
test_failed (void)
{
  struct backup_result result;
  struct rig r, copy;
  struct memdev *out;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 50, 20, 1, 0), 0);
  memdev_fail (r.m, MEMDEV_FLUSH, 1, EIO, false);
  CU_ASSERT_NOT_EQUAL (do_remap (&r, 90, 20, 1, 0), 0);
  CU_ASSERT (spare_failed (r.spare));
  out = memdev_new (r.m->size);
  CU_ASSERT_EQUAL (backup (&r, out, &result), 0);
  CU_ASSERT (!result.is_older);
  CU_ASSERT_EQUAL (result.sectors, 20);
  open_copy (&copy, out);
  rig_free (&copy);
  rig_free (&r);
}

static bool
stop_at_once (void *opaque)
{
  return true;
}

/* Whatever fails, the spare goes on, and so does the next backup. */
static void
test_errors (void)
{
  struct backup_result result;
  struct rig r, copy;
  struct memdev *out;
  uint64_t digest;
  unsigned n;
  int err;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_scattered (&r, CHANGE_LOST, 5000, 300), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 50, 20, 1, 0), 0);
  digest = rig_digest (&r);
  for (n = 1; ; n++) {
    out = memdev_new (r.m->size);
    memdev_fail (out, MEMDEV_ANY, n, ENOSPC, false);
    err = backup (&r, out, &result);
    if (out->fail_hits == 0)
      break;
    CU_ASSERT_EQUAL (err, ENOSPC);
    check_at_rest (&r);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    memdev_free (out);
  }
  CU_ASSERT (n > 4);
  CU_ASSERT_EQUAL (err, 0);
  memdev_fail (out, 0, 0, 0, false);
  open_copy (&copy, out);
  compare (&r, &copy, &result);
  rig_free (&copy);

  out = memdev_new (r.m->size);
  CU_ASSERT_EQUAL (spare_backup (r.spare, &out->dev, stop_at_once, NULL,
                                 &result, &r.message), ECANCELED);
  check_at_rest (&r);
  memdev_free (out);
  rig_free (&r);
}

/* The history of a backup that was used, and of which one was made. */
static void
test_history (void)
{
  struct backup_result first, result;
  uint64_t commit, time;
  struct rig r, copy;
  struct memdev *out;

  rig_make (&r, MIB);
  CU_ASSERT (!spare_was_backup (r.spare, &commit, &time));
  for (unsigned i = 0; i < 40; i++) {
    r.now = 1000 + i;
    out = memdev_new (r.m->size);
    CU_ASSERT_EQUAL (backup (&r, out, &result), 0);
    if (i == 0)
      first = result;
    open_copy (&copy, out);
    CU_ASSERT (spare_was_backup (copy.spare, &commit, &time));
    CU_ASSERT_EQUAL (commit, result.commit);
    CU_ASSERT_EQUAL (time, 1000 + i);
    CU_ASSERT (copy.spare->nattributes <= 16);
    copy.now = r.now;
    rig_free (&r);
    r = copy;
    r.env.opaque = &r;
    r.spare->env.opaque = &r;
    CU_ASSERT_EQUAL (do_remap (&r, i, 1, 1, 0), 0);
  }
  CU_ASSERT (result.commit > first.commit);
  rig_free (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "the same as the spare", test_same },
    { "reasons, times and room", test_notes_and_room },
    { "a spare in use", test_while_in_use },
    { "a full spare", test_full },
    { "slots that can't be read", test_unreadable },
    { "a spare that has failed", test_failed },
    { "errors", test_errors },
    { "backups of backups", test_history },
    { NULL }
  };

  return run_tests (argc, argv, "spare-backup", tests);
}
