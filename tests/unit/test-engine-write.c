/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Writes that main fails: what is remapped, what is written again, and
 * what is passed on (promises 2, 3, 10, 16, 17 and 18 of remap-promises(7)).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine-rig.h"

/* Promises 2 and 3: of a 1 MiB write, only the blocks that fail are remapped,
 * up to the cap; all are there afterwards.
 */
static void
check_scattered (uint64_t size, uint32_t block, unsigned nr_bad,
                 enum sim_partial partial)
{
  const struct rig_options o = { .size = 2 * size, .block = block,
                                 .spare_size = 128 * MIB };
  const uint64_t blocks = size / block;
  const unsigned sectors = block / SECTOR_SIZE;
  struct engine_rig r;

  rig_init (&r, &o);
  r.main->partial = partial;
  for (unsigned i = 0; i < nr_bad; i++) {
    uint64_t at = i * (blocks / nr_bad) + i * 7 % (blocks / nr_bad);

    sim_bad (r.main, SIM_MODIFY, at * sectors + i % sectors, 1, EIO);
  }
  CU_ASSERT_EQUAL (rig_write (&r, 0, size, 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, 0, size, 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, size, size, 1), 0);

  if (nr_bad <= 12) {
    CU_ASSERT_EQUAL (totals (&r).remapped, nr_bad * sectors);
    for (unsigned i = 0; i < nr_bad; i++) {
      uint64_t at = i * (blocks / nr_bad) + i * 7 % (blocks / nr_bad);

      CU_ASSERT (*states (&r, at * sectors, 1) == 'R');
    }
  }
  else
    /* A failing call or so for each, once it isn't known how many there
     * are.
     */
    CU_ASSERT (sim_failed (r.main, SIM_WRITE) <= 64 + 16 + 16 + 16 + 16);
  rig_restart (&r);
  CU_ASSERT_EQUAL (rig_read (&r, 0, size, 2), 0);
  rig_end (&r);
}

static void
test_scattered (void)
{
  for (unsigned n = 1; n <= 70; n += n < 13 ? 1 : 19) {
    check_scattered (MIB, 512, n, n % 3);
    check_scattered (MIB, 4096, n, n % 3);
  }
  check_scattered (32 * MIB, 512, 1, SIM_GARBAGE);
  check_scattered (32 * MIB, 512, 8, SIM_NOTHING);
  check_scattered (32 * MIB, 4096, 70, SIM_GOOD);
}

/* Promise 3: single blocks, runs, the first and the last one, and a disk
 * that ends with a short sector.
 */
static void
test_runs (void)
{
  static const struct { unsigned start, count; } bad[] = {
    { 0, 1 }, { 2047, 1 }, { 100, 5 }, { 15, 2 }, { 0, 16 }, { 2030, 18 },
    { 0, 60 },
  };

  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    const struct rig_options o = { .size = MIB - 100 };
    struct engine_rig r;

    rig_init (&r, &o);
    r.main->partial = SIM_GARBAGE;
    sim_bad (r.main, SIM_WRITE, bad[i].start, bad[i].count, ENODATA);
    CU_ASSERT_EQUAL (rig_write (&r, 0, MIB - 100, 3), 0);
    CU_ASSERT_EQUAL (rig_read (&r, 0, MIB - 100, 3), 0);
    CU_ASSERT (bad[i].count > 40 ? totals (&r).remapped <= bad[i].count + 8
               : totals (&r).remapped == bad[i].count);
    CU_ASSERT_EQUAL (strspn (states (&r, bad[i].start, bad[i].count), "R"),
                     bad[i].count);
    rig_end (&r);
  }
}

