/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The copy against a model: random requests, keepings, kills and power cuts, at
 * any call of a device too, in which spare and copy lose, each for itself, any
 * part of what wasn't flushed.
 * Whatever happens, what was acknowledged flushed is read back, what the copy
 * held before it was attached never is, and main is never written (promises 1,
 * 25, 27 of remap-promises(7)).
 *
 * TEST_SEED=N repeats a run.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/keep.h"
#include "engine/settle.h"
#include "rescue-rig.h"

#define SECTORS 96U
#define TAIL 100U               /* bytes of the last one */
#define SIZE (SEC (SECTORS - 1) + TAIL)
#define MAX_CONTENTS 24U

/* Contents that a sector may have after a power cut: the first is that of the
 * last flush, the last one is what it has now.
 */
struct sector {
  unsigned n;
  uint8_t v[MAX_CONTENTS][SECTOR_SIZE];
};

struct test_model {
  struct rescue_rig rr;
  uint64_t seed;
  struct sector s[SECTORS];
  unsigned crowded;             /* one has so many contents */
  unsigned countdown;           /* calls of devices until the power fails */
  bool copy_bad;                /* sectors of the copy become bad, and good */
};

static uint64_t
below (struct test_model *m, uint64_t n)
{
  return memdev_random (&m->seed) % n;
}

static uint32_t
len_of (unsigned s)
{
  return s == SECTORS - 1 ? TAIL : SECTOR_SIZE;
}

static uint8_t *
now (struct test_model *m, unsigned s)
{
  return m->s[s].v[m->s[s].n - 1];
}

/* These bytes are written; NULL: zeroes. */
static void
note_write (struct test_model *m, const uint8_t *buf, uint64_t start,
            uint64_t end)
{
  uint64_t next;

  for (; start < end; start = next) {
    const unsigned s = start / SECTOR_SIZE, at = start % SECTOR_SIZE;
    struct sector *sector = &m->s[s];

    next = min_u64 (SEC (s + 1), end);
    memcpy (sector->v[sector->n], sector->v[sector->n - 1], SECTOR_SIZE);
    if (buf)
      memcpy (sector->v[sector->n] + at, buf, next - start);
    else
      memset (sector->v[sector->n] + at, 0, next - start);
    sector->n++;
    if (sector->n > m->crowded)
      m->crowded = sector->n;
    buf = buf ? buf + (next - start) : NULL;
  }
}

static void
note_durable (struct test_model *m, uint64_t start, uint64_t end)
{
  for (unsigned s = start / SECTOR_SIZE; SEC (s) < end; s++) {
    memcpy (m->s[s].v[0], now (m, s), SECTOR_SIZE);
    m->s[s].n = 1;
  }
}

static void
note_flush (struct test_model *m)
{
  note_durable (m, 0, SIZE);
  m->crowded = 1;
}

static void
wrong (struct test_model *m, const char *what, unsigned s)
{
  printf ("%s: sector %u, states %s\n", what, s,
          rescue_states (&m->rr, 0, SECTORS));
  CU_FAIL_FATAL ("see above");
}

static void
check (struct test_model *m, uint64_t start, uint64_t end)
{
  uint8_t buf[SIZE];
  int err = engine_pread (&m->rr.r.conn, buf, end - start, start);
  uint64_t next, pos;

  if (err)
    wrong (m, strerror (err), start / SECTOR_SIZE);
  for (pos = start; pos < end; pos = next) {
    const unsigned s = pos / SECTOR_SIZE;

    next = min_u64 (SEC (s + 1), end);
    if (memcmp (buf + (pos - start), now (m, s) + pos % SECTOR_SIZE,
                next - pos) != 0)
      wrong (m, "it isn't what was written last", s);
  }
}

/* Did the power fail meanwhile?  Then nobody was told that it succeeded. */
static bool
power_failed (const struct test_model *m)
{
  return m->rr.mem_then != NULL;
}

static void
flush (struct test_model *m)
{
  CU_ASSERT_EQUAL_FATAL (rig_flush (&m->rr.r), 0);
  if (!power_failed (m))
    note_flush (m);
}

static void
count_down (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  struct test_model *m = opaque;

  if (op != MEMDEV_READ && m->countdown > 0 && --m->countdown == 0)
    rescue_cut_power (&m->rr, &m->seed);
}

static void
arm (struct test_model *m)
{
  m->countdown = 1 + below (m, 12);
  m->rr.copy->hook = m->rr.r.mem->hook = count_down;
  m->rr.copy->hook_opaque = m->rr.r.mem->hook_opaque = m;
}

static void
disarm (struct test_model *m)
{
  m->countdown = 0;
  m->rr.copy->hook = m->rr.r.mem->hook = NULL;
}

/* What is there now is one of what may be. */
static void
look_after_crash (struct test_model *m)
{
  uint8_t buf[SIZE];

  CU_ASSERT_EQUAL_FATAL (engine_pread (&m->rr.r.conn, buf, SIZE, 0), 0);
  for (unsigned s = 0; s < SECTORS; s++) {
    bool found = false;

    for (unsigned i = 0; i < m->s[s].n && !found; i++)
      found = memcmp (buf + SEC (s), m->s[s].v[i], len_of (s)) == 0;
    if (!found)
      wrong (m, "after a crash it is nothing that was written", s);
    memcpy (m->s[s].v[0], buf + SEC (s), len_of (s));
    m->s[s].n = 1;
  }
  m->crowded = 1;
}

