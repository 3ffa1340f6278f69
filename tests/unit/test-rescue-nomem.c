/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What requests cost that touch only what is recorded as RESCUED (promise 24 of
 * remap-promises(7)), and the copy when memory runs out: each allocation of
 * each request fails once.  Then the request fails or succeeds, but nothing is
 * invented, lost, leaked or left locked (promises 26 and 27).
 *
 * Linked with --wrap for the functions that allocate or lock.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine/keep.h"
#include "fail-malloc.h"
#include "rescue-rig.h"

static _Thread_local unsigned locks;

extern int __real_pthread_mutex_lock (pthread_mutex_t *m);
extern int __wrap_pthread_mutex_lock (pthread_mutex_t *m);

int
__wrap_pthread_mutex_lock (pthread_mutex_t *m)
{
  locks++;
  return __real_pthread_mutex_lock (m);
}

/* A copy that takes no lock and allocates nothing itself. */
static uint8_t plain[4 * MIB];

static int
plain_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  memcpy (buf, plain + offset, count);
  return 0;
}

static int
plain_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  memcpy (plain + offset, buf, count);
  return 0;
}

static int
plain_flush (void *ctx)
{
  return 0;
}

static void
test_clean_path (void)
{
  static const struct device_ops ops = {
    .pread = plain_pread, .pwrite = plain_pwrite, .flush = plain_flush,
  };
  const struct rescue_config config = {
    .dev = { .ops = &ops }, .block = 512, .size = 4 * MIB,
  };
  static uint8_t buf[64 * 1024];
  struct engine_rig r;

  rig_init (&r, NULL);
  CU_ASSERT_EQUAL_FATAL (engine_attach_copy (&r.conn, &config), 0);
  CU_ASSERT_EQUAL (engine_pread (&r.conn, buf, sizeof buf, 0), 0);
  while (keep_one (&r.conn))
    ;
  CU_ASSERT_EQUAL (engine_pwrite (&r.conn, buf, sizeof buf, MIB, false), 0);
  CU_ASSERT_EQUAL (engine_flush (&r.conn), 0);
  /* What comes first registers the thread. */
  CU_ASSERT_EQUAL (engine_pread (&r.conn, buf, 512, 0), 0);
  CU_ASSERT_EQUAL (engine_pwrite (&r.conn, buf, 512, MIB, false), 0);

  sim_reset (r.main);
  malloc_calls = locks = 0;
  CU_ASSERT_EQUAL (engine_pread (&r.conn, buf, sizeof buf, 0), 0);
  CU_ASSERT_EQUAL (engine_pread (&r.conn, buf, 4096, 1024), 0);
  CU_ASSERT_EQUAL (engine_pread (&r.conn, buf, sizeof buf, MIB), 0);
  CU_ASSERT_EQUAL (engine_pwrite (&r.conn, buf, sizeof buf, MIB, false), 0);
  CU_ASSERT_EQUAL (engine_pwrite (&r.conn, buf, 512, MIB + 512, false), 0);
  CU_ASSERT_EQUAL (malloc_calls, 0);
  CU_ASSERT_EQUAL (locks, 0);
  CU_ASSERT_EQUAL (sim_calls (r.main, ~0U), 0);
  rig_end (&r);
}

/* As those of the rig, without malloc. */
static uint8_t bytes[SEC (32)];

static int
read_tag (struct rescue_rig *rr, uint64_t offset, uint64_t count, unsigned tag)
{
  int err = engine_pread (&rr->r.conn, bytes, count, offset);

  return err ? err : matches (bytes, offset, count, tag) ? 0 : -1;
}

static int
write_tag (struct rescue_rig *rr, uint64_t offset, uint64_t count,
           unsigned tag, bool fua)
{
  fill (bytes, offset, count, tag);
  return engine_pwrite (&rr->r.conn, bytes, count, offset, fua);
}

/* Requests, of which SEC (16) to SEC (32) hold tag 1, 2 or zeroes before, and
 * TAG after if they succeed.
 */
static int
do_read (struct rescue_rig *rr)
{
  return read_tag (rr, SEC (16), SEC (16), 1);
}

static int
do_read_part (struct rescue_rig *rr)
{
  return read_tag (rr, SEC (16) + 7, SEC (4), 1);
}

static int
do_keep (struct rescue_rig *rr)
{
  int err = do_read (rr);

  rescue_keep (rr);
  return err;
}

static int
do_write (struct rescue_rig *rr)
{
  return write_tag (rr, SEC (16), SEC (16), 2, false);
}

static int
do_write_kept (struct rescue_rig *rr)
{
  int err = do_keep (rr);

  /* The second time it isn't main's any more. */
  return err > 0 ? err : do_write (rr);
}

static int
do_write_parts (struct rescue_rig *rr)
{
  int err = write_tag (rr, SEC (16), 700, 2, false);

  return err ? err : write_tag (rr, SEC (16) + 700, SEC (16) - 700, 2, false);
}

static int
do_write_refused (struct rescue_rig *rr)
{
  memdev_set_bad (rr->copy, MEMDEV_WRITE, SEC (20), 512, EIO);
  return do_write (rr);
}