/* Promise 3: of a request, 64 pieces fail; then the rest isn't tried. */
static void
test_cap (void)
{
  const struct rig_options o = { .spare_size = 64 * MIB };
  struct engine_rig r;

  rig_init (&r, &o);
  sim_bad (r.main, SIM_WRITE, 0, 8192, EIO);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 4 * MIB, 2), 0);
  CU_ASSERT (sim_failed (r.main, SIM_WRITE) > 64);
  CU_ASSERT (sim_failed (r.main, SIM_WRITE) <= 64 + 3 * 16);
  CU_ASSERT_EQUAL (totals (&r).remapped, 8192);
  sim_reset (r.main);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 4 * MIB, 3), 0);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 4 * MIB, 3), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_ALL), 0);
  rig_end (&r);
}

/* Promise 3: a write that timed out may land later, so main isn't used for
 * its blocks any more.
 */
static void
test_timeout (void)
{
  struct engine_result res;
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_fail (r.main, SIM_WRITE, 1, ETIMEDOUT);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (8), SEC (40), 2), 0);
  CU_ASSERT_EQUAL (totals (&r).remapped, 40);
  CU_ASSERT_EQUAL (r.main->calls[1], 1);
  CU_ASSERT_EQUAL (rig_read (&r, 0, SEC (8), 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (8), SEC (40), 2), 0);
  CU_ASSERT_EQUAL (engine_unmap (&r.conn, 0, 100, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.done, 0);
  CU_ASSERT_EQUAL (totals (&r).remapped, 40);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (8), SEC (2)), 0);
  CU_ASSERT_EQUAL (engine_unmap (&r.conn, 0, 100, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.done, 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_MODIFY), 1);

  /* After a restart they may be. */
  rig_restart (&r);
  CU_ASSERT_EQUAL (engine_unmap (&r.conn, 0, 100, NULL, &res), 0);
  CU_ASSERT_EQUAL (res.done, 40);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), SEC (38), 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (8), SEC (2), 0), 0);
  rig_end (&r);
}

/* The same where nothing can be remapped: the blocks stay DIRECT, but
 * nothing is written to main that a late write could undo.
 */
static void
check_timeout_unmapped (uint32_t block, bool mixed, uint64_t offset,
                        uint64_t count)
{
  const struct rig_options o = { .block = block, .spare_size = MIB };
  struct engine_rig r;
  uint64_t calls;

  rig_init (&r, &o);
  /* Nothing is free but LOST ones can be made, so that blocks are mixed. */
  if (mixed)
    set_state (&r, offset / SECTOR_SIZE, 1, ZERO, 0);
  memdev_set_bad (r.mem, MEMDEV_WRITE, 0, 1, EIO);
  for (unsigned i = 0; !spare_failed (r.spare); i++) {
    struct change_list list = { 0 };
    uint8_t data[SECTOR_SIZE] = { 0 };

    memdev_fail (r.mem, MEMDEV_WRITE, 1, EIO, true);
    spare_store (r.spare, &list, 1000, data, 1, WHY_UNKNOWN);
    change_list_free (&list);
  }
  sim_fail (r.main, SIM_WRITE, 1, ETIMEDOUT);
  CU_ASSERT_EQUAL (rig_write (&r, offset, count, 2), EIO);
  CU_ASSERT_EQUAL (r.main->fail_after, 0);
  calls = sim_calls (r.main, SIM_MODIFY);
  CU_ASSERT_EQUAL (rig_write (&r, offset, count, 3), EIO);
  CU_ASSERT_EQUAL (rig_write (&r, block, block, 3), EIO);
  CU_ASSERT_EQUAL (rig_zero (&r, block, block), EIO);
  CU_ASSERT_EQUAL (rig_write (&r, block + 3, 5, 3), EIO);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_MODIFY), calls);
  rig_end (&r);
}

static void
test_timeout_unmapped (void)
{
  check_timeout_unmapped (512, false, 512, 4096);
  check_timeout_unmapped (4096, false, 4096, 4096);
  check_timeout_unmapped (4096, false, 4096 + 512, 1024);
  check_timeout_unmapped (4096, false, 4096 + 100, 10);
  check_timeout_unmapped (4096, true, 4096, 4096);
}

