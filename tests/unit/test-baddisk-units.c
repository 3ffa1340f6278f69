/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Units of the baddisk filter that a server can't show all of: the arithmetic
 * of heads, at the end of 63 bits too, and numbers of sectors, in order and
 * without room.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "heads.h"
#include "reads.h"
#include "run-tests.h"

/* ---- heads ------------------------------------------------------------ */

static bool
on_dead_head (const struct heads *heads, uint64_t offset)
{
  return heads->dead >> (offset / heads->run % heads->count) & 1;
}

/* Every part of [OFFSET, END), against each byte of it. */
static void
compare_bytes (const struct heads *heads, uint64_t offset, uint64_t end)
{
  uint64_t from, to;

  while (heads_next_dead (heads, offset, end, &from, &to)) {
    CU_ASSERT_FATAL (offset <= from && from < to && to <= end);
    for (; offset < from; offset++)
      CU_ASSERT (!on_dead_head (heads, offset));
    for (; offset < to; offset++)
      CU_ASSERT (on_dead_head (heads, offset));
  }
  for (; offset < end; offset++)
    CU_ASSERT (!on_dead_head (heads, offset));
}

static void
test_heads (void)
{
  /* Runs of a few bytes are no sectors, but the same arithmetic. */
  for (unsigned count = 1; count <= 5; count++)
    for (uint64_t dead = 0; dead < UINT64_C (1) << count; dead++) {
      const struct heads heads = { .count = count, .dead = dead, .run = 3 };

      for (uint64_t offset = 0; offset < 20; offset++)
        compare_bytes (&heads, offset, 40 - offset);
    }
}

static void
test_heads_far (void)
{
  const uint64_t end = INT64_MAX;
  struct heads heads = { .count = 64, .dead = 1, .run = UINT64_C (1) << 62 };
  uint64_t from, to;

  CU_ASSERT (heads_next_dead (&heads, 0, end, &from, &to));
  CU_ASSERT (from == 0 && to == heads.run);
  CU_ASSERT (!heads_next_dead (&heads, to, end, &from, &to));
  heads.dead = 2;
  CU_ASSERT (heads_next_dead (&heads, 5, end, &from, &to));
  CU_ASSERT (from == heads.run && to == end);
  heads = (struct heads) { .count = 64, .dead = UINT64_C (1) << 63,
                           .run = 512 };
  CU_ASSERT (heads_next_dead (&heads, end - 511, end, &from, &to));
  CU_ASSERT (from == end - 511 && to == end);
  heads = (struct heads) { 0 };
  CU_ASSERT (!heads_next_dead (&heads, 0, end, &from, &to));
}

/* ---- reads ------------------------------------------------------------ */

static char path[] = "/tmp/reads-XXXXXX";
static struct reads reads;

static void
start_reads (void)
{
  reads = (struct reads) { 0 };
  CU_ASSERT_FATAL (reads_start (&reads, path) == 0);
}

/* What is in the file after the end. */
static const char *
end_reads (void)
{
  static char text[4096];
  FILE *fp;

  reads_end (&reads);
  fp = fopen (path, "r");
  CU_ASSERT_PTR_NOT_NULL_FATAL (fp);
  text[fread (text, 1, sizeof text - 1, fp)] = '\0';
  fclose (fp);
  return text;
}

static void
test_reads_order (void)
{
  start_reads ();
  for (uint64_t i = 0; i < 1000; i++)
    reads_count (&reads, (i * 389 % 1000) * 4096, 4096);
  reads_count (&reads, UINT64_C (1) << 50, 1);
  reads_count (&reads, 0, 1);
  reads_count (&reads, 4095, 2);
  CU_ASSERT_STRING_EQUAL (end_reads (),
                          "0 512 2\n512 3072 1\n3584 1024 2\n"
                          "4608 4091392 1\n1125899906842624 512 1\n");
}

/* Chunks have 64 sectors. */
static void
test_reads_limit (void)
{
  start_reads ();
  reads.max_chunks = 2;
  reads_count (&reads, 0, 65536);
  CU_ASSERT (!reads.incomplete);
  reads_count (&reads, 65536 - 512, 1024);
  CU_ASSERT (reads.incomplete);
  reads_count (&reads, 1 << 20, 512);
  reads_count (&reads, 512, 512);
  CU_ASSERT (reads.numbers.used == 2);
  CU_ASSERT_STRING_EQUAL (end_reads (),
                          "0 512 1\n512 512 2\n1024 64000 1\n65024 512 2\n"
                          "incomplete\n");
}

static void
test_reads_saturate (void)
{
  start_reads ();
  reads_count (&reads, 0, 512);
  *tries_find (&reads.numbers, 0) = UINT32_MAX - 1;
  reads_count (&reads, 0, 512);
  reads_count (&reads, 0, 512);
  CU_ASSERT_STRING_EQUAL (end_reads (), "0 512 4294967295\n");
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "heads", test_heads },
    { "heads at the end of 63 bits", test_heads_far },
    { "reads in any order", test_reads_order },
    { "more reads than there is room for", test_reads_limit },
    { "a sector that is read very often", test_reads_saturate },
    { NULL, NULL },
  };
  const int fd = mkstemp (path);
  int r;

  if (fd == -1) {
    perror (path);
    return 1;
  }
  close (fd);
  r = run_tests (argc, argv, "baddisk", tests);
  unlink (path);
  return r;
}
