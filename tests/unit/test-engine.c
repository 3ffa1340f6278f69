/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The table of states, requests of all shapes, zero, trim and extents
 * (promises 1, 2, 6, 7 and 9 of remap-promises(7)).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine-rig.h"

/* What a disk with sectors in all states must look like: a copy in memory
 * of what reads return, and which sectors are LOST.
 */
struct model {
  uint64_t size;
  uint8_t *data;
  bool *lost;
};

static void
model_init (struct model *m, struct engine_rig *r)
{
  m->size = r->main->size;
  m->data = malloc (m->size);
  m->lost = calloc (bytes_to_sectors (m->size), sizeof *m->lost);
  fill (m->data, 0, m->size, 1);
}

static void
model_free (struct model *m)
{
  free (m->data);
  free (m->lost);
}

/* A state for each sector: runs of all kinds, whole blocks of each. */
static void
scatter (struct engine_rig *r, struct model *m, uint64_t *seed)
{
  const uint64_t per_block = r->config.main_block / SECTOR_SIZE;
  const uint64_t all = bytes_to_sectors (m->size);

  for (uint64_t i = 0; i < all;) {
    uint64_t n = per_block * (1 + memdev_random (seed) % 6);
    enum sector_state state = memdev_random (seed) % 4;

    if (n > all - i)
      n = all - i;
    if (state != DIRECT)
      set_state (r, i, n, state, 2);
    for (uint64_t s = i; s < i + n; s++) {
      uint64_t len = m->size - SEC (s) < SECTOR_SIZE ? m->size - SEC (s)
        : SECTOR_SIZE;

      m->lost[s] = state == LOST;
      if (state == REMAPPED)
        fill (m->data + SEC (s), SEC (s), len, 2);
      else if (state == ZERO)
        memset (m->data + SEC (s), 0, len);
    }
    i += n;
  }
}

static bool
covers_lost (struct model *m, uint64_t offset, uint64_t count)
{
  for (uint64_t s = offset / 512; s <= (offset + count - 1) / 512; s++)
    if (m->lost[s])
      return true;
  return false;
}

/* Does a write of these bytes write only a part of a LOST sector? */
static bool
part_of_lost (struct model *m, uint64_t offset, uint64_t count)
{
  uint64_t end = offset + count;

  return (offset % 512 != 0 && m->lost[offset / 512]) ||
    (end % 512 != 0 && end != m->size && m->lost[end / 512]);
}

static void
random_request (struct engine_rig *r, struct model *m, uint64_t *seed,
                uint8_t *buf)
{
  uint64_t offset = memdev_random (seed) % m->size;
  uint64_t count = 1 + memdev_random (seed) %
    (memdev_random (seed) % 4 ? 3000 : 40000);
  unsigned what = memdev_random (seed) % 4, tag = 3 + memdev_random (seed) % 9;
  int err;

  if (memdev_random (seed) % 2) {
    offset = round_down (offset, 512);
    count = round_up (count, 512);
  }
  if (count > m->size - offset)
    count = m->size - offset;

  if (what < 2) {
    memset (buf, 0xcc, count);
    err = engine_pread (&r->conn, buf, count, offset);
    CU_ASSERT_EQUAL (err, covers_lost (m, offset, count) ? EIO : 0);
    if (err == 0)
      CU_ASSERT_EQUAL (memcmp (buf, m->data + offset, count), 0);
    return;
  }
  if (what == 2) {
    fill (buf, offset, count, tag);
    err = engine_pwrite (&r->conn, buf, count, offset,
                         memdev_random (seed) % 8 == 0);
  }
  else {
    memset (buf, 0, count);
    err = engine_zero (&r->conn, count, offset, 0, false);
  }
  CU_ASSERT_EQUAL (err, part_of_lost (m, offset, count) ? EIO : 0);
  if (err == 0) {
    memcpy (m->data + offset, buf, count);
    for (uint64_t s = offset / 512; s <= (offset + count - 1) / 512; s++)
      m->lost[s] = false;
  }
}

