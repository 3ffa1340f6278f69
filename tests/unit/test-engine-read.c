/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reads that main fails: isolation, retries, weak blocks, LOST, and how
 * often a dying disk is asked (promises 4 and 5 of remap-promises(7)).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine-rig.h"

/* Retries: how often a block that was asked for alone is read. */
static void
test_retries (void)
{
  for (int retries = 0; retries <= 3; retries++) {
    const struct rig_options o = { .retries = retries ? retries : -1 };
    const unsigned tries = 1 + retries;
    struct engine_rig r;

    rig_init (&r, &o);
    sim_bad (r.main, SIM_READ, 50, 1, EIO);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (50), 512, 1), EIO);
    CU_ASSERT_EQUAL (*states (&r, 50, 1), 'L');
    CU_ASSERT_EQUAL (r.main->sector[50].failed_reads, tries);
    CU_ASSERT_EQUAL (stat_of (&r, STAT_RETRIES), tries - 1);

    /* LOST is never asked for again. */
    sim_bad (r.main, 0, 50, 1, 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (50), 512, 1), EIO);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (40), SEC (20), 1), EIO);
    CU_ASSERT_EQUAL (r.main->sector[50].reads, tries);
    CU_ASSERT_EQUAL (r.main->sector[45].reads, 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (40), SEC (10), 1), 0);
    CU_ASSERT_EQUAL (rig_write (&r, SEC (50), 512, 2), 0);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (50), 512, 2), 0);
    CU_ASSERT_EQUAL (r.main->sector[50].reads, tries);
    CU_ASSERT_EQUAL (r.main->sector[50].writes, 0);

    /* Once main was written, the last word needs a lock, and so a try. */
    CU_ASSERT_EQUAL (rig_write (&r, SEC (70), 512, 2), 0);
    sim_bad (r.main, SIM_READ, 60, 1, EIO);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (60), 512, 1), EIO);
    CU_ASSERT_EQUAL (r.main->sector[60].failed_reads, retries ? tries : 2);
    CU_ASSERT_EQUAL (*states (&r, 60, 1), 'L');
    rig_end (&r);
  }
}

/* A block that is written while it fails to be read isn't LOST, not even
 * without retries (promise 1).
 */
static void
write_meanwhile (void *opaque, enum sim_op op, uint64_t offset,
                 uint64_t count)
{
  struct engine_rig *r = opaque;

  if (op != SIM_READ || offset != SEC (50))
    return;
  pthread_mutex_lock (&r->main->lock);
  r->main->hook = NULL;
  pthread_mutex_unlock (&r->main->lock);
  CU_ASSERT_EQUAL (rig_write (r, SEC (50), 512, 2), 0);
}

static void
test_written_meanwhile (void)
{
  const struct rig_options o = { .retries = -1 };
  struct engine_rig r;

  rig_init (&r, &o);
  sim_bad (r.main, SIM_READ, 50, 1, EIO);
  sim_recover (r.main, 50, 1);
  r.main->hook_opaque = &r;
  r.main->hook = write_meanwhile;
  CU_ASSERT_EQUAL (rig_read (&r, SEC (50), 512, 2), 0);
  CU_ASSERT_EQUAL (*states (&r, 50, 1), 'R');
  rig_end (&r);
}

/* What finding bad blocks costs: a failing read for each block and retry,
 * and one for the request that led there; for a lone block in more than
 * 1 MiB one more.  A reader that goes around what fails pays no more than
 * one that has no filter below it.
 */
static void
test_cost (void)
{
  static const uint32_t sizes[] = { 1024, 4096, 65536, MIB, 2 * MIB };

  for (int retries = 0; retries <= 1; retries++)
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      const struct rig_options o = { .retries = retries ? retries : -1 };
      const unsigned size = sizes[i] / SECTOR_SIZE, tries = 1 + retries;
      const unsigned large = sizes[i] > MIB;
      struct engine_rig r;

      rig_init (&r, &o);
      sim_bad (r.main, SIM_READ, 1, 1, EIO);
      CU_ASSERT_EQUAL (rig_read (&r, 0, sizes[i], 1), EIO);
      CU_ASSERT_EQUAL (sim_failed (r.main, SIM_READ), 1 + large + tries);

      /* A cluster at the end of a piece that is read whole, then by
       * sectors, as copying programs do.
       */
      sim_reset (r.main);
      sim_bad (r.main, SIM_READ, 2 * size - size / 2, size / 2, EIO);
      CU_ASSERT_EQUAL (rig_read (&r, SEC (size), sizes[i], 1), EIO);
      for (unsigned s = size; s < 2 * size; s++)
        CU_ASSERT_EQUAL (rig_read (&r, SEC (s), 512, 1),
                         s < 2 * size - size / 2 ? 0 : EIO);
      CU_ASSERT_EQUAL (sim_failed (r.main, SIM_READ),
                       1 + large + tries * (size / 2));
      rig_end (&r);
    }
}

