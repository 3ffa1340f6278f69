/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Making a spare: each step of it fails once, in each way; and the headers,
 * which are believed only if what they say can be (promises 15, 17, 20, 21
 * and 23 of remap-promises(7)).
 *
 * Linked with --wrap=getrandom.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <CUnit/Basic.h>

#include "spare/internal.h"
#include "spare/layout.h"
#include "spare-testing.h"

/* Random numbers as the kernel may deliver them: a byte at a time, and
 * interrupted before each.
 */
static unsigned random_calls;

extern ssize_t __wrap_getrandom (void *buf, size_t len, unsigned flags);

ssize_t
__wrap_getrandom (void *buf, size_t len, unsigned flags)
{
  if (++random_calls % 2 == 1) {
    errno = EINTR;
    return -1;
  }
  *(uint8_t *) buf = random_calls;
  return 1;
}

static void
test_random (void)
{
  struct rig r;
  unsigned i, zeroes = 0;

  rig_init (&r, memdev_new (MIB));
  r.env.random = NULL;
  random_calls = 0;
  CU_ASSERT_EQUAL_FATAL (rig_format (&r, MIB), 0);
  /* A nonce of 8 bytes, and a UUID of 16. */
  CU_ASSERT_EQUAL (random_calls, 2 * (8 + 16));
  for (i = 0; i < 16; i++)
    zeroes += spare_get_identity (r.spare)->uuid[i] == 0;
  CU_ASSERT_EQUAL (zeroes, 0);
  CU_ASSERT_EQUAL (do_remap (&r, 5, 3, 1, 0), 0);
  rig_reload (&r);
  CU_ASSERT_EQUAL (map_lookup (r.map, 5, 3).state, REMAPPED);
  rig_free (&r);
}

/* The UUID is the caller's, but for the bits that make it one; main may be
 * as large as a disk can be, and no larger.
 */
static void
test_identity (void)
{
  struct spare_identity id = { .main_size = (uint64_t) INT64_MAX + 1 };
  struct rig r;

  rig_init (&r, memdev_new (MIB));
  memset (id.uuid, 0xff, sizeof id.uuid);
  r.map = map_new ();
  CU_ASSERT_EQUAL (spare_format (&r.m->dev, MIB, false, &id, &r.env, r.map,
                                 &r.spare, &r.message), EINVAL);
  CU_ASSERT_PTR_NULL (r.spare);
  CU_ASSERT (strstr (r.message.text, "main is too large") != NULL);
  CU_ASSERT_EQUAL (r.m->writes + r.m->allocates, 0);

  id.main_size = INT64_MAX;
  id.grows = true;
  CU_ASSERT_EQUAL_FATAL (spare_format (&r.m->dev, MIB, false, &id, &r.env,
                                       r.map, &r.spare, &r.message), 0);
  CU_ASSERT_EQUAL (id.uuid[5], 0xff);
  CU_ASSERT_EQUAL (id.uuid[6], 0x4f);
  CU_ASSERT_EQUAL (id.uuid[8], 0xbf);
  rig_reload (&r);
  CU_ASSERT_EQUAL (memcmp (spare_get_identity (r.spare)->uuid, id.uuid, 16),
                   0);
  CU_ASSERT_EQUAL (spare_get_identity (r.spare)->main_size, INT64_MAX);
  CU_ASSERT (spare_get_identity (r.spare)->grows);
  rig_close (&r, true);

  /* Sizes that no spare has. */
  CU_ASSERT_EQUAL (rig_format (&r, UINT64_MAX), EINVAL);
  CU_ASSERT_EQUAL (rig_format (&r, (uint64_t) INT64_MAX + 1), EINVAL);
  CU_ASSERT_EQUAL (rig_format (&r, MAP_MAX_SLOT * 512), EINVAL);
  CU_ASSERT (strstr (r.message.text, "can't be made") != NULL);

  /* Nothing was opened: nothing is closed. */
  spare_close (NULL);
  rig_free (&r);
}

/* Where there is always room a device needs no way to ask for it. */
static void
test_no_allocate (void)
{
  struct device_ops ops;
  uint64_t digest;
  struct rig r;

  rig_init (&r, memdev_new (MIB));
  ops = *r.m->dev.ops;
  ops.allocate = NULL;
  r.m->dev.ops = &ops;
  CU_ASSERT_EQUAL_FATAL (rig_format (&r, MIB), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 5, 3, 1, 0), 0);
  memdev_resize (r.m, 3 * MIB);
  CU_ASSERT_EQUAL (spare_grow (r.spare, 3 * MIB, &r.message), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 50, 3, 1, 0), 0);
  CU_ASSERT_EQUAL (r.m->allocates, 0);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* What an interrupted format leaves: an intent, and part of a header B. */