/* Promises 1, 2 and 6: any request on any mixture of states, for 512 and
 * 4096 byte blocks, and a disk that ends with part of a sector, or of a
 * block.  A partial write of a LOST sector leaves everything as it was.
 */
static void
test_model (void)
{
  static const struct rig_options shapes[] = {
    { .size = 128 * KIB }, { .size = 128 * KIB, .block = 4096 },
    { .size = 100 * KIB + 77 }, { .size = 100 * KIB + 77, .block = 4096 },
    { .size = 99 * KIB + 512, .block = 4096, .max_call = 8192 },
    { .size = 300 }, { .size = 5000, .block = 4096 },
    { .size = 96 * KIB, .block = 65536 },
  };
  const char *env = getenv ("TEST_SEED");
  uint64_t seed = env ? strtoull (env, NULL, 0) : (uint64_t) time (NULL);
  uint8_t *buf = malloc (64 * KIB);

  printf ("TEST_SEED=%" PRIu64 " ", seed);
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    struct engine_rig r;
    struct model m;

    rig_init (&r, &shapes[i]);
    model_init (&m, &r);
    scatter (&r, &m, &seed);
    for (int n = 0; n < 400; n++) {
      random_request (&r, &m, &seed, buf);
      if (n == 200)
        rig_restart (&r);
    }
    model_free (&m);
    rig_end (&r);
  }
  free (buf);
}

/* The table, cell by cell; reads of LOST and ZERO don't touch main. */
static void
test_table (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 10, 5, REMAPPED, 2);
  set_state (&r, 20, 5, LOST, 0);
  set_state (&r, 30, 5, ZERO, 0);
  sim_reset (r.main);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (10), SEC (5), 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (20), 1, 0), EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (30), SEC (5), 0), 0);
  CU_ASSERT_EQUAL (rig_read (&r, 0, SEC (100), 1), EIO);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_ALL), 0);
  CU_ASSERT_EQUAL (stat_of (&r, STAT_LOST_REFUSED), 2);

  CU_ASSERT_EQUAL (rig_write (&r, SEC (10), SEC (5), 3), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (20), SEC (5), 3), 0);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (30), SEC (5), 3), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_ALL), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 30),
                          "DDRRRRRDDDDDRRRRRDDDDDRRRRRDDD");
  CU_ASSERT_EQUAL (rig_write (&r, 0, SEC (40), 4), 0);
  CU_ASSERT_EQUAL (rig_read (&r, 0, SEC (40), 4), 0);
  /* Written to main exactly where it is DIRECT. */
  CU_ASSERT (main_holds (&r, 0, SEC (10), 4));
  CU_ASSERT (main_holds (&r, SEC (10), SEC (5), 1));
  CU_ASSERT (main_holds (&r, SEC (15), SEC (5), 4));
  CU_ASSERT (main_holds (&r, SEC (30), SEC (5), 1));
  CU_ASSERT (main_holds (&r, SEC (35), SEC (5), 4));
  rig_end (&r);
}

/* Promise 6: nothing is written, whichever end of the request is LOST. */
static void
check_partial_lost (uint32_t block, uint64_t lost, uint64_t offset,
                    uint64_t count, bool zero)
{
  const struct rig_options o = { .block = block };
  const unsigned n = block / SECTOR_SIZE;
  struct engine_rig r;

  rig_init (&r, &o);
  set_state (&r, lost / n * n, n, LOST, 0);
  set_state (&r, 64, 8, REMAPPED, 1);
  sim_reset (r.main);
  CU_ASSERT_EQUAL (zero ? rig_zero (&r, offset, count)
                   : rig_write (&r, offset, count, 2), EIO);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_MODIFY), 0);
  CU_ASSERT (main_holds (&r, 0, MIB, 1));
  CU_ASSERT_EQUAL (rig_read (&r, SEC (64), SEC (8), 1), 0);
  CU_ASSERT_EQUAL (totals (&r).lost, n);
  CU_ASSERT_EQUAL (totals (&r).remapped, 8);
  rig_end (&r);
}