/* A weak block is moved before its content is returned. */
static void
test_weak (void)
{
  for (uint32_t block = 512; block <= 4096; block *= 8) {
    const struct rig_options o = { .block = block, .retries = 2 };
    const unsigned n = block / SECTOR_SIZE;
    struct spare_status st;
    struct engine_rig r;

    rig_init (&r, &o);
    sim_bad (r.main, SIM_READ, 48, 1, EIO);
    sim_recover (r.main, 48, 2);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (48), 512, 1), 0);
    CU_ASSERT_EQUAL (totals (&r).remapped, n);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (48), block, 1), 0);
    CU_ASSERT_EQUAL (stat_of (&r, STAT_RETRIES_SAVED), 1);
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.counters[COUNT_WEAK], n);
    CU_ASSERT_EQUAL (health (&r), HEALTH_DEGRADED);

    /* Within a large request: alone it failed once. */
    sim_bad (r.main, SIM_READ, 480, 1, EIO);
    sim_recover (r.main, 480, 3);
    CU_ASSERT_EQUAL (rig_read (&r, SEC (256), 128 * KIB, 1), 0);
    CU_ASSERT_EQUAL (totals (&r).remapped, 2 * n);

    /* In a write of part of the block: the rest goes along. */
    if (n > 1) {
      sim_bad (r.main, SIM_READ, 800, 1, EIO);
      sim_recover (r.main, 800, 1);
      CU_ASSERT_EQUAL (rig_write (&r, SEC (801), 512, 2), 0);
      CU_ASSERT_STRING_EQUAL (states (&r, 800, 8), "RRRRRRRR");
      CU_ASSERT_EQUAL (rig_read (&r, SEC (800), 512, 1), 0);
      CU_ASSERT_EQUAL (rig_read (&r, SEC (801), 512, 2), 0);
      CU_ASSERT_EQUAL (rig_read (&r, SEC (802), SEC (6), 1), 0);
    }
    rig_end (&r);
  }
}

/* A weak block that the spare can't take is returned all the same. */
static void
test_weak_and_full (void)
{
  const struct rig_options o = { .spare_size = MIB };
  struct spare_status st;
  struct engine_rig r;

  rig_init (&r, &o);
  spare_get_status (r.spare, &st);
  set_state (&r, 4096, st.slots_free, REMAPPED, 9);
  sim_bad (r.main, SIM_READ, 48, 1, EIO);
  sim_recover (r.main, 48, 1);
  CU_ASSERT_EQUAL (rig_read (&r, SEC (48), 512, 1), 0);
  CU_ASSERT_EQUAL (*states (&r, 48, 1), 'D');
  CU_ASSERT_PTR_NOT_NULL (strstr (r.warning, "weak"));
  rig_end (&r);
}

/* Isolation stops at the first block that is LOST, and what lies before it
 * isn't LOST.
 */
static void
test_stops (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  for (unsigned i = 0; i < 10; i++)
    sim_bad (r.main, SIM_READ, 100 + i * 300, 1, EIO);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 2 * MIB, 1), EIO);
  CU_ASSERT_EQUAL (totals (&r).lost, 1);
  CU_ASSERT_EQUAL (*states (&r, 100, 1), 'L');
  CU_ASSERT (sim_failed (r.main, SIM_READ) <= 4);
  sim_reset (r.main);
  CU_ASSERT_EQUAL (rig_read (&r, 0, 2 * MIB, 1), EIO);
  CU_ASSERT_EQUAL (sim_calls (r.main, SIM_READ), 0);
  rig_end (&r);
}

/* Prefetching fails as a read does. */
static int
failing_cache (void *ctx, uint32_t count, uint64_t offset)
{
  static uint8_t buf[32 * MIB];
  struct simdisk *s = ctx;

  return device_pread (&s->dev, buf, count, offset);
}

/* What the failing reads of a disk were for: no block alone may cost more
 * than four, in all its life.
 */
struct bound {
  struct engine_rig r;
  bool was_bad[8192];           /* sectors */
};

