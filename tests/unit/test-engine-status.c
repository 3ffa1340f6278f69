/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What operators are told: health and its reasons, errors in words, and
 * what is bad (promises 12, 17 and 18 of remap-promises(7)).
 *
 * Linked with --wrap for range_lock_looking.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine/main-dev.h"
#include "engine-operators.h"

static struct engine_rig rig;

/* What happens just before a shared lock is taken to look, once. */
static void (*before_looking) (void);

extern uint64_t __real_range_lock_looking (struct range_lock *l,
                                           struct shared_hold *hold,
                                           uint64_t start, uint64_t end);
extern uint64_t __wrap_range_lock_looking (struct range_lock *l,
                                           struct shared_hold *hold,
                                           uint64_t start, uint64_t end);

uint64_t
__wrap_range_lock_looking (struct range_lock *l, struct shared_hold *hold,
                           uint64_t start, uint64_t end)
{
  void (*f) (void) = before_looking;

  before_looking = NULL;
  if (f)
    f ();
  return __real_range_lock_looking (l, hold, start, end);
}

/* The reasons of a status that is made up, one after the other. */
static const char *
reasons (const struct engine_status *st)
{
  static char text[4096];
  struct message m[ENGINE_MAX_REASONS];
  unsigned n = engine_health_reasons (st, m);

  CU_ASSERT (n <= ENGINE_MAX_REASONS);
  text[0] = '\0';
  for (unsigned i = 0; i < n; i++)
    snprintf (text + strlen (text), sizeof text - strlen (text), "%.400s\n",
              m[i].text);
  return text;
}

static bool
tells (const struct engine_status *st, const char *what)
{
  return strstr (reasons (st), what) != NULL;
}

static void
test_reasons (void)
{
  const struct engine_status ok = {
    .spare = { .slots_total = 100, .slots_used = 70, .slots_retired = 10,
               .slots_free = 20 },
  };
  struct engine_status st = ok;

  CU_ASSERT_STRING_EQUAL (reasons (&st), "");
  st.spare.slots_retired = 11;
  CU_ASSERT (tells (&st, "80 % of the spare are used (81 of 100 slots)"));

  /* The worse one is told instead. */
  st.spare_short = true;
  CU_ASSERT (tells (&st, "no room"));
  CU_ASSERT (!tells (&st, "80 %"));
  st.spare.full = true;
  CU_ASSERT (tells (&st, "full: 20 of 100 slots are free"));
  CU_ASSERT (!tells (&st, "no room"));
  st.spare.full = st.spare_short = false;
  st.spare.slots_free = 0;
  CU_ASSERT (tells (&st, "full: 0 of 100 slots are free"));
  CU_ASSERT (!tells (&st, "80 %"));

  st = ok;
  st.totals.lost = st.spare.counters[COUNT_WEAK] = 1;
  CU_ASSERT (tells (&st, "1 sector is lost: main can't read it"));
  CU_ASSERT (tells (&st, "1 sector was weak: main read it only"));
  st.totals.lost = st.spare.counters[COUNT_WEAK] = 2;
  CU_ASSERT (tells (&st, "2 sectors are lost: main can't read them"));
  CU_ASSERT (tells (&st, "2 sectors were weak: main read them only"));

  st = ok;
  st.room = 1000;
  st.promised = 1000;
  CU_ASSERT_STRING_EQUAL (reasons (&st), "");
  st.promised = 1001;
  CU_ASSERT (tells (&st, "1000 bytes free"));
  CU_ASSERT (tells (&st, "need 1001"));
  st = ok;
  st.copy.late = 1;
  st.copy.full = true;
  CU_ASSERT (tells (&st, "the copy is full"));
  CU_ASSERT (tells (&st, "isn't written in some places"));
  st.copy.failed = true;
  CU_ASSERT (tells (&st, "the copy has failed"));
  st = ok;
  st.main_silent = true;
  CU_ASSERT (tells (&st, "page cache"));
  st.totals.lost = st.spare.counters[COUNT_WEAK] = 2;

  /* All of them fit, the worst first. */
  message_set (&st.spare_place, "it was renamed");
  CU_ASSERT (tells (&st, "it was renamed"));
  st.main_lost = st.spare.failed = st.spare.full = true;
  CU_ASSERT_EQUAL (strncmp (reasons (&st), "main is lost", 12), 0);
  CU_ASSERT (tells (&st, "\nthe spare has failed"));
  CU_ASSERT (tells (&st, "\nthe spare is full"));
  CU_ASSERT (tells (&st, "\n2 sectors are lost"));
  CU_ASSERT (tells (&st, "\n2 sectors were weak"));
}