static void
test_partial_lost (void)
{
  for (uint32_t block = 512; block <= 4096; block *= 8)
    for (int zero = 0; zero < 2; zero++) {
      check_partial_lost (block, 40, SEC (40) + 1, 10, zero);
      check_partial_lost (block, 40, SEC (40) + 1, SEC (90), zero);
      check_partial_lost (block, 80, SEC (56), SEC (24) + 1, zero);
      check_partial_lost (block, 80, SEC (56) + 3, SEC (24), zero);
      check_partial_lost (block, 80, SEC (64) + 3, SEC (16), zero);
      check_partial_lost (block, 72, SEC (64) + 3, SEC (8), zero);
    }
}

/* Blocks that a former run left mixed, before their block grew. */
static void
check_mixed (bool unreadable, bool manual, int what)
{
  const struct rig_options o = { .block = 4096, .manual = manual };
  struct engine_rig r;
  int err = 0;

  rig_init (&r, &o);
  set_state (&r, 9, 2, REMAPPED, 2);
  set_state (&r, 12, 1, LOST, 0);
  set_state (&r, 14, 1, ZERO, 0);
  if (unreadable)
    sim_bad (r.main, SIM_ALL, 8, 8, EIO);
  switch (what) {
  case 0:
    err = rig_read (&r, SEC (8), 512, 1);
    CU_ASSERT_EQUAL (err, unreadable ? EIO : 0);
    break;
  case 1:
    err = rig_write (&r, SEC (8) + 1, 10, 3);
    CU_ASSERT_EQUAL (err, unreadable ? EIO : 0);
    break;
  case 2:
    err = rig_write (&r, SEC (11), 512, 3);
    CU_ASSERT_EQUAL (err, unreadable && manual ? EIO : 0);
    break;
  case 3:
    err = rig_write (&r, SEC (8), 4096, 3);
    CU_ASSERT_EQUAL (err, unreadable && manual ? EIO : 0);
    break;
  case 4:
    err = rig_zero (&r, SEC (8), 4096);
    CU_ASSERT_EQUAL (err, unreadable && manual ? EIO : 0);
    if (!manual)
      CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), "ZZZZZZZZ");
    break;
  }
  if (manual) {
    CU_ASSERT_EQUAL (*states (&r, 8, 1), 'D');
  }
  else {
    CU_ASSERT_PTR_NULL (strchr (states (&r, 8, 8), 'D'));
    if (what < 2)
      CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), unreadable
                              ? "LRRLLLZL" : "RRRRLRZR");
    if (what == 2)
      CU_ASSERT_STRING_EQUAL (states (&r, 8, 8), unreadable
                              ? "LRRRLLZL" : "RRRRLRZR");
  }
  if (what < 2 || what == 2) {
    CU_ASSERT_EQUAL (rig_read (&r, SEC (9), SEC (2), 2), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (14), SEC (1), 0), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (12), SEC (1), 0), EIO);
    if (!unreadable)
      CU_ASSERT_EQUAL (rig_read (&r, SEC (15), SEC (1), 1), 0);
  }
  if (err == 0 && what >= 2)
    CU_ASSERT_EQUAL (rig_read (&r, what == 2 ? SEC (11) : SEC (8),
                               what == 2 ? 512 : 4096, what == 4 ? 0 : 3), 0);
  rig_end (&r);
}

static void
test_mixed (void)
{
  for (int what = 0; what <= 4; what++)
    for (int i = 0; i < 4; i++)
      check_mixed (i & 1, i & 2, what);
}