/* Promises 10 and 11: the error numbers, for each kind of request. */
static void
test_error_numbers (void)
{
  static const struct { int err; bool media; int nbd; } table[] = {
    { EIO, true, EIO }, { ENODATA, true, EIO }, { EILSEQ, true, EIO },
    { EREMOTEIO, true, EIO }, { ETIMEDOUT, true, EIO },
    { ENOSPC, false, ENOSPC }, { EPERM, false, EPERM },
    { EINVAL, false, EINVAL }, { ENOMEM, false, ENOMEM },
    { ESHUTDOWN, false, ESHUTDOWN }, { EDQUOT, false, ENOSPC },
    { EFBIG, false, ENOSPC }, { EBADF, false, EIO }, { EINTR, false, EIO },
    { EAGAIN, false, EIO }, { ESTALE, false, EIO }, { EBUSY, false, EIO },
    { EACCES, false, EIO }, { ENOTCONN, false, EIO },
    { EOVERFLOW, false, EIO }, { ENOTSUP, false, EIO },
  };

  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    for (int how = 0; how < 7; how++) {
      const struct rig_options o = { .block = 4096, .size = 64 * KIB,
                                     .spare_size = MIB };
      struct engine_rig r;
      int err;

      rig_init (&r, &o);
      sim_bad (r.main, how == 0 ? SIM_READ : SIM_MODIFY, 16, 1,
               table[i].err);
      if (how == 4)
        set_state (&r, 8, 1, ZERO, 0);
      err = how == 0 ? rig_read (&r, 4096, 8192, 1)
        : how == 1 ? rig_write (&r, 4096, 8192, 2)
        : how == 2 ? rig_write (&r, 4096, 4096 + 512, 2)
        : how == 3 ? rig_zero (&r, 4096, 8192)
        : how == 4 ? rig_write (&r, 4096, 8192, 2)
        : how == 5 ? rig_zero (&r, 4096, 4096 + 512)
        : rig_write (&r, 8192, 1, 2);
      if (table[i].media) {
        CU_ASSERT_EQUAL (err, how == 0 ? EIO : 0);
        CU_ASSERT_STRING_EQUAL (states (&r, 16, 8),
                                how == 0 ? "LLLLLLLL"
                                : how == 3 ? "ZZZZZZZZ"
                                : how == 5 ? "ZRRRRRRR" : "RRRRRRRR");
      }
      else {
        CU_ASSERT_EQUAL (err, table[i].nbd);
        CU_ASSERT_STRING_EQUAL (states (&r, 16, 8), "DDDDDDDD");
      }
      CU_ASSERT_STRING_EQUAL (states (&r, 24, 8), "DDDDDDDD");
      rig_end (&r);
    }
}

/* Takes all slots but N by remapping sectors from 4096 on. */
static void
use_up_slots (struct engine_rig *r, unsigned n)
{
  struct spare_status st;

  spare_get_status (r->spare, &st);
  CU_ASSERT_FATAL (st.slots_free > n && st.slots_free - n < 4096);
  set_state (r, 4096, st.slots_free - n, REMAPPED, 9);
}

/* Promise 18: a full spare. */
static void
test_full (void)
{
  const struct rig_options o = { .block = 4096, .spare_size = MIB };
  struct engine_rig r;

  rig_init (&r, &o);
  use_up_slots (&r, 4);
  sim_bad (r.main, SIM_MODIFY, 8, 1, EIO);
  sim_bad (r.main, SIM_READ, 32, 1, EIO);
  CU_ASSERT_EQUAL (rig_write (&r, 4096, 4096, 2), ENOSPC);
  CU_ASSERT_EQUAL (rig_write (&r, 4096 + 512, 10, 2), ENOSPC);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 64 * KIB, 2), ENOSPC);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "DDDDDDDD");
  CU_ASSERT_EQUAL (health (&r), HEALTH_CRITICAL);

  /* What is mapped goes on; LOST and ZERO need no slot. */
  CU_ASSERT_EQUAL (rig_write (&r, SEC (4096), MIB / 4, 3), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (4096), MIB / 4, 3), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (32), 10, 1), EIO);
  CU_ASSERT_STRING_EQUAL (states (&r, 32, 8), "LLLLLLLL");
  CU_ASSERT_EQUAL (rig_write (&r, SEC (32), 4096, 2), ENOSPC);
  CU_ASSERT_STRING_EQUAL (states (&r, 32, 8), "LLLLLLLL");
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (32), 4096), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 32, 8), "ZZZZZZZZ");
  CU_ASSERT_EQUAL (rig_zero (&r, 4096, 4096), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "ZZZZZZZZ");

  /* Room again. */
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (4096), SEC (64)), 0);
  CU_ASSERT_EQUAL (rig_write (&r, 4096, 4096, 2), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (32), 4096, 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, 4096, 4096, 2), 0);
  CU_ASSERT_NOT_EQUAL (health (&r), HEALTH_CRITICAL);
  rig_end (&r);
}

