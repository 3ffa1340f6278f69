/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Zeroing: whole sectors need no slot, whatever happens to their main
 * block (promise 9 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "engine-rig.h"

/* A fast zero that main can't do fast is told so. */
static void
test_fast_zero (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_fail (r.main, SIM_ZERO, 1, ENOTSUP);
  CU_ASSERT_EQUAL (engine_zero (&r.conn, 4096, 0, DEVICE_FAST_ZERO, false),
                   ENOTSUP);
  rig_end (&r);
}

/* Zeroing gives a slot back, but not one that couldn't be read. */
static void
test_unreadable_slot_zeroed (void)
{
  struct spare_status st;
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 8, 4, REMAPPED, 2);
  memdev_fail (r.mem, MEMDEV_READ, 1, EIO, true);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (9), SEC (1), 2), EIO);
  memdev_fail (r.mem, 0, 0, 0, false);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (8), SEC (4)), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 4), "ZZZZ");
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_retired, 1);
  rig_end (&r);
}

/* Sectors 9 to 11 of the block of 8 to 15 are zeroed, and the block fails. */
enum trouble { WRITE_FAILS, READ_FAILS, WEAK, TIMES_OUT };

static void
check_part_of_block (enum trouble trouble, const char *expected)
{
  const struct rig_options o = { .block = 4096 };
  struct engine_rig r;

  rig_init (&r, &o);
  switch (trouble) {
  case WRITE_FAILS:
    sim_bad (r.main, SIM_MODIFY, 8, 1, EIO);
    break;
  case READ_FAILS:
    sim_bad (r.main, SIM_READ, 8, 1, EIO);
    break;
  case WEAK:
    sim_bad (r.main, SIM_READ, 8, 1, EIO);
    sim_recover (r.main, 8, 1);
    break;
  case TIMES_OUT:
    sim_fail (r.main, SIM_WRITE, 1, ETIMEDOUT);
    break;
  }
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (9), SEC (3)), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), expected);
  for (int restarts = 0; restarts < 2; restarts++) {
    CU_ASSERT_EQUAL (rig_read (&r, SEC (9), SEC (3), 0), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (8), SEC (1), 1),
                     trouble == READ_FAILS ? EIO : 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (12), SEC (4), 1),
                     trouble == READ_FAILS ? EIO : 0);
    rig_restart (&r);
  }
  CU_ASSERT_EQUAL (totals (&r).zero, 3);
  rig_end (&r);
}

static void
test_part_of_block (void)
{
  check_part_of_block (WRITE_FAILS, "RZZZRRRR");
  check_part_of_block (READ_FAILS, "LZZZLLLL");
  check_part_of_block (WEAK, "RZZZRRRR");
  check_part_of_block (TIMES_OUT, "RZZZRRRR");
}

/* Of a block without DIRECT sectors a part is zeroed: main isn't asked. */
static void
test_part_of_mapped (void)
{
  const struct rig_options o = { .block = 4096 };

  for (int state = REMAPPED; state <= LOST; state++) {
    struct engine_rig r;

    rig_init (&r, &o);
    set_state (&r, 8, 8, state, 2);
    sim_reset (r.main);
    CU_ASSERT_EQUAL (rig_zero (&r, SEC (9), SEC (3)), 0);
    CU_ASSERT_EQUAL (sim_calls (r.main, SIM_READ | SIM_MODIFY), 0);
    for (int restarts = 0; restarts < 2; restarts++) {
      CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), state == REMAPPED
                              ? "RZZZRRRR" : "LZZZLLLL");
      CU_ASSERT_EQUAL (rig_read (&r, SEC (9), SEC (3), 0), 0);
      CU_ASSERT_EQUAL (rig_read (&r, SEC (12), SEC (4), 2),
                       state == REMAPPED ? 0 : EIO);
      rig_restart (&r);
    }
    rig_end (&r);
  }
}

/* A mixed block that may not be completed, as nothing is remapped by
 * itself: what isn't DIRECT becomes ZERO, the rest is zeroed on main.  Of a
 * block that is zeroed as a whole nothing is read.
 */
static void
test_mixed (void)
{
  for (int whole = 0; whole < 2; whole++)
    for (int state = REMAPPED; state <= ZERO; state++) {
      const struct rig_options o = { .block = 4096, .manual = true };
      struct spare_status st;
      struct engine_rig r;

      rig_init (&r, &o);
      set_state (&r, 9, 2, state, 2);
      if (whole)
        sim_bad (r.main, SIM_READ, 8, 8, EIO);
      CU_ASSERT_EQUAL (rig_zero (&r, SEC (whole ? 8 : 9),
                                 SEC (whole ? 8 : 3)), 0);
      CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "DZZDDDDD");
      spare_get_status (r.spare, &st);
      CU_ASSERT_EQUAL (st.slots_used, 0);
      sim_bad (r.main, 0, 8, 8, 0);
      CU_ASSERT_EQUAL (rig_read (&r, SEC (8), SEC (1), !whole), 0);
      CU_ASSERT_EQUAL (rig_read (&r, SEC (9), SEC (3), 0), 0);
      CU_ASSERT_EQUAL (rig_read (&r, SEC (12), SEC (4), !whole), 0);
      rig_end (&r);
    }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "fast zero", test_fast_zero },
    { "unreadable slots", test_unreadable_slot_zeroed },
    { "a part of a block that fails (promise 9)", test_part_of_block },
    { "a part of a mapped block (promise 9)", test_part_of_mapped },
    { "mixed blocks (promise 9)", test_mixed },
    { NULL }
  };

  return run_tests (argc, argv, "engine-zero", tests);
}