/* The filesystem has less than the free slots need: nothing has failed yet. */
static void
test_room (void)
{
  struct engine_status st;

  rig_init (&rig, NULL);
  engine_note_room (rig.e, 100000, 100000);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_OK);
  engine_note_room (rig.e, 99999, 100000);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_DEGRADED);
  engine_get_status (rig.e, &st);
  CU_ASSERT_EQUAL (st.room, 99999);
  CU_ASSERT (tells (&st, "99999 bytes free"));
  engine_note_room (rig.e, UINT64_MAX, 100000);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_OK);
  rig_end (&rig);
}

/* The last slot is gone, though nobody was refused one. */
static void
test_last_slot (void)
{
  const struct rig_options o = { .size = 2 * MIB, .spare_size = MIB };
  struct spare_status sp;
  struct engine_status st;
  sector_t s = 0;
  uint64_t n;

  rig_init (&rig, &o);
  spare_get_status (rig.spare, &sp);
  for (; sp.slots_free > 1; s += n) {
    n = min_u64 (sp.slots_free - 1, 1000);
    set_state (&rig, s, n, REMAPPED, 2);
    spare_get_status (rig.spare, &sp);
  }
  CU_ASSERT_EQUAL (health (&rig), HEALTH_DEGRADED);
  set_state (&rig, s, 1, REMAPPED, 2);
  engine_get_status (rig.e, &st);
  CU_ASSERT_EQUAL (st.health, HEALTH_CRITICAL);
  CU_ASSERT (!st.spare.full && !st.spare_short);
  CU_ASSERT (tells (&st, "full: 0 of"));

  /* One that is given back is enough to go on. */
  set_state (&rig, s, 1, DIRECT, 0);
  CU_ASSERT_EQUAL (health (&rig), HEALTH_DEGRADED);
  rig_end (&rig);
}

static const char *
explained (int err)
{
  static struct message m;

  snprintf (m.text, sizeof m.text, "nothing");
  engine_explain (rig.e, err, &m);
  return m.text;
}

static void
test_explain (void)
{
  rig_init (&rig, NULL);
  CU_ASSERT_STRING_EQUAL (explained (0), "");
  CU_ASSERT_PTR_NOT_NULL (strstr (explained (ECANCELED), "has gone"));
  CU_ASSERT_PTR_NOT_NULL (strstr (explained (ESHUTDOWN), "try again"));
  CU_ASSERT_PTR_NOT_NULL (strstr (explained (EINVAL), "8192 sectors"));
  CU_ASSERT_PTR_NOT_NULL (strstr (explained (ENOSPC), "enlarge"));
  CU_ASSERT_STRING_EQUAL (explained (ENOMEM), "out of memory");
  CU_ASSERT_STRING_EQUAL (explained (EPERM), strerror (EPERM));
  CU_ASSERT_STRING_EQUAL (explained (EIO), strerror (EIO));
  main_went_away (rig.e, ENODEV);
  CU_ASSERT_PTR_NOT_NULL (strstr (explained (EIO), "main is lost"));
  /* What sync says of a disk that was waited for in vain. */
  CU_ASSERT_PTR_NOT_NULL (strstr (explained (ESHUTDOWN), "main is lost"));
  CU_ASSERT_STRING_EQUAL (explained (ENOMEM), "out of memory");
  rig_end (&rig);

  rig_init (&rig, NULL);
  memdev_fail (rig.mem, MEMDEV_FLUSH, 1, EIO, true);
  CU_ASSERT_EQUAL (remap (&rig, 0, 1), EIO);
  CU_ASSERT_PTR_NOT_NULL (strstr (explained (EIO), "the spare has failed"));
  memdev_fail (rig.mem, 0, 0, 0, false);
  rig_end (&rig);
}

static int
verify (sector_t start, uint64_t count)
{
  return engine_verify (&rig.conn, start, count, NULL, &res);
}

/* An error that isn't about one place ends it, and nothing is called bad. */
static void
test_verify_error (void)
{
  uint64_t reads;

  rig_init (&rig, NULL);
  set_state (&rig, 20, 4, REMAPPED, 2);
  sim_bad (rig.main, SIM_READ, 1, 1, EIO);
  CU_ASSERT_EQUAL (verify (0, 24), 0);
  CU_ASSERT (result_is (24, 0, 1) && res.first_bad == 1);

  /* All together, a canary, the first block, the bad one. */
  reads = rig.mem->reads;
  sim_fail (rig.main, SIM_READ, 4, EPERM);
  CU_ASSERT_EQUAL (verify (0, 24), EPERM);
  CU_ASSERT (result_is (0, 0, 0));
  CU_ASSERT_EQUAL (rig.mem->reads, reads);
  rig_end (&rig);
}