static void
leave_unfinished (struct rig *r)
{
  memdev_fail (r->m, MEMDEV_FLUSH, 4, EIO, false);
  CU_ASSERT_EQUAL (rig_format (r, MIB), EIO);
  memdev_fail (r->m, 0, 0, 0, false);
  memdev_poke (r->m, HEADER_B_PAGE * SPARE_PAGE + 700, "torn", 4);
}

/* Whatever a format that failed has left, it isn't taken for something else,
 * and another one makes a spare of it.
 */
static void
check_after_failure (struct rig *r)
{
  enum spare_content content = 99;
  struct spare_identity id;
  uint64_t digest;

  CU_ASSERT_EQUAL (spare_probe (&r->m->dev, MIB, NULL, &content, &id,
                                &r->message), 0);
  CU_ASSERT (content == SPARE_BLANK || content == SPARE_UNFINISHED ||
             content == SPARE_VALID);
  if (content == SPARE_VALID) {
    CU_ASSERT_EQUAL_FATAL (rig_load (r), 0);
    CU_ASSERT_EQUAL (r->warnings, 0);
  }
  else {
    CU_ASSERT_EQUAL (rig_load (r), EINVAL);
    CU_ASSERT (strstr (r->message.text, content == SPARE_UNFINISHED ?
                       "was interrupted" : "blank") != NULL);
    CU_ASSERT_EQUAL_FATAL (rig_format (r, MIB), 0);
  }
  CU_ASSERT_EQUAL (do_remap (r, 5, 3, 1, 0), 0);
  digest = rig_digest (r);
  rig_reload (r);
  CU_ASSERT_EQUAL (rig_digest (r), digest);
  CU_ASSERT_EQUAL (r->warnings, 0);
}

/* Each operation of the device fails in turn. */
static unsigned
fail_each (unsigned ops, int how, bool unfinished, int expected)
{
  struct rig r;
  unsigned n;
  int err;

  for (n = 1; n < 100; n++) {
    rig_init (&r, memdev_new (MIB));
    if (unfinished)
      leave_unfinished (&r);
    memdev_fail (r.m, ops, n, how, false);
    r.message.text[0] = 0;
    err = rig_format (&r, MIB);
    const uint64_t failed = r.m->fail_hits;
    memdev_fail (r.m, 0, 0, 0, false);
    if (failed == 0) {
      CU_ASSERT_EQUAL (err, 0);
      rig_free (&r);
      return n - 1;
    }
    CU_ASSERT_EQUAL (err, expected);
    if (err) {
      CU_ASSERT (strstr (r.message.text, strerror (how)) != NULL ||
                 strstr (r.message.text, strerror (err)) != NULL);
      CU_ASSERT_PTR_NULL (r.spare);
    }
    rig_close (&r, true);
    r.warnings = 0;
    check_after_failure (&r);
    rig_free (&r);
  }
  return n;
}

static void
test_steps (void)
{
  for (int unfinished = 0; unfinished < 2; unfinished++) {
    /* The intent, the log, two headers; and a header B to be cleared. */
    const unsigned writes = 4 + unfinished;

    CU_ASSERT_EQUAL (fail_each (MEMDEV_WRITE, EIO, unfinished, EIO), writes);
    CU_ASSERT_EQUAL (fail_each (MEMDEV_WRITE, ENOSPC, unfinished, ENOSPC),
                     writes);
    CU_ASSERT_EQUAL (fail_each (MEMDEV_WRITE, EDQUOT, unfinished, ENOSPC),
                     writes);
    CU_ASSERT_EQUAL (fail_each (MEMDEV_FLUSH, EIO, unfinished, EIO),
                     writes + 1);
    CU_ASSERT_EQUAL (fail_each (MEMDEV_FLUSH, ENOSPC, unfinished, EIO),
                     writes + 1);
    /* A header that can't be read is written anew. */
    CU_ASSERT_EQUAL (fail_each (MEMDEV_READ, EIO, unfinished, 0), 2);
    CU_ASSERT_EQUAL (fail_each (MEMDEV_ALLOCATE, EFBIG, unfinished, ENOSPC),
                     1);
    CU_ASSERT_EQUAL (fail_each (MEMDEV_ALLOCATE, EIO, unfinished, EIO), 1);
    CU_ASSERT_EQUAL (fail_each (MEMDEV_ALLOCATE, ENXIO, unfinished, EIO), 1);
    CU_ASSERT_EQUAL (fail_each (MEMDEV_ALLOCATE, ENOMEM, unfinished, ENOMEM),
                     1);
  }
}