static int
do_write_fua (struct rescue_rig *rr)
{
  return write_tag (rr, SEC (16), SEC (16), 2, true);
}

static int
do_zero (struct rescue_rig *rr)
{
  return rig_zero (&rr->r, SEC (16), SEC (16));
}

static int
do_zero_written (struct rescue_rig *rr)
{
  int err = do_write (rr);

  return err ? err : do_zero (rr);
}

static const struct {
  const char *name;
  int (*request) (struct rescue_rig *rr);
  unsigned tag;
} requests[] = {
  { "read", do_read, 1 }, { "read parts", do_read_part, 1 },
  { "keep", do_keep, 1 }, { "write", do_write, 2 },
  { "write what is kept", do_write_kept, 2 },
  { "write parts", do_write_parts, 2 },
  { "write what the copy refuses", do_write_refused, 2 },
  { "write with FUA", do_write_fua, 2 },
  { "zero", do_zero, 0 }, { "zero what was written", do_zero_written, 0 },
};

/* Each sector is as before, or as it was to be. */
static void
check_sectors (struct rescue_rig *rr, unsigned tag, bool done)
{
  for (unsigned s = 16; s < 32; s++) {
    const int as_wanted = read_tag (rr, SEC (s), SEC (1), tag);

    if (as_wanted == 0)
      continue;
    CU_ASSERT_FALSE (done);
    /* A part of one was written, as its request said. */
    if (s != 17)
      CU_ASSERT (read_tag (rr, SEC (s), SEC (1), 1) == 0 ||
                 read_tag (rr, SEC (s), SEC (1), 2) == 0);
  }
}

static void
fail_one (size_t i, uint32_t copy_block)
{
  const struct rig_options o = { .copy_block = copy_block };
  struct rescue_rig rr;
  unsigned n, hits;
  int err;

  for (n = 1, hits = 1; hits > 0; n++) {
    rescue_init (&rr, &o);
    malloc_hits = 0;
    malloc_countdown = n;
    err = requests[i].request (&rr);
    hits = malloc_hits;
    malloc_countdown = 0;
    CU_ASSERT (err == 0 || hits > 0);
    check_sectors (&rr, requests[i].tag, err == 0);
    CU_ASSERT_EQUAL (requests[i].request (&rr), 0);
    check_sectors (&rr, requests[i].tag, true);
    CU_ASSERT_EQUAL (rig_flush (&rr.r), 0);
    rescue_restart (&rr, false);
    check_sectors (&rr, requests[i].tag, true);
    rescue_end (&rr);
    CU_ASSERT_FATAL (n < 300);
  }
}

static void
test_requests (void)
{
  for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
    fail_one (i, 512);
    fail_one (i, 4096);
  }
}

/* A FLUSH that finds no memory has flushed nothing; the next one does. */
static void
test_flush (void)
{
  struct rescue_rig rr;
  unsigned n, hits;
  int err;

  for (n = 1, hits = 1; hits > 0; n++) {
    rescue_init (&rr, NULL);
    CU_ASSERT_EQUAL (do_write_kept (&rr), 0);
    CU_ASSERT_EQUAL (read_tag (&rr, SEC (40), SEC (4), 1), 0);
    rescue_keep (&rr);
    malloc_hits = 0;
    malloc_countdown = n;
    err = rig_flush (&rr.r);
    hits = malloc_hits;
    malloc_countdown = 0;
    CU_ASSERT (err == 0 || hits > 0);
    check_sectors (&rr, 2, true);
    CU_ASSERT_EQUAL (rig_flush (&rr.r), 0);
    CU_ASSERT_STRING_EQUAL (rescue_states (&rr, 38, 8), "DDKKKKDD");
    rescue_restart (&rr, false);
    check_sectors (&rr, 2, true);
    rescue_end (&rr);
  }
}

/* Neither can it be attached without memory. */
static void
test_attach (void)
{
  struct memdev *copy = memdev_new (4 * MIB);
  const struct rescue_config config = {
    .dev = copy->dev, .block = 512, .size = 4 * MIB,
  };
  struct engine_rig r;
  int err = ENOMEM;

  rig_init (&r, NULL);
  for (unsigned n = 1; err == ENOMEM; n++) {
    malloc_countdown = n;
    err = engine_attach_copy (&r.conn, &config);
    malloc_countdown = 0;
    CU_ASSERT_FATAL (n < 100);
  }
  CU_ASSERT_EQUAL (err, 0);
  CU_ASSERT_EQUAL (rig_write (&r, 0, 512, 2), 0);
  CU_ASSERT (main_holds (&r, 0, 512, 1));
  rig_end (&r);
  memdev_free (copy);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "RESCUED is free (promise 24)", test_clean_path },
    { "requests without memory (promises 26, 27)", test_requests },
    { "FLUSH without memory (promise 27)", test_flush },
    { "attaching without memory", test_attach },
    { NULL }
  };

  return run_tests (argc, argv, "rescue-nomem", tests);
}