static void
make_bad (struct bound *b, uint64_t *seed, unsigned pattern)
{
  const uint64_t n = b->r.main->size / SECTOR_SIZE;
  uint64_t i, at, len;

  for (i = 0; i < 30; i++) {
    at = memdev_random (seed) % (n - 64);
    len = pattern == 0 ? 1 : pattern == 1 ? 1 + memdev_random (seed) % 40
      : (memdev_random (seed) % 4) * 8 + 1;
    if (pattern == 2)
      at = at / 3 + n / 2;
    sim_bad (b->r.main, SIM_READ, at, len, i % 2 ? EIO : ENODATA);
    memset (b->was_bad + at, true, len);
    if (i % 4 == 0)
      for (uint64_t j = at; j < at + len; j++)
        sim_recover (b->r.main, j, 1 + memdev_random (seed) % 4);
  }
}

/* One client reads the whole disk as a copying program would: on an error
 * in smaller and smaller pieces.
 */
static void
copy_disk (struct bound *b, uint32_t size, int how, uint64_t *seed)
{
  struct engine_rig *r = &b->r;
  static uint8_t buf[2 * MIB];
  uint64_t pos, n;

  for (pos = 0; pos < r->main->size; pos += n) {
    n = min_u64 (size, r->main->size - pos);
    if (how == 0 || memdev_random (seed) % 3 == 0)
      engine_pread (&r->conn, buf, n, pos);
    else if (how == 1)
      engine_cache (&r->conn, n, pos, failing_cache);
    else {
      /* A write that begins and ends in the middle of sectors. */
      fill (buf, pos, n, 1);
      engine_pwrite (&r->conn, buf + 3, n - 6, pos + 3, false);
    }
    if (memdev_random (seed) % (r->main->size / size / 4 + 1) == 0)
      rig_restart (r);
  }
}

/* Blocks that failed, and were recorded or have recovered since, may have
 * cost that much; others nothing at all.
 */
static void
check_bound (struct bound *b)
{
  const uint64_t n = b->r.main->size / SECTOR_SIZE;
  const uint64_t per_block = b->r.config.main_block / SECTOR_SIZE;
  uint64_t blocks = 0, i, j;

  for (i = 0; i < n; i += per_block) {
    bool paid = map_lookup (b->r.map, i, 1).state != DIRECT;

    for (j = i; j < i + per_block; j++)
      paid |= b->was_bad[j] && b->r.main->sector[j].bad == 0;
    blocks += paid;
  }
  CU_ASSERT (blocks > 0);
  CU_ASSERT (sim_failed (b->r.main, SIM_READ) <= 4 * blocks);
}

/* Promise 5: at the default settings, for requests of all sizes, that read,
 * write or prefetch, across restarts.
 */
static void
test_bound (void)
{
  static const uint32_t sizes[] = { 512, 4096, 65536, MIB, 2 * MIB };
  const char *env = getenv ("TEST_SEED");
  uint64_t seed = env ? strtoull (env, NULL, 0) : 20;

  for (int how = 0; how < 3; how++)
    for (unsigned pattern = 0; pattern < 3; pattern++)
      for (uint32_t block = 512; block <= 4096; block *= 8) {
        const struct rig_options o = { .size = 4 * MIB, .block = block };
        static struct bound b;

        memset (&b, 0, sizeof b);
        rig_init (&b.r, &o);
        make_bad (&b, &seed, pattern);
        for (int round = 0; round < 2; round++)
          for (size_t s = sizeof sizes / sizeof sizes[0]; s-- > 0;)
            if (sizes[s] >= 4096 || round == 0)
              copy_disk (&b, sizes[s], how, &seed);
        check_bound (&b);
        rig_end (&b.r);
      }
}

