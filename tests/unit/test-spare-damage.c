/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Spares that are damaged, truncated or made by an enemy (promises 1, 15,
 * 21 and 23 of remap-promises(7)).
 *
 * TEST_SEED=N repeats a run of the random tests; TEST_STRIDE=1 flips bits
 * in every byte, and not in some; TEST_CYCLES=N makes the last ones longer.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "spare/internal.h"
#include "spare/layout.h"
#include "spare-testing.h"

static uint64_t seed, stride = 97, cycles = 3000;

/* A spare with a checkpoint of three pages and some commits after it, one
 * of which has several pages.
 */
struct sample {
  struct rig r;
  uint64_t digest[32];          /* after each commit of the tail */
  uint32_t page[32];            /* where it begins */
  unsigned n;                   /* commits */
  uint64_t area;                /* byte offset of the active area */
  uint32_t used;                /* its pages */
};

static void
sample_commit (struct sample *s, size_t entries)
{
  struct change c = { .kind = CHANGE_LOST, .count = 1, .reason = 1 };
  struct change_list list = { 0 };
  size_t i;

  s->page[s->n] = s->r.spare->pos;
  for (i = 0; i < entries; ++i) {
    c.sector = memdev_random (&seed) % 100000;
    CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
  }
  CU_ASSERT_EQUAL_FATAL (spare_commit (s->r.spare, &list, NULL), 0);
  change_list_free (&list);
  s->digest[s->n++] = rig_digest (&s->r);
}

static void
sample_make (struct sample *s, bool clean)
{
  memset (s, 0, sizeof *s);
  rig_make (&s->r, MIB);
  CU_ASSERT_EQUAL (do_remap (&s->r, 0, 20, 1, 0), 0);
  sample_commit (s, 300);
  CU_ASSERT_EQUAL (spare_checkpoint (s->r.spare), 0);
  s->n = 0;
  s->page[s->n] = 0;
  s->digest[s->n++] = rig_digest (&s->r);
  sample_commit (s, 1);
  sample_commit (s, 200);
  sample_commit (s, 124);
  sample_commit (s, 2);
  sample_commit (s, 150);
  s->area = s->r.spare->hdr.area[s->r.spare->hdr.active].offset;
  s->used = s->r.spare->pos;
  CU_ASSERT (s->page[1] > 2);
  rig_close (&s->r, clean);
  device_flush (&s->r.m->dev);
}

static void
flip (struct memdev *m, uint64_t offset)
{
  uint8_t byte;

  device_pread (&m->dev, &byte, 1, offset);
  byte ^= 1 << memdev_random (&seed) % 8;
  memdev_poke (m, offset, &byte, 1);
}

static void
save (struct memdev *m, uint64_t offset, void *buf)
{
  CU_ASSERT_EQUAL_FATAL (device_pread (&m->dev, buf, SPARE_PAGE, offset), 0);
}

/* One header damaged: the other is used, with a warning, and the damaged
 * one is repaired.
 */
static void
test_one_header (void)
{
  struct sample s;
  uint64_t i, offset;
  int copy;

  sample_make (&s, true);
  for (copy = 0; copy < 2; ++copy) {
    offset = copy ? HEADER_B_PAGE * SPARE_PAGE : 0;
    for (i = 0; i < SPARE_PAGE; i += i < 512 ? 1 : stride) {
      flip (s.r.m, offset + i);
      s.r.warnings = 0;
      CU_ASSERT_EQUAL_FATAL (rig_load (&s.r), 0);
      CU_ASSERT_EQUAL (s.r.warnings, 1);
      CU_ASSERT (strstr (s.r.warning, copy ? "at byte 32768" : "at byte 0")
                 != NULL);
      CU_ASSERT_EQUAL (rig_digest (&s.r), s.digest[s.n-1]);
      rig_close (&s.r, true);
      if (i % 64 == 0) {
        s.r.warnings = 0;
        CU_ASSERT_EQUAL_FATAL (rig_load (&s.r), 0);
        CU_ASSERT_EQUAL (s.r.warnings, 0);
        rig_close (&s.r, true);
      }
    }
    /* Not readable at all. */
    memdev_set_bad (s.r.m, MEMDEV_READ, offset, 1, EIO);
    s.r.warnings = 0;
    CU_ASSERT_EQUAL_FATAL (rig_load (&s.r), 0);
    CU_ASSERT_EQUAL (s.r.warnings, 1);
    rig_close (&s.r, true);
    memdev_set_bad (s.r.m, 0, offset, 1, 0);
  }
  rig_free (&s.r);
}