/* Headers that can't be read: one of them doesn't matter. */
static void
test_headers_unreadable (void)
{
  const uint64_t b = HEADER_B_PAGE * SPARE_PAGE;
  uint64_t digest;
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 5, 3, 1, 0), 0);
  digest = rig_digest (&r);
  rig_close (&r, true);
  for (int copy = 0; copy < 2; copy++) {
    memdev_set_bad (r.m, MEMDEV_READ, copy ? b : 0, SPARE_PAGE, EIO);
    CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
    CU_ASSERT (strstr (r.warning, strerror (EIO)) != NULL);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    rig_close (&r, true);
    memdev_set_bad (r.m, 0, copy ? b : 0, SPARE_PAGE, 0);
  }

  r.m->writes = 0;
  memdev_set_bad (r.m, MEMDEV_READ, 0, b + SPARE_PAGE, EIO);
  CU_ASSERT_EQUAL (rig_load (&r), EIO);
  CU_ASSERT (strstr (r.message.text, strerror (EIO)) != NULL);

  /* One can't be read, and the other one is something else. */
  memdev_set_bad (r.m, 0, b, SPARE_PAGE, 0);
  memdev_set_bad (r.m, MEMDEV_READ, 0, SPARE_PAGE, EIO);
  memdev_poke (r.m, b, "what is this?", 13);
  CU_ASSERT_EQUAL (rig_load (&r), EINVAL);
  CU_ASSERT (strstr (r.message.text, strerror (EIO)) != NULL);
  CU_ASSERT (strstr (r.message.text, "not a header") != NULL);
  CU_ASSERT_EQUAL (r.m->writes, 0);
  rig_free (&r);
}

static int
check (const struct header *h)
{
  struct message message = { "" };
  int err = header_check (h, h->size, false, &message);

  CU_ASSERT_EQUAL (err != 0, message.text[0] != 0);
  return err;
}

/* Layouts that can't be, one deviation at a time. */
static void
test_layouts (void)
{
  struct message message;
  struct header good = { .sequence = 1 }, h;

  CU_ASSERT_EQUAL (header_layout (&good, 4 * MIB, &message), 0);
  good.generation = good.checkpoint_commit = good.commit_floor = 1;
  good.checkpoint_pages = 1;
  good.high_water = 16;
  CU_ASSERT_EQUAL (check (&good), 0);

#define REFUSED(change) \
  do { h = good; change; CU_ASSERT_EQUAL (check (&h), EINVAL); } while (0)
  REFUSED (h.nsegments = 0);
  REFUSED (h.nsegments = MAX_SEGMENTS + 1);
  REFUSED (h.segment[0].nslots = 0);
  REFUSED (h.segment[0].nslots = MAP_MAX_SLOT);
  REFUSED (h.segment[0].nslots++);
  REFUSED ((h.segment[0].nslots--, h.segment[0].offset++));
  REFUSED ((h.segment[0].nslots--, h.segment[0].offset -= SECTOR_SIZE));
  REFUSED (h.segment[0].offset = UINT64_MAX - 511);
  REFUSED (h.area[0].pages = 1);
  REFUSED (h.area[1].pages = (uint64_t) UINT32_MAX + 1);
  REFUSED (h.area[1].offset++);
  REFUSED (h.area[1].offset -= SPARE_PAGE);
  REFUSED (h.main_size = UINT64_MAX);
  REFUSED (h.active = 2);
  REFUSED (h.claimed--);
  REFUSED (h.claimed = UINT64_MAX);
  REFUSED (h.generation = 0);
  REFUSED (h.checkpoint_commit = 0);
  REFUSED (h.checkpoint_pages = 0);
  REFUSED (h.commit_floor = 0);
  REFUSED (h.checkpoint_pages = h.high_water + 1);
  REFUSED (h.high_water = h.area[0].pages + 1);
  /* Numbers that are about to overflow. */
  REFUSED (h.commit_floor = UINT64_MAX / 2);
  REFUSED (h.sequence = UINT64_MAX / 2);
  REFUSED (h.generation = UINT64_MAX / 2);
  h = good;
  h.commit_floor = h.sequence = h.generation = UINT64_MAX / 2 - 1;
  CU_ASSERT_EQUAL (check (&h), 0);

  /* Each segment may be one of a spare, but not both of them together. */
  h = good;
  h.size = h.claimed = INT64_MAX;
  h.nsegments = 2;
  h.segment[1].offset = 4 * MIB;
  h.segment[1].nslots = MAP_MAX_SLOT - 1 - h.segment[0].nslots;
  CU_ASSERT_EQUAL (check (&h), 0);
  h.segment[1].nslots++;
  CU_ASSERT_EQUAL (check (&h), EINVAL);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "random numbers in pieces", test_random },
    { "identity and sizes (promise 20)", test_identity },
    { "a device that always has room", test_no_allocate },
    { "each step of a format fails (promises 15, 17, 21)", test_steps },
    { "headers that can't be read (promise 15)", test_headers_unreadable },
    { "layouts that can't be (promise 23)", test_layouts },
    { NULL }
  };

  return run_tests (argc, argv, "spare-format", tests);
}