/* Promise 18: more failing places than are placed together, the first of
 * which finds no room: nothing of it has changed.
 */
static void
test_full_in_pieces (void)
{
  const struct rig_options o = { .size = 40 * MIB, .spare_size = MIB };
  struct engine_rig r;

  rig_init (&r, &o);
  sim_fail (r.main, SIM_WRITE, 1, EIO);
  sim_bad (r.main, SIM_WRITE, 0, 1, ETIMEDOUT);
  for (sector_t i = 0; i < 40; i++)
    sim_bad (r.main, SIM_WRITE, 4096 + 2 * i, 1, EIO);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 32 * MIB, 2), ENOSPC);
  CU_ASSERT_EQUAL (totals (&r).remapped, 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (4096 + 200), MIB, 1), 0);
  rig_end (&r);
}

/* Promise 17: a slot that can't be written is replaced by another one, the
 * data staying in memory; also where it is mapped.
 */
static void
test_bad_slots (void)
{
  struct spare_status st;
  struct engine_rig r;
  struct run run;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_WRITE, 0, 20, EIO);
  memdev_fail (r.mem, MEMDEV_WRITE, 1, EIO, false);
  CU_ASSERT_EQUAL (rig_write (&r, 0, SEC (1), 2), 0);
  CU_ASSERT_EQUAL (rig_write (&r, 0, SEC (20), 3), 0);
  CU_ASSERT_EQUAL (rig_read (&r, 0, SEC (20), 3), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.slots_retired, 1);

  run = map_lookup (r.map, 5, 1);
  memdev_fail (r.mem, MEMDEV_WRITE, 1, EIO, false);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (5), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (5), SEC (1), 4), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (6), SEC (14), 3), 0);
  CU_ASSERT_EQUAL (map_lookup (r.map, 5, 1).slot == run.slot, true);
  rig_end (&r);
}

/* A request that gets slots for one half of it alone gives them back. */
static void
test_half (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 10, 2, LOST, 0);
  set_state (&r, 12, 2, ZERO, 0);
  memdev_fail (r.mem, MEMDEV_WRITE, 2, ENOSPC, false);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (10), SEC (4), 2), ENOSPC);
  CU_ASSERT_STRING_EQUAL (states (&r, 9, 6), "DLLZZD");
  rig_check_idle (&r);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (10), SEC (4), 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), SEC (4), 2), 0);
  rig_end (&r);
}

/* A slot that can't be read is an EIO and stays mapped; the sector's next
 * full write takes another slot, also if the first try to do so fails.
 */
static void
test_unreadable_slots (void)
{
  struct engine_rig r;
  slot_t slot;

  rig_init (&r, NULL);
  set_state (&r, 8, 4, REMAPPED, 2);
  slot = map_lookup (r.map, 9, 1).slot;
  memdev_fail (r.mem, MEMDEV_READ, 1, EIO, true);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (9), SEC (1), 2), EIO);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (9) + 1, 10, 3), EIO);
  memdev_fail (r.mem, 0, 0, 0, false);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 4), "RRRR");

  memdev_fail (r.mem, MEMDEV_WRITE, 2, ENOSPC, false);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (9), SEC (1), 3), ENOSPC);
  CU_ASSERT_EQUAL (map_lookup (r.map, 9, 1).slot, slot);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (9), SEC (1), 3), 0);
  CU_ASSERT_NOT_EQUAL (map_lookup (r.map, 9, 1).slot, slot);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (9), SEC (1), 3), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), SEC (2), 2), 0);
  rig_end (&r);
}