/* Both damaged: refused, by opening and by probing, whatever else there
 * is; and nothing is written.
 */
static void
test_both_headers (void)
{
  static uint8_t a[SPARE_PAGE], b[SPARE_PAGE], zero[SPARE_PAGE];
  enum spare_content content;
  struct spare_identity id;
  struct sample s;
  uint64_t i;
  int err;

  sample_make (&s, true);
  save (s.r.m, 0, a);
  save (s.r.m, 32768, b);
  s.r.m->writes = 0;
  for (i = 0; i < SPARE_PAGE; i += i < 600 ? 1 : stride) {
    flip (s.r.m, i);
    flip (s.r.m, 32768 + memdev_random (&seed) % SPARE_PAGE);
    CU_ASSERT_EQUAL (rig_load (&s.r), EINVAL);
    CU_ASSERT (strstr (s.r.message.text, "both headers") != NULL);
    err = spare_probe (&s.r.m->dev, s.r.m->size, NULL, &content, &id,
                       &s.r.message);
    CU_ASSERT (err == EINVAL || (err == 0 && content == SPARE_FOREIGN));
    memdev_poke (s.r.m, 0, a, SPARE_PAGE);
    memdev_poke (s.r.m, 32768, b, SPARE_PAGE);
  }

  /* Even if both are blank. */
  memdev_poke (s.r.m, 0, zero, SPARE_PAGE);
  memdev_poke (s.r.m, 32768, zero, SPARE_PAGE);
  CU_ASSERT_EQUAL (rig_load (&s.r), EINVAL);
  CU_ASSERT_EQUAL (spare_probe (&s.r.m->dev, s.r.m->size, NULL, &content,
                                &id, &s.r.message), 0);
  CU_ASSERT_EQUAL (content, SPARE_FOREIGN);
  memdev_set_bad (s.r.m, MEMDEV_READ, 0, MIB, EIO);
  CU_ASSERT_EQUAL (rig_load (&s.r), EIO);
  CU_ASSERT_EQUAL (s.r.m->writes, 0);
  rig_free (&s.r);
}

/* A damaged log: the committed state, or without the last commit, or
 * refused; never anything else.
 */
static void
flip_log (bool clean)
{
  static uint8_t page[SPARE_PAGE];
  struct sample s;
  uint32_t pos;
  uint64_t i, place;
  char text[40];
  int err;

  sample_make (&s, clean);
  for (pos = 0; pos < s.used + 2; ++pos) {
    place = s.area + (uint64_t) pos * SPARE_PAGE;
    save (s.r.m, place, page);
    for (i = 0; i < SPARE_PAGE; i += i < 130 ? 1 : stride) {
      flip (s.r.m, place + i);
      s.r.m->writes = 0;
      err = rig_load (&s.r);
      if (pos >= s.used) {
        CU_ASSERT_EQUAL_FATAL (err, 0);
        CU_ASSERT_EQUAL (rig_digest (&s.r), s.digest[s.n-1]);
      }
      else if (pos < s.page[s.n-1] || clean) {
        CU_ASSERT_EQUAL (err, EINVAL);
        CU_ASSERT_EQUAL (s.r.m->writes, 0);
        CU_ASSERT (strstr (s.r.message.text, "log is damaged") != NULL);
        if (pos < s.page[1]) {
          snprintf (text, sizeof text, "page %" PRIu32 " of area", pos);
          CU_ASSERT (strstr (s.r.message.text, text) != NULL);
          snprintf (text, sizeof text, "byte offset %" PRIu64 ")", place);
          CU_ASSERT (strstr (s.r.message.text, text) != NULL);
        }
      }
      else {
        /* The last commit was not acknowledged, as far as anybody can
         * tell.
         */
        CU_ASSERT_EQUAL_FATAL (err, 0);
        CU_ASSERT_EQUAL (rig_digest (&s.r), s.digest[s.n-2]);
      }
      rig_close (&s.r, false);
      memdev_poke (s.r.m, place, page, SPARE_PAGE);
    }
  }
  CU_ASSERT_EQUAL_FATAL (rig_load (&s.r), 0);
  CU_ASSERT_EQUAL (rig_digest (&s.r), s.digest[s.n-1]);
  rig_free (&s.r);
}