static void
random_range (struct test_model *m, uint64_t *start, uint64_t *end)
{
  const uint64_t most = below (m, 4) ? 10 * SECTOR_SIZE : SIZE;

  *start = below (m, SIZE);
  *end = *start + 1 + below (m, most);
  if (below (m, 3)) {
    *start = round_down (*start, SECTOR_SIZE);
    *end = round_up (*end, SECTOR_SIZE);
  }
  *end = min_u64 (*end, SIZE);
}

static void
do_one (struct test_model *m)
{
  struct engine_conn *conn = &m->rr.r.conn;
  uint8_t buf[SIZE];
  uint64_t start, end;
  bool fua;

  random_range (m, &start, &end);
  switch (below (m, 16)) {
  case 0: case 1: case 2: case 3:
    check (m, start, end);
    break;
  case 4: case 5: case 6: case 7: case 8:
    fua = below (m, 8) == 0;
    fill (buf, 0, end - start, 2 + below (m, 1000));
    CU_ASSERT_EQUAL_FATAL (engine_pwrite (conn, buf, end - start, start, fua),
                           0);
    note_write (m, buf, start, end);
    if (fua && !power_failed (m))
      note_durable (m, start, end);
    break;
  case 9:
    CU_ASSERT_EQUAL_FATAL (engine_zero (conn, end - start, start, 0, false),
                           0);
    note_write (m, NULL, start, end);
    break;
  case 10:
    /* Of what is DIRECT whole sectors become zeroes. */
    CU_ASSERT_EQUAL_FATAL (engine_trim (conn, end - start, start, false), 0);
    CU_ASSERT_EQUAL_FATAL (engine_pread (conn, buf, SIZE, 0), 0);
    for (unsigned s = 0; s < SECTORS; s++)
      if (memcmp (buf + SEC (s), now (m, s), len_of (s)) != 0) {
        if (!is_zero (buf + SEC (s), len_of (s)) || SEC (s) < start ||
            SEC (s) + len_of (s) > end)
          wrong (m, "trimmed to something else", s);
        note_write (m, NULL, SEC (s), SEC (s) + len_of (s));
      }
    break;
  case 11: case 12:
    keep_one (conn);
    break;
  case 13:
    CU_ASSERT_EQUAL_FATAL (settle_all (m->rr.r.e), 0);
    break;
  case 14:
    flush (m);
    break;
  default:
    if (m->copy_bad && below (m, 2))
      memdev_set_bad (m->rr.copy, below (m, 3) ? MEMDEV_WRITE : 0,
                      SEC (below (m, SECTORS)), 512, EIO);
    if (below (m, 4))
      break;
    if (below (m, 3) == 0 && m->countdown == 0 && !power_failed (m)) {
      rescue_restart (&m->rr, true);
      note_flush (m);
    }
    else if (!power_failed (m))
      rescue_cut_power (&m->rr, &m->seed);
  }
  if (m->crowded > MAX_CONTENTS - 4)
    flush (m);
}

/* The same, and perhaps the power fails in it. */
static void
do_one_or_half (struct test_model *m)
{
  const bool armed = below (m, 10) == 0;

  if (armed)
    arm (m);
  do_one (m);
  if (armed)
    disarm (m);
  if (power_failed (m)) {
    rescue_crash (&m->rr);
    look_after_crash (m);
  }
}

/* COPY_BAD: the copy has sectors that can't be written.  SMALL_SPARE: the log
 * is written anew all the time.
 */
static void
run (uint32_t block, uint32_t copy_block, bool copy_bad, uint64_t seed)
{
  const struct rig_options o = {
    .size = SIZE, .block = block, .copy_block = copy_block, .spare_size = MIB,
  };
  struct test_model *m = calloc (1, sizeof *m);

  m->seed = seed;
  m->copy_bad = copy_bad;
  rescue_init (&m->rr, &o);
  for (unsigned s = 0; s < SECTORS; s++) {
    memcpy (m->s[s].v[0], m->rr.r.main->data + SEC (s), len_of (s));
    m->s[s].n = 1;
  }
  for (int i = 0; copy_bad && i < 6; i++)
    memdev_set_bad (m->rr.copy, MEMDEV_WRITE, SEC (below (m, SECTORS)), 512,
                    EIO);
  for (int i = 0; i < 3000; i++)
    do_one_or_half (m);
  flush (m);
  check (m, 0, SIZE);
  rescue_end (&m->rr);
  free (m);
}

static uint64_t seed;

static void
test_plain (void)
{
  run (512, 512, false, seed);
  run (512, 512, false, seed + 1);
}

static void
test_blocks (void)
{
  run (4096, 512, false, seed + 2);
  run (512, 4096, false, seed + 3);
  run (4096, 4096, false, seed + 4);
}

static void
test_bad_copy (void)
{
  run (512, 512, true, seed + 5);
  run (512, 4096, true, seed + 6);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "any requests (promises 1, 25, 27)", test_plain },
    { "larger blocks", test_blocks },
    { "bad sectors of the copy (promise 29)", test_bad_copy },
    { NULL }
  };
  const char *s = getenv ("TEST_SEED");

  seed = s ? strtoull (s, NULL, 0) : (uint64_t) time (NULL);
  printf ("TEST_SEED=%" PRIu64 "\n", seed);
  return run_tests (argc, argv, "rescue-model", tests);
}