/* Promise 16: after a failed flush of the spare. */
static void
test_spare_failed (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 8, 4, REMAPPED, 2);
  set_state (&r, 16, 4, LOST, 0);
  memdev_fail (r.mem, MEMDEV_FLUSH, 1, EIO, false);
  sim_bad (r.main, SIM_ALL, 100, 1, EIO);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (100), SEC (1), 2), EIO);
  CU_ASSERT_EQUAL (health (&r), HEALTH_CRITICAL);
  sim_bad (r.main, 0, 100, 1, EIO);
  sim_reset (r.main);

  CU_ASSERT_EQUAL (rig_flush (&r), EIO);
  CU_ASSERT_EQUAL (rig_flush (&r), EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (8), SEC (4), 2), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (8), SEC (4), 3), EIO);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (16), SEC (1), 3), EIO);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (8), SEC (4)), EIO);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (16), SEC (1)), EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (8), SEC (4), 2), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_ALL), 0);
  CU_ASSERT_EQUAL (rig_write_fua (&r, SEC (200), SEC (8), 3), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (200), SEC (8), 3), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 12), "RRRRDDDDLLLL");
  rig_end (&r);
}

/* Promise 1: a record whose flush failed may take effect after a restart
 * all the same.  So nothing may be acknowledged for its sectors that the
 * record would undo.
 */
static void
test_in_doubt (void)
{
  for (int how = 0; how < 3; how++) {
    struct engine_rig r;
    int err;

    rig_init (&r, NULL);
    /* The slot's flush succeeds, the record's doesn't. */
    sim_bad (r.main, SIM_ALL, 100, 1, EIO);
    rig_write (&r, SEC (200), SEC (1), 5);
    memdev_fail (r.mem, MEMDEV_FLUSH, how == 1 ? 2 : 1, EIO, false);
    /* The headers' own flushes come first, once. */
    if (how == 0)
      CU_ASSERT_EQUAL (rig_read (&r, SEC (100), SEC (1), 1), EIO);
    while (!spare_failed (r.spare)) {
      memdev_fail (r.mem, MEMDEV_FLUSH, 1, EIO, false);
      if (how == 1)
        rig_write (&r, SEC (100), SEC (1), 2);
      else
        rig_zero (&r, SEC (100), SEC (1));
    }
    sim_bad (r.main, 0, 100, 1, 0);
    err = rig_write (&r, SEC (100), SEC (1), 3);
    CU_ASSERT (err == 0 || err == EIO);
    rig_restart (&r);
    if (err == 0)
      CU_ASSERT_EQUAL (rig_read (&r, SEC (100), SEC (1), 3), 0);
    rig_end (&r);
  }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "scattered bad blocks (promises 2 and 3)", test_scattered },
    { "runs of bad blocks (promise 3)", test_runs },
    { "the cap (promise 3)", test_cap },
    { "timed out (promise 3)", test_timeout },
    { "timed out, not moved (promise 3)", test_timeout_unmapped },
    { "error numbers (promises 10 and 11)", test_error_numbers },
    { "spare full (promise 18)", test_full },
    { "spare full, in pieces (promise 18)", test_full_in_pieces },
    { "bad slots (promise 17)", test_bad_slots },
    { "half a request (promise 18)", test_half },
    { "unreadable slots", test_unreadable_slots },
    { "spare failed (promise 16)", test_spare_failed },
    { "a record in doubt (promise 1)", test_in_doubt },
    { NULL }
  };

  return run_tests (argc, argv, "engine-write", tests);
}