static void
test_log (void)
{
  flip_log (false);
}

static void
test_log_closed (void)
{
  flip_log (true);
}

/* Pages of the log that can't be read: refused, since nobody can say what
 * they hold.
 */
static void
test_log_unreadable (void)
{
  struct sample s;
  uint32_t pos;

  sample_make (&s, true);
  for (pos = 0; pos < s.used; ++pos) {
    memdev_set_bad (s.r.m, MEMDEV_READ,
                    s.area + (uint64_t) pos * SPARE_PAGE + 512, 512, EIO);
    s.r.m->writes = 0;
    CU_ASSERT_EQUAL (rig_load (&s.r), EIO);
    CU_ASSERT (strstr (s.r.message.text, "can't be read") != NULL);
    CU_ASSERT_EQUAL (s.r.m->writes, 0);
    memdev_set_bad (s.r.m, 0, 0, MIB, 0);
  }
  CU_ASSERT_EQUAL (rig_load (&s.r), 0);
  rig_free (&s.r);
}

static void
test_truncated (void)
{
  enum spare_content content;
  struct spare_identity id;
  struct sample s;
  uint64_t size;
  int err;

  sample_make (&s, true);
  for (size = MIB; size > 0; size -= SPARE_PAGE) {
    memdev_resize (s.r.m, size - 1);
    s.r.m->writes = 0;
    CU_ASSERT_EQUAL (rig_load (&s.r), EINVAL);
    if (size > SPARE_PAGE)
      CU_ASSERT (strstr (s.r.message.text, "truncated") != NULL);
    err = spare_probe (&s.r.m->dev, s.r.m->size, NULL, &content, &id,
                       &s.r.message);
    CU_ASSERT_EQUAL (err, 0);
    CU_ASSERT_EQUAL (content, size > SPARE_PAGE ? SPARE_VALID
                     : SPARE_FOREIGN);
    CU_ASSERT_EQUAL (s.r.m->writes, 0);
    CU_ASSERT_EQUAL (s.r.m->outside, 0);
  }
  rig_free (&s.r);
}

/* A log that says of one slot that it is two things. */
static void
test_slot_twice (void)
{
  static const struct change v[3][2] = {
    { { .kind = CHANGE_REMAP, .sector = 1, .count = 3, .slot = 7 },
      { .kind = CHANGE_REMAP, .sector = 100, .count = 1, .slot = 9 } },
    { { .kind = CHANGE_REMAP, .sector = 1, .count = 3, .slot = 7 },
      { .kind = CHANGE_RETIRE, .count = 1, .slot = 8 } },
    { { .kind = CHANGE_RETIRE, .count = 2, .slot = 8 },
      { .kind = CHANGE_REMAP, .sector = 1, .count = 3, .slot = 7 } },
  };
  struct change_list list = { 0 };
  struct rig r;
  int i, j;

  for (i = 0; i < 6; ++i) {
    rig_make (&r, MIB);
    for (j = 0; j < 2; ++j) {
      list.n = 0;
      CU_ASSERT_EQUAL (change_list_add (&list, &v[i % 3][j]), 0);
      CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
    }
    if (i >= 3)
      CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    rig_close (&r, true);
    CU_ASSERT_EQUAL (rig_load (&r), EINVAL);
    CU_ASSERT (strstr (r.message.text, "in use") != NULL);
    rig_free (&r);
  }
  change_list_free (&list);
}