/* A changed block size is accepted, in both directions. */
static void
test_block_size_changes (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  sim_bad (r.main, SIM_MODIFY, 100, 1, EIO);
  sim_bad (r.main, SIM_READ, 200, 1, EIO);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (96), SEC (8), 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (200), SEC (1), 1), EIO);
  CU_ASSERT_EQUAL (totals (&r).remapped + totals (&r).lost, 2);
  r.config.main_block = r.main->block = 4096;
  rig_restart (&r);
  sim_bad (r.main, 0, 100, 1, 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (96), SEC (8), 2), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 96, 8), "RRRRRRRR");
  CU_ASSERT_EQUAL (rig_write (&r, SEC (201), SEC (3), 3), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 200, 8), "LRRRLLLL");
  r.config.main_block = r.main->block = 512;
  rig_restart (&r);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (96), SEC (8), 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (201), SEC (3), 3), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (0), SEC (96), 1), 0);
  rig_end (&r);
}

/* Promise 7: LOST as zeroes. */
static void
test_lost_zero (void)
{
  const struct rig_options o = { .lost_zero = true };
  struct engine_rig r;

  rig_init (&r, &o);
  set_state (&r, 20, 5, LOST, 0);
  sim_bad (r.main, SIM_READ, 60, 2, EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (20), SEC (5), 0), 0);
  CU_ASSERT_EQUAL (r.warnings, 1);
  CU_ASSERT_PTR_NOT_NULL (strstr (r.warning, "20-24"));
  CU_ASSERT_EQUAL (stat_of (&r, STAT_LOST_ZEROED), 5);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (60), SEC (2), 0), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 59, 4), "DLLD");
  CU_ASSERT_EQUAL (rig_read (&r, SEC (0), SEC (20), 1), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (62), SEC (20), 1), 0);
  rig_end (&r);
}

/* Promise 7: no state changes by itself; those that there are behave as
 * always; what operators ask for is done.
 */
static void
test_manual (void)
{
  const struct rig_options o = { .manual = true };
  struct engine_result res;
  struct engine_rig r;

  rig_init (&r, &o);
  set_state (&r, 20, 1, LOST, 0);
  set_state (&r, 21, 1, ZERO, 0);
  set_state (&r, 22, 1, REMAPPED, 2);
  sim_bad (r.main, SIM_ALL, 40, 2, ENODATA);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (40), SEC (1), 1), EIO);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (40), SEC (1), 2), EIO);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (40) + 5, 9, 2), EIO);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (40), SEC (1)), EIO);
  CU_ASSERT_EQUAL (engine_cache (&r.conn, 4096, SEC (40), NULL), EIO);
  CU_ASSERT_STRING_EQUAL (states (&r, 40, 2), "DD");
  CU_ASSERT_EQUAL (rig_write (&r, SEC (20), SEC (3), 3), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 20, 3), "RRR");
  CU_ASSERT_EQUAL (engine_remap (&r.conn, 40, 1, WHY_MANUAL, NULL, &res), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 40, 2), "LD");
  engine_set_auto_remap (r.e, true);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (41), SEC (1), 2), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 40, 2), "LR");
  rig_end (&r);
}