/* Where the slot is that holds the sector, in bytes of the spare. */
static uint64_t
find_slot (sector_t sector, unsigned tag)
{
  uint64_t offset = 0;
  uint8_t buf[512];

  fill (buf, SEC (sector), 512, tag);
  while (offset < rig.mem->size &&
         memcmp (rig.mem->data + offset, buf, 512) != 0)
    offset += 512;
  CU_ASSERT_FATAL (offset < rig.mem->size);
  return offset;
}

/* Slots that can't be read together are read alone. */
static void
test_verify_slots (void)
{
  rig_init (&rig, NULL);
  set_state (&rig, 20, 8, REMAPPED, 2);
  memdev_fail (rig.mem, MEMDEV_READ, 1, EIO, false);
  CU_ASSERT_EQUAL (verify (20, 8), 0);
  CU_ASSERT (result_is (8, 0, 0));
  memdev_set_bad (rig.mem, MEMDEV_READ, find_slot (23, 2), 512, EIO);
  CU_ASSERT_EQUAL (verify (16, 16), 0);
  CU_ASSERT (result_is (16, 0, 1) && res.first_bad == 23);
  CU_ASSERT_EQUAL (totals (&rig).remapped, 8);
  memdev_set_bad (rig.mem, 0, 0, rig.mem->size, 0);
  rig_end (&rig);
}

static void
give_back (void)
{
  struct engine_result r;

  CU_ASSERT_EQUAL (engine_unmap (&rig.conn, 20, 8, NULL, &r), 0);
  CU_ASSERT_EQUAL (r.done, 8);
  sim_bad (rig.main, SIM_READ, 22, 1, EIO);
}

/* Given back to main when verify came to its slots: main is what counts. */
static void
test_verify_moved (void)
{
  rig_init (&rig, NULL);
  set_state (&rig, 20, 8, REMAPPED, 2);
  before_looking = give_back;
  CU_ASSERT_EQUAL (verify (20, 8), 0);
  CU_ASSERT_PTR_NULL (before_looking);
  CU_ASSERT (result_is (8, 0, 1) && res.first_bad == 22);
  CU_ASSERT_STRING_EQUAL (states (&rig, 20, 8), "DDDDDDDD");
  rig_end (&rig);
}

/* A block that lies in several places of the spare, the first of which can't
 * be read: the others need not be, and main isn't touched.
 */
static void
test_unmap_unreadable (void)
{
  const struct rig_options o = { .block = 4096 };
  uint64_t reads;

  rig_init (&rig, &o);
  for (sector_t s = 15; s >= 8; s--)
    set_state (&rig, s, 1, REMAPPED, 2);
  memdev_set_bad (rig.mem, MEMDEV_READ, find_slot (8, 2), 512, EIO);
  reads = rig.mem->reads;
  CU_ASSERT_EQUAL (unmap (&rig, 8, 8), 0);
  CU_ASSERT (result_is (0, 0, 8));
  CU_ASSERT_EQUAL (rig.mem->reads, reads + 1);
  CU_ASSERT_EQUAL (sim_calls (rig.main, SIM_MODIFY), 0);
  CU_ASSERT_STRING_EQUAL (states (&rig, 8, 8), "RRRRRRRR");
  memdev_set_bad (rig.mem, 0, 0, rig.mem->size, 0);
  CU_ASSERT_EQUAL (unmap (&rig, 8, 8), 0);
  CU_ASSERT (result_is (8, 0, 0));
  CU_ASSERT (main_holds (&rig, SEC (8), 4096, 2));
  rig_end (&rig);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "reasons", test_reasons },
    { "the last slot (promise 18)", test_last_slot },
    { "errors in words", test_explain },
    { "verify ends (promise 12)", test_verify_error },
    { "verify slots (promise 17)", test_verify_slots },
    { "verify what moves", test_verify_moved },
    { "unmap what can't be read (promise 17)", test_unmap_unreadable },
    { "room in the spare's filesystem (promise 17)", test_room },
    { NULL }
  };

  return run_tests (argc, argv, "engine-status", tests);
}