/* An entry that reaches beyond the slots, or beyond main. */
static void
test_entry_beyond (void)
{
  static const struct {
    unsigned offset;            /* in the first entry, see remap-spare(5) */
    uint64_t value;
    const char *says;
  } v[] = {
    { 0, MAIN_SECTORS, "end of main" }, { 0, UINT64_MAX, "end of main" },
    { 0, MAIN_SECTORS - 1, "end of main" },
    { 8, UINT64_MAX, "last slot" }, { 8, UINT64_MAX - 1, "last slot" },
    { 8, 0, "last slot" },      /* 0: the number of slots less one */
  };
  uint64_t page[SPARE_PAGE / 8], value;
  struct rig r;

  for (size_t i = 0; i < sizeof v / sizeof v[0]; i++) {
    rig_make (&r, MIB);
    CU_ASSERT_EQUAL (do_remap (&r, 5, 2, 1, 0), 0);
    const uint64_t at = r.spare->hdr.area[0].offset + SPARE_PAGE;

    memcpy (page, r.m->data + at, SPARE_PAGE);
    value = v[i].value ? v[i].value : header_slots (&r.spare->hdr) - 1;
    memcpy ((char *) page + 128 + v[i].offset, &value, 8);
    fix_log_crc (page);
    rig_close (&r, false);
    memdev_poke (r.m, at, page, SPARE_PAGE);
    CU_ASSERT_EQUAL (rig_load (&r), EINVAL);
    CU_ASSERT (strstr (r.message.text, v[i].says) != NULL);
    rig_free (&r);
  }
}

/* Of two intact headers the one with the higher sequence counts, whichever
 * that is (promise 15).
 */
static void
test_newer_header (void)
{
  uint64_t page[SPARE_PAGE / 8];
  struct header h;
  struct rig r;

  for (int i = 0; i < 2; i++) {
    const uint64_t at = i ? HEADER_B_PAGE * SPARE_PAGE : 0;

    rig_make (&r, MIB);
    rig_close (&r, true);
    memcpy (page, r.m->data + at, SPARE_PAGE);
    CU_ASSERT_EQUAL (header_decode (page, &h, NULL), HEADER_COMPLETE);
    h.sequence += 10;
    h.created = 12345;
    header_encode (&h, page);
    memdev_poke (r.m, at, page, SPARE_PAGE);
    CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
    CU_ASSERT_EQUAL (spare_get_identity (r.spare)->created, 12345);
    rig_free (&r);
  }
}

/* Uses whatever was opened, all over. */
static void
use (struct rig *r)
{
  uint8_t buf[512] = { 0 };
  struct spare_status st;
  struct run run;
  uint64_t i, n = 0;

  for (i = 0; n < 50 && map_next (r->map, i, &run);
       i = run.start + run.count, ++n) {
    if (run.state == REMAPPED) {
      spare_read (r->spare, buf, run.slot, 1);
      spare_read (r->spare, buf, run.slot + run.count - 1, 1);
      if (n == 0)
        spare_write (r->spare, buf, run.slot, 1);
    }
  }
  do_remap (r, memdev_random (&seed) % 1000, 3, 1, 0);
  do_change (r, CHANGE_DIRECT, 0, 2000, 0);
  do_change (r, CHANGE_RETIRE, memdev_random (&seed) % 2000, 1, 0);
  spare_checkpoint (r->spare);
  do_remap (r, memdev_random (&seed) % 1000, 3, 1, 0);
  spare_grow (r->spare, r->m->size, NULL);
  do_remap (r, memdev_random (&seed) % 1000, 300, 1, 0);
  spare_get_status (r->spare, &st);
}

static const uint64_t odd_numbers[] = {
  0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 123, 124, 125, 255, 256, 511, 512, 513,
  4095, 4096, 65535, 65536, 1 << 20, INT32_MAX, UINT32_MAX,
  UINT64_C (1) << 32, UINT64_C (1) << 37, UINT64_C (1) << 38,
  UINT64_C (1) << 54, UINT64_C (1) << 55, INT64_MAX, UINT64_MAX - 1,
  UINT64_MAX, UINT64_MAX - 511, UINT64_MAX - 4095,
};