/* Promise 9: zero and trim. */
static void
test_zero (void)
{
  struct spare_status before, after;
  struct engine_rig r;

  rig_init (&r, NULL);
  spare_get_status (r.spare, &before);
  set_state (&r, 10, 5, REMAPPED, 2);
  set_state (&r, 20, 5, LOST, 0);
  sim_bad (r.main, SIM_ZERO, 30, 1, EIO);
  CU_ASSERT_EQUAL (rig_zero (&r, 0, SEC (40)), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 25), "DDZZZZZDDDDDZZZZZDDDDDZDD");
  CU_ASSERT_EQUAL (rig_read (&r, 0, SEC (40), 0), 0);
  spare_get_status (r.spare, &after);
  CU_ASSERT_EQUAL (before.slots_free, after.slots_free);
  CU_ASSERT (main_holds (&r, 0, SEC (10), 0));
  CU_ASSERT (main_holds (&r, SEC (31), SEC (9), 0));

  /* Parts of sectors are written. */
  set_state (&r, 50, 1, REMAPPED, 2);
  CU_ASSERT_EQUAL (rig_zero (&r, SEC (50) + 10, 20), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (50), 10, 2), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (50) + 10, 20, 0), 0);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (50) + 30, 482, 2), 0);
  CU_ASSERT_EQUAL (*states (&r, 50, 1), 'R');

  /* Trims ask main where it is DIRECT, and change nothing else. */
  sim_reset (r.main);
  CU_ASSERT_EQUAL (engine_trim (&r.conn, SEC (3), SEC (12), false), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_TRIM), 0);
  CU_ASSERT_EQUAL (engine_trim (&r.conn, SEC (45), SEC (10), true), 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_TRIM), 4);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_FLUSH), 1);
  sim_fail (r.main, SIM_TRIM, 1, EIO);
  CU_ASSERT_EQUAL (engine_trim (&r.conn, SEC (5), SEC (100), false), EIO);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (50) + 30, 482, 2), 0);
  CU_ASSERT_STRING_EQUAL (states (&r, 8, 25), "DDZZZZZDDDDDZZZZZDDDDDZDD");
  CU_ASSERT_STRING_EQUAL (states (&r, 100, 5), "DDDDD");
  rig_end (&r);
}

static void
test_extents (void)
{
  struct engine_rig r;
  uint32_t len;

  rig_init (&r, NULL);
  set_state (&r, 10, 5, REMAPPED, 2);
  set_state (&r, 15, 5, ZERO, 0);
  CU_ASSERT_EQUAL (engine_extent (r.e, 100000, 1, &len), DIRECT);
  CU_ASSERT_EQUAL (len, SEC (10) - 1);
  CU_ASSERT_EQUAL (engine_extent (r.e, 100000, SEC (11) + 7, &len), REMAPPED);
  CU_ASSERT_EQUAL (len, SEC (4) - 7);
  CU_ASSERT_EQUAL (engine_extent (r.e, 3, SEC (15) + 7, &len), ZERO);
  CU_ASSERT_EQUAL (len, 3);
  CU_ASSERT_EQUAL (engine_extent (r.e, 4 * MIB - SEC (20), SEC (20), &len),
                   DIRECT);
  CU_ASSERT_EQUAL (len, 4 * MIB - SEC (20));
  rig_end (&r);
}

/* FLUSH covers slots that were written again (promise 14). */
static void
test_flush_of_slots (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 10, 5, REMAPPED, 2);
  CU_ASSERT_EQUAL (rig_write (&r, SEC (11), 1024, 3), 0);
  r.mem->flushes = 0;
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  CU_ASSERT_EQUAL (r.mem->flushes, 1);
  CU_ASSERT_EQUAL (rig_flush (&r), 0);
  CU_ASSERT_EQUAL (r.mem->flushes, 1);
  CU_ASSERT_EQUAL (rig_write_fua (&r, SEC (11), 1024, 4), 0);
  CU_ASSERT_EQUAL (r.mem->flushes, 2);
  rig_end (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "the table of states", test_table },
    { "any request, any states (promises 1, 2, 6)", test_model },
    { "partial writes of LOST (promise 6)", test_partial_lost },
    { "mixed blocks", test_mixed },
    { "the block size changes", test_block_size_changes },
    { "LOST as zeroes (promise 7)", test_lost_zero },
    { "automatic remapping is off (promise 7)", test_manual },
    { "zero and trim (promise 9)", test_zero },
    { "extents", test_extents },
    { "FLUSH covers slots (promise 14)", test_flush_of_slots },
    { NULL }
  };

  return run_tests (argc, argv, "engine", tests);
}