static void
test_cache (void)
{
  struct engine_rig r;

  rig_init (&r, NULL);
  set_state (&r, 10, 2, LOST, 0);
  set_state (&r, 20, 2, REMAPPED, 2);
  CU_ASSERT_EQUAL (engine_cache (&r.conn, 4 * MIB, 0, failing_cache), 0);
  CU_ASSERT_EQUAL (r.main->sector[10].reads, 0);
  CU_ASSERT_EQUAL (r.main->sector[20].reads, 0);
  CU_ASSERT_EQUAL (r.main->sector[8191].reads, 1);

  sim_bad (r.main, SIM_READ, 5000, 1, EIO);
  sim_reset (r.main);
  CU_ASSERT_EQUAL (engine_cache (&r.conn, 3 * MIB, MIB, failing_cache), EIO);
  CU_ASSERT_STRING_EQUAL (states (&r, 4999, 3), "DLD");
  CU_ASSERT (sim_failed (r.main, SIM_READ) <= 4);
  CU_ASSERT_EQUAL (engine_cache (&r.conn, 3 * MIB, MIB, failing_cache), 0);

  /* Alone, and weak. */
  sim_bad (r.main, SIM_READ, 6000, 1, EIO);
  sim_recover (r.main, 6000, 1);
  CU_ASSERT_EQUAL (engine_cache (&r.conn, 7, SEC (6000) + 1, failing_cache), 0);
  CU_ASSERT_EQUAL (*states (&r, 6000, 1), 'R');

  /* Without prefetching of its own main is read. */
  sim_reset (r.main);
  CU_ASSERT_EQUAL (engine_cache (&r.conn, SEC (30), 0, NULL), 0);
  CU_ASSERT_EQUAL (r.main->sector[9].reads, 1);
  CU_ASSERT_EQUAL (r.main->sector[10].reads, 0);
  sim_gone (r.main, ENODEV);
  CU_ASSERT_EQUAL (engine_cache (&r.conn, SEC (3), 0, failing_cache),
                   ESHUTDOWN);
  CU_ASSERT_EQUAL (health (&r), HEALTH_MAIN_LOST);
  rig_end (&r);
}

/* Canaries that hit bad blocks count as reads: such a block isn't asked
 * over and over again, by one run or by many.
 */
static void
test_canaries_bounded (void)
{
  for (int restarts = 0; restarts < 2; restarts++) {
    const struct rig_options o = { .size = 2 * MIB };
    struct engine_rig r;

    rig_init (&r, &o);
    /* Where canaries are, in the middle of regions; but if three in a row
     * were bad, the disk would seem to be gone.
     */
    for (unsigned i = 0; i < 8; i += 4)
      sim_bad (r.main, SIM_READ, (i * 2 + 1) * 256, 1, EIO);
    for (unsigned i = 0; i < 60; i++) {
      sim_bad (r.main, SIM_READ, 10 + i * 64, 1, EIO);
      CU_ASSERT_EQUAL (rig_read (&r, SEC (10 + i * 64), 512, 1), EIO);
      if (restarts)
        rig_restart (&r);
    }
    for (unsigned i = 0; i < r.main->size / 512; i++)
      CU_ASSERT_FATAL (r.main->sector[i].failed_reads <= 4);
    CU_ASSERT_NOT_EQUAL (health (&r), HEALTH_MAIN_LOST);
    rig_end (&r);
  }
}

/* Promise 4: a read that fails for one block leaves others alone, whatever
 * the sizes are; a short block at the end counts as one.
 */
static void
test_sizes (void)
{
  static const uint32_t max[] = { 0, 4096, 65536 };

  for (size_t i = 0; i < 3; i++)
    for (unsigned at = 0; at < 2049; at += 683) {
      const struct rig_options o = {
        .size = MIB + 77, .max_call = max[i]
      };
      struct engine_rig r;

      rig_init (&r, &o);
      sim_bad (r.main, SIM_READ, at, at == 2049 ? 0 : 1, EILSEQ);
      if (at == 2049)
        sim_bad (r.main, SIM_READ, 2048, 1, EILSEQ);
      CU_ASSERT_EQUAL (rig_read (&r, 0, MIB + 77, 1), EIO);
      CU_ASSERT_EQUAL (totals (&r).lost, 1);
      CU_ASSERT_EQUAL (totals (&r).runs, 1);
      if (at > 0)
        CU_ASSERT_EQUAL (rig_read (&r, 0, SEC (at), 1), 0);
      CU_ASSERT_EQUAL (rig_read (&r, SEC (at + 1), MIB + 77 - SEC (at + 1),
                                 1), 0);
      rig_end (&r);
    }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "retries (promise 4)", test_retries },
    { "written while it failed (promise 1)", test_written_meanwhile },
    { "what finding bad blocks costs (promise 5)", test_cost },
    { "weak blocks (promise 4)", test_weak },
    { "weak blocks and a full spare (promise 4)", test_weak_and_full },
    { "isolation stops (promise 4)", test_stops },
    { "sizes (promise 4)", test_sizes },
    { "failing reads are bounded (promise 5)", test_bound },
    { "cache (promise 5)", test_cache },
    { "failing canaries are bounded (promise 5)", test_canaries_bounded },
    { NULL }
  };

  return run_tests (argc, argv, "engine-read", tests);
}