/* Changes some fields of a page. */
static void
spoil (uint8_t *page)
{
  uint64_t v, i, n = memdev_random (&seed) % 3 + 1, width, at;

  while (n-- > 0) {
    width = UINT64_C (1) << memdev_random (&seed) % 4;
    at = memdev_random (&seed) % 3 ? memdev_random (&seed) % 256
      : memdev_random (&seed) % SPARE_PAGE;
    at = at / width * width;
    v = odd_numbers[memdev_random (&seed) %
                    (sizeof odd_numbers / sizeof odd_numbers[0])];
    for (i = 0; i < width; ++i)
      page[at + i] = v >> (i * 8);
  }
}

/* Pages with wrong content and a right checksum. */
static void
test_hostile (void)
{
  static uint64_t words[SPARE_PAGE / 8];
  uint8_t *page = (uint8_t *) words;
  uint64_t i, opened = 0;
  struct memdev *m;
  struct sample s;
  struct rig r;
  int err;
  const struct memdev_crash none = { 0 };

  sample_make (&s, false);
  for (i = 0; i < cycles; ++i) {
    m = memdev_crash (s.r.m, s.r.m->nevents, &none);
    rig_init (&r, m);
    if (memdev_random (&seed) % 2) {
      save (m, 0, page);
      spoil (page);
      fix_header_crc (page);
      memdev_poke (m, 0, page, SPARE_PAGE);
      memdev_poke (m, 32768, page, SPARE_PAGE);
    }
    else {
      const uint64_t place = s.area +
        memdev_random (&seed) % s.used * SPARE_PAGE;

      save (m, place, page);
      spoil (page);
      fix_log_crc (page);
      memdev_poke (m, place, page, SPARE_PAGE);
    }
    r.message.text[0] = 0;
    err = rig_load (&r);
    if (err == 0) {
      opened++;
      use (&r);
    }
    else {
      CU_ASSERT (err == EINVAL || err == ENOTSUP);
      CU_ASSERT (r.message.text[0] != 0);
      CU_ASSERT_EQUAL (m->writes, 0);
    }
    CU_ASSERT_EQUAL (m->outside, 0);
    rig_free (&r);
  }
  printf ("(%" PRIu64 " of %" PRIu64 " opened) ", opened, cycles);
  CU_ASSERT (opened > 0 && opened < cycles);
  rig_free (&s.r);
}

/* Somebody writes to the spare while it is in use. */
static void
test_scribble (void)
{
  uint8_t junk[600];
  uint64_t i, j, n;
  struct rig r;

  for (i = 0; i < cycles / 10; ++i) {
    rig_make (&r, MIB);
    for (j = 0; j < 20; ++j) {
      do_random (&r, &seed, 20);
      for (n = 0; n < sizeof junk; ++n)
        junk[n] = memdev_random (&seed);
      memdev_poke (r.m, memdev_random (&seed) % (MIB / 3), junk,
                   memdev_random (&seed) % sizeof junk);
    }
    use (&r);
    rig_close (&r, true);
    if (rig_load (&r) == 0)
      use (&r);
    CU_ASSERT_EQUAL (r.m->outside, 0);
    rig_free (&r);
  }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "one header (promise 15)", test_one_header },
    { "both headers (promises 15, 21)", test_both_headers },
    { "the log (promise 15)", test_log },
    { "the log of a spare that was closed", test_log_closed },
    { "a log that can't be read", test_log_unreadable },
    { "truncated (promise 23)", test_truncated },
    { "a slot in use twice (promises 1 and 23)", test_slot_twice },
    { "entries beyond the end", test_entry_beyond },
    { "the newer header", test_newer_header },
    { "hostile pages (promise 23)", test_hostile },
    { "edited while in use (promise 23)", test_scribble },
    { NULL, NULL }
  };
  const char *s;

  seed = test_seed ();
  s = getenv ("TEST_STRIDE");
  if (s)
    stride = strtoull (s, NULL, 0);
  else if (slow_tool ())
    stride = 1009;
  s = getenv ("TEST_CYCLES");
  if (s)
    cycles = strtoull (s, NULL, 0);
  else if (slow_tool ())
    cycles = 200;
  return run_tests (argc, argv, "spare: damage", tests);
}
