/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare and crashes (promises 13 and 15 of remap-promises(7)).
 *
 * A scenario runs on a device that records; then for each point between
 * two operations of the device, for every subset of the writes that were
 * not flushed there, each of them whole or torn, the spare must open, and
 * be in the state before or after what was under way: never less than what
 * was acknowledged.  Opening writes, too, and is crashed the same way.
 *
 * TEST_SEED=N repeats a run of the random tests; TEST_CYCLES=N makes the
 * last one longer.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "spare/header.h"
#include "spare/internal.h"
#include "spare-testing.h"

#define MAX_MARKS 400

static uint64_t seed;
static uint64_t images;         /* how many crashes were looked at */

/* After EVENTS events of the device this was the acknowledged state. */
struct mark {
  size_t events;
  uint64_t digest;
};

struct run_log {
  struct mark mark[MAX_MARKS];
  size_t n;
};

static void
mark (struct run_log *log, struct rig *r)
{
  CU_ASSERT_FATAL (log->n < MAX_MARKS);
  log->mark[log->n].events = r->m->nevents;
  log->mark[log->n].digest = rig_digest (r);
  log->n++;
}

/* The states that may be found after a crash behind the first N events:
 * what was acknowledged by then, or what was under way.
 */
static void
allowed (const struct run_log *log, size_t n, uint64_t digest[2])
{
  size_t i;

  for (i = 0; i + 1 < log->n && log->mark[i+1].events <= n; ++i)
    ;
  digest[0] = log->mark[i].digest;
  digest[1] = log->mark[i + 1 < log->n ? i + 1 : i].digest;
}

/* Calls FN for the images that a crash after N events may leave. */
static void
for_each_image (struct memdev *m, size_t n, uint64_t max_subsets,
                void (*fn) (struct memdev *image, void *opaque),
                void *opaque)
{
  static const uint32_t tears[] = { 0, 512, 512, 4096 };
  const size_t k = memdev_unflushed (m, n);

  if (slow_tool () && max_subsets > 4)
    max_subsets = 4;

  const bool all = k <= 10 && (UINT64_C (1) << k) <= max_subsets;
  const uint64_t subsets = all ? UINT64_C (1) << k : max_subsets;
  struct memdev_crash how;
  uint64_t i;
  size_t t;

  for (i = 0; i < subsets; ++i) {
    for (t = 0; t < sizeof tears / sizeof tears[0]; ++t) {
      if (all && i == 0 && t > 0)
        break;
      how = (struct memdev_crash) {
        .subset = i, .random = !all, .tear = tears[t],
        .seed = memdev_random (&seed),
      };
      images++;
      fn (memdev_crash (m, n, &how), opaque);
    }
  }
}

struct expect {
  const uint64_t *digest;       /* two */
  const char *what;
  size_t point;
  int depth;                    /* crashes during recovery, too */
};

/* Says once in detail what went wrong. */
static void
complain (const struct expect *e, const char *wrong, const char *message)
{
  static int n;

  CU_ASSERT (!"a crash was not survived");
  /* A hundred thousand of them would say no more. */
  if (n == 100) {
    fprintf (stderr, "and so on\n");
    exit (EXIT_FAILURE);
  }
  if (n++ < 10)
    fprintf (stderr, "%s: crash after event %zu, depth %d: %s%s%s\n",
             e->what, e->point, e->depth, wrong, message ? ": " : "",
             message ? message : "");
}

static void check_image (struct memdev *image, void *opaque);

/* Recovery may have been interrupted as well. */
static void
crash_recovery (struct rig *r, const struct expect *outer, uint64_t digest,
                size_t nevents)
{
  const uint64_t both[2] = { digest, digest };
  struct expect e = {
    .digest = both, .what = outer->what, .point = outer->point,
    .depth = outer->depth - 1,
  };
  size_t i, writes = 0;

  for (i = 0; i < nevents; ++i)
    writes += !r->m->event[i].flush;
  if (writes == 0)
    return;
  for (i = 0; i <= nevents; ++i)
    for_each_image (r->m, i, 8, check_image, &e);
}

static void
check_image (struct memdev *image, void *opaque)
{
  const struct expect *e = opaque;
  uint64_t digest;
  struct rig r;
  size_t n;
  int err;

  rig_init (&r, image);
  memdev_record (image, true);
  err = rig_load (&r);
  if (err) {
    complain (e, strerror (err), r.message.text);
    rig_free (&r);
    return;
  }
  n = image->nevents;
  digest = rig_digest (&r);
  if (digest != e->digest[0] && digest != e->digest[1])
    complain (e, "neither the state before nor after", NULL);
  if (e->depth > 0)
    crash_recovery (&r, e, digest, n);

  /* It goes on from there, as if nothing had happened. */
  memdev_record (image, false);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 77777, 1, 0), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 77780, 3, 5, 0), 0);
  digest = rig_digest (&r);
  rig_close (&r, memdev_random (&seed) & 1);
  err = rig_load (&r);
  if (err)
    complain (e, "the next start", r.message.text);
  else if (rig_digest (&r) != digest)
    complain (e, "the next start finds another state", NULL);
  CU_ASSERT_EQUAL (image->outside, 0);
  rig_free (&r);
}

/* The server alone is killed, then another one is while it recovers, and
 * then the power fails.
 */
static void
check_kill (struct rig *r, size_t n, const struct expect *outer)
{
  struct expect e = *outer;
  uint64_t both[2];
  struct rig k;
  size_t i, events;

  rig_init (&k, memdev_kill (r->m, n));
  memdev_record (k.m, true);
  if (rig_load (&k) != 0) {
    complain (outer, "after a kill", k.message.text);
    rig_free (&k);
    return;
  }
  events = k.m->nevents;
  both[0] = both[1] = rig_digest (&k);
  if (both[0] != outer->digest[0] && both[0] != outer->digest[1])
    complain (outer, "after a kill: neither before nor after", NULL);

  /* Until the new server has opened it either state may come back; and
   * from then on only what it saw.
   */
  e.depth = 0;
  for (i = 0; i <= events; ++i) {
    e.digest = i == events ? both : outer->digest;
    for_each_image (k.m, i, 16, check_image, &e);
  }
  rig_free (&k);
}

static void
check_all_points (struct rig *r, const struct run_log *log, const char *what,
                  uint64_t max_subsets)
{
  uint64_t digest[2];
  struct expect e = { .digest = digest, .what = what };
  size_t n;

  for (n = 0; n <= r->m->nevents; ++n) {
    allowed (log, n, digest);
    e.point = n;
    e.depth = 1;
    for_each_image (r->m, n, max_subsets, check_image, &e);
    e.depth = 0;
    check_kill (r, n, &e);
  }
  rig_free (r);
}

/* A few commits of all kinds; lists with several slot writes, several
 * pages; slots that are released and used again at once (promise 8).
 */
static void
test_commit (void)
{
  struct run_log log = { .n = 0 };
  struct change_list list = { 0 };
  struct change c = { .kind = CHANGE_LOST, .count = 1 };
  uint8_t buf[4 * 512];
  struct rig r;
  int i;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 8, 1, 0), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 50, 8, 0), 0);
  CU_ASSERT_EQUAL (spare_flush (r.spare), 0);
  memdev_record (r.m, true);
  mark (&log, &r);
  CU_ASSERT_EQUAL (do_remap (&r, 50, 4, 2, 0), 0);
  mark (&log, &r);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_DIRECT, 0, 6, 0), 0);
  mark (&log, &r);
  /* Next to be taken: the slots that were just released. */
  r.spare->cursor = 0;
  CU_ASSERT_EQUAL (do_remap (&r, 100, 6, 3, 0), 0);
  mark (&log, &r);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 900, 2, 0), 0);
  mark (&log, &r);

  for (i = 0; i < 4; ++i) {
    fill (buf, 200 + i * 10, 2, 4);
    CU_ASSERT_EQUAL (spare_store (r.spare, &list, 200 + i * 10, buf, 2, 0),
                     0);
  }
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  mark (&log, &r);

  list.n = 0;
  for (i = 0; i < 400; ++i) {
    c.sector = 1000 + i * 2;
    CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
  }
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  mark (&log, &r);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 1000, 2, 0), 0);
  mark (&log, &r);
  change_list_free (&list);
  check_all_points (&r, &log, "commit", 1024);
}

/* Commits a list of three pages. */
static int
try_pages (struct rig *r, enum change_kind kind, sector_t first)
{
  struct change c = { .kind = kind, .count = 1 };
  struct change_list list = { 0 };
  int i, err;

  for (i = 0; i < 300; ++i) {
    c.sector = first + i * 2;
    CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
  }
  err = spare_commit (r->spare, &list, NULL);
  change_list_free (&list);
  return err;
}

static void
commit_pages (struct rig *r, enum change_kind kind, sector_t first)
{
  CU_ASSERT_EQUAL_FATAL (try_pages (r, kind, first), 0);
}

/* Calls FN for a few ways in which units of the writes that were not
 * flushed may have reached the disk; of three units that is each way, with
 * good luck.
 */
static void
for_each_torn (struct memdev *m, size_t n, uint32_t tear,
               void (*fn) (struct memdev *image, void *opaque), void *opaque)
{
  int i;

  for (i = 0; i < 24; ++i) {
    const struct memdev_crash how = {
      .subset = UINT64_MAX, .tear = tear, .seed = memdev_random (&seed),
    };

    images++;
    fn (memdev_crash (m, n, &how), opaque);
  }
}

/* What a commit left behind that was dropped must not be mixed with the
 * next one, which has the same number and here as many pages.
 */
static void
check_leftovers (struct memdev *image, void *opaque)
{
  struct run_log log = { .n = 0 };
  uint64_t digest[2];
  struct expect e = { .digest = digest, .what = "leftovers" };
  struct rig r;
  size_t n;

  rig_init (&r, image);
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  memdev_record (image, true);
  mark (&log, &r);
  commit_pages (&r, CHANGE_ZERO, 5000);
  mark (&log, &r);
  n = image->nevents - 1;
  allowed (&log, n, digest);
  e.point = n;
  for_each_torn (image, n, SPARE_PAGE, check_image, &e);
  rig_free (&r);
}

static void
test_leftovers (void)
{
  struct run_log log = { .n = 0 };
  uint64_t digest[2];
  struct expect e = { .digest = digest, .what = "leftovers of a failure" };
  struct rig r;

  rig_make (&r, MIB);
  memdev_record (r.m, true);
  commit_pages (&r, CHANGE_LOST, 0);
  CU_ASSERT_FALSE (r.m->event[r.m->nevents-2].flush);
  for_each_torn (r.m, r.m->nevents - 1, SPARE_PAGE, check_leftovers, NULL);
  rig_free (&r);

  /* The same where the first one found no room, but was written. */
  rig_make (&r, MIB);
  r.m->partial = MEMDEV_GOOD;
  memdev_fail (r.m, MEMDEV_WRITE, 1, ENOSPC, false);
  CU_ASSERT_EQUAL (try_pages (&r, CHANGE_LOST, 0), ENOSPC);
  memdev_record (r.m, true);
  mark (&log, &r);
  commit_pages (&r, CHANGE_ZERO, 5000);
  mark (&log, &r);
  allowed (&log, r.m->nevents - 1, digest);
  for_each_torn (r.m, r.m->nevents - 1, SPARE_PAGE, check_image, &e);
  for_each_torn (r.m, r.m->nevents - 1, SPARE_PAGE, check_image, &e);
  rig_free (&r);
}

/* Formatting, interrupted twice. */
struct format_test {
  int depth;
};

static void format_points (struct rig *r, int depth);

static void
check_format (struct memdev *image, void *opaque)
{
  const struct format_test *t = opaque;
  enum spare_content content;
  struct spare_identity id;
  struct rig r;
  int err;

  rig_init (&r, image);
  err = spare_probe (&image->dev, image->size, NULL, &content, &id,
                     &r.message);
  CU_ASSERT_EQUAL (err, 0);
  CU_ASSERT_NOT_EQUAL (content, SPARE_FOREIGN);
  if (content == SPARE_VALID)
    err = rig_load (&r);
  else {
    memdev_record (image, true);
    err = rig_format (&r, MIB);
    memdev_record (image, false);
    if (t->depth > 0)
      format_points (&r, t->depth - 1);
  }
  CU_ASSERT_EQUAL (err, 0);
  if (err == 0) {
    CU_ASSERT (map_all_direct (r.map, 0, MAIN_SECTORS));
    CU_ASSERT_EQUAL (do_remap (&r, 0, 1, 1, 0), 0);
    rig_reload (&r);
    CU_ASSERT_EQUAL (map_lookup (r.map, 0, 1).state, REMAPPED);
  }
  rig_free (&r);
}

static void
format_points (struct rig *r, int depth)
{
  struct format_test t = { .depth = depth };
  const size_t events = r->m->nevents;
  size_t n;

  CU_ASSERT (events >= 8);
  for (n = 0; n <= events; ++n) {
    for_each_image (r->m, n, 64, check_format, &t);
    /* Parts of header B from two attempts must not make one together. */
    if (n > 0 && !r->m->event[n-1].flush &&
        r->m->event[n-1].offset == HEADER_B_PAGE * SPARE_PAGE)
      for_each_torn (r->m, n, 512, check_format, &t);
    if (depth > 0)
      check_format (memdev_kill (r->m, n), &t);
  }
}

static void
test_format (void)
{
  struct rig r;

  rig_init (&r, memdev_new (MIB));
  memdev_record (r.m, true);
  CU_ASSERT_EQUAL_FATAL (rig_format (&r, MIB), 0);
  memdev_record (r.m, false);
  format_points (&r, 1);
  rig_free (&r);
}

/* Checkpoints, asked for and forced, with commits before and after. */
static void
test_checkpoint (void)
{
  struct run_log log = { .n = 0 };
  struct rig r;
  int i;

  rig_make (&r, MIB);
  for (i = 0; i < 15; ++i)
    CU_ASSERT_EQUAL (do_random (&r, &seed, 8), 0);
  CU_ASSERT_EQUAL (spare_flush (r.spare), 0);
  memdev_record (r.m, true);
  mark (&log, &r);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 2, 1, 0), 0);
  mark (&log, &r);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  mark (&log, &r);
  CU_ASSERT_EQUAL (do_remap (&r, 1, 2, 2, 0), 0);
  mark (&log, &r);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  mark (&log, &r);
  for (i = 0; i < 40; ++i) {    /* more than an area holds */
    CU_ASSERT_EQUAL (do_change (&r, i % 2 ? CHANGE_LOST : CHANGE_ZERO,
                                5000 + i, 1, 0), 0);
    mark (&log, &r);
  }
  check_all_points (&r, &log, "checkpoint", 64);
}

/* A checkpoint of several pages, torn between them. */
static void
test_large_checkpoint (void)
{
  struct change c = { .kind = CHANGE_LOST, .count = 1 };
  struct run_log log = { .n = 0 };
  struct change_list list = { 0 };
  struct rig r;
  int i;

  rig_make (&r, MIB);
  for (i = 0; i < 600; ++i) {
    c.sector = i * 2;
    CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
  }
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  change_list_free (&list);
  memdev_record (r.m, true);
  mark (&log, &r);
  for (i = 0; i < 3; ++i) {
    CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    mark (&log, &r);
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_DIRECT, i * 2, 1, 0), 0);
    mark (&log, &r);
  }
  check_all_points (&r, &log, "large checkpoint", 64);
}

/* The commit before which the headers must say that it may exist. */
static void
test_high_water (void)
{
  struct run_log log = { .n = 0 };
  struct rig r;
  int i;

  if (slow_tool ())             /* 14 MiB for each image */
    return;
  rig_make (&r, 14 * MIB);
  CU_ASSERT_FATAL (r.spare->hdr.area[0].pages > HIGH_WATER_STEP);
  for (i = 0; r.spare->pos < HIGH_WATER_STEP; ++i)
    CU_ASSERT_EQUAL_FATAL (do_change (&r, CHANGE_LOST, i * 3, 1, 0), 0);
  memdev_record (r.m, true);
  mark (&log, &r);
  for (i = 0; i < 2; ++i) {
    CU_ASSERT_EQUAL (do_remap (&r, 1 + i, 2, i, 0), 0);
    mark (&log, &r);
  }
  CU_ASSERT (r.spare->hdr.high_water > HIGH_WATER_STEP);
  check_all_points (&r, &log, "high water", 8);
}

/* Closing writes the headers; so does opening, if one is damaged. */
static void
test_close (void)
{
  struct run_log log = { .n = 0 };
  uint8_t zeroes[SPARE_PAGE] = { 0 };
  struct rig r;
  int i;

  for (i = 0; i < 3; ++i) {
    rig_make (&r, MIB);
    CU_ASSERT_EQUAL (do_remap (&r, 0, 2, 1, 0), 0);
    CU_ASSERT_EQUAL (spare_flush (r.spare), 0);
    memdev_record (r.m, true);
    log.n = 0;
    mark (&log, &r);
    rig_close (&r, true);
    if (i > 0) {
      /* Either header is blank when it is opened again. */
      memdev_record (r.m, false);
      device_flush (&r.m->dev);
      memdev_poke (r.m, i == 1 ? 0 : HEADER_B_PAGE * SPARE_PAGE, zeroes,
                   SPARE_PAGE);
      memdev_record (r.m, true);
    }
    CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
    CU_ASSERT_EQUAL (r.warnings, i > 0);
    mark (&log, &r);
    check_all_points (&r, &log, "close and repair", 64);
  }
}

/* Growth: slots only, and with the areas moving. */
static void
test_grow (void)
{
  struct run_log log = { .n = 0 };
  struct spare_status st;
  struct rig r;
  int i;

  for (i = 0; i < 2; ++i) {
    const uint64_t sizes[2][3] = {
      { MIB + 40960, MIB + 100000, MIB + 100512 },
      { 2 * MIB, 2 * MIB + 5000, 4 * MIB },
    };
    int j;

    rig_make (&r, MIB);
    memdev_resize (r.m, sizes[i][2] + 4096);
    CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 50, 8, 0), 0);
    CU_ASSERT_EQUAL (spare_flush (r.spare), 0);
    memdev_record (r.m, true);
    log.n = 0;
    mark (&log, &r);
    for (j = 0; j < 3; ++j) {
      CU_ASSERT_EQUAL (spare_grow (r.spare, sizes[i][j], &r.message), 0);
      mark (&log, &r);
      spare_get_status (r.spare, &st);
      r.spare->cursor = st.slots_total - 5;     /* the newest ones */
      CU_ASSERT_EQUAL (do_remap (&r, 3 + j, 4, 3, 0), 0);
      mark (&log, &r);
    }
    check_all_points (&r, &log, i ? "growth with areas" : "growth", 64);
  }
}

/* A spare that is given to another disk has one label or the other. */
static void
test_relabel (void)
{
  struct run_log log = { .n = 0 };
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 20, 1, 0), 0);
  CU_ASSERT_EQUAL (spare_flush (r.spare), 0);
  memdev_record (r.m, true);
  mark (&log, &r);
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "its copy", &r.message), 0);
  mark (&log, &r);
  CU_ASSERT_EQUAL (do_remap (&r, 100, 4, 3, 0), 0);
  mark (&log, &r);
  CU_ASSERT_EQUAL (spare_relabel (r.spare, "", &r.message), 0);
  mark (&log, &r);
  check_all_points (&r, &log, "relabel", 64);
}

/* After a crash in growth the new part is known to be the spare's. */
static void
check_claim (struct memdev *image, void *opaque)
{
  struct spare_status st;
  bool blank;
  struct rig r;

  rig_init (&r, image);
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (spare_check_blank (&image->dev, st.claimed, image->size,
                                      NULL, &blank, &r.message), 0);
  CU_ASSERT (blank);
  CU_ASSERT_EQUAL (spare_grow (r.spare, 4 * MIB, &r.message), 0);
  CU_ASSERT_EQUAL (do_remap (&r, 0, 2000, 1, 0), 0);
  rig_reload (&r);
  rig_free (&r);
}

static void
test_claim (void)
{
  struct rig r;
  size_t n;

  rig_make (&r, MIB);
  memdev_resize (r.m, 4 * MIB);
  memdev_record (r.m, true);
  CU_ASSERT_EQUAL (spare_grow (r.spare, 4 * MIB, &r.message), 0);
  for (n = 0; n <= r.m->nevents; ++n)
    for_each_image (r.m, n, 16, check_claim, NULL);
  rig_free (&r);
}

/* A spare that lives through crash after crash. */
static void
cycle (struct rig *r, struct run_log *log, uint64_t *size)
{
  unsigned n = memdev_random (&seed) % 4 + 1;
  int err = 0;

  log->n = 0;
  memdev_record (r->m, true);
  mark (log, r);
  while (n-- > 0) {
    switch (memdev_random (&seed) % 24) {
    case 0:
      err = spare_checkpoint (r->spare);
      break;
    case 1:
      if (*size < 3 * MIB) {
        const uint64_t new = *size + 512 * (memdev_random (&seed) % 800);

        err = spare_grow (r->spare, new, NULL);
        if (err == 0)
          *size = new;
      }
      break;
    case 2:
      if (memdev_random (&seed) % 4 == 0)
        err = do_change (r, CHANGE_RETIRE, r->spare->cursor < 1000
                         ? 1000 + memdev_random (&seed) % 300 : 5, 0, 0);
      break;
    case 3:
      rig_close (r, true);
      CU_ASSERT_EQUAL_FATAL (rig_load (r), 0);
      break;
    default:
      err = do_random (r, &seed, 6);
    }
    CU_ASSERT_FATAL (err == 0 || err == ENOSPC || err == EINVAL);
    mark (log, r);
  }
}

static void
test_torture (void)
{
  static const uint32_t tears[] = { 0, 512, 4096 };
  const char *s = getenv ("TEST_CYCLES");
  uint64_t cycles = s ? strtoull (s, NULL, 0) : slow_tool () ? 100 : 1500;
  uint64_t digest[2], size = MIB, found, i;
  struct run_log log = { .n = 0 };
  struct spare_status st;
  struct memdev *m;
  struct rig r;
  size_t n;
  int err;

  rig_make (&r, MIB);
  memdev_resize (r.m, 4 * MIB);
  for (i = 0; i < cycles; ++i) {
    cycle (&r, &log, &size);
    n = memdev_random (&seed) % (r.m->nevents + 1);
    allowed (&log, n, digest);
    const struct memdev_crash how = {
      .random = true, .tear = tears[memdev_random (&seed) % 3],
      .seed = memdev_random (&seed),
    };
    m = memdev_random (&seed) % 4 == 0 ? memdev_kill (r.m, n)
      : memdev_crash (r.m, n, &how);
    images++;
    rig_free (&r);
    rig_init (&r, m);
    err = rig_load (&r);
    if (err)
      fprintf (stderr, "cycle %" PRIu64 ": %s\n", i, r.message.text);
    CU_ASSERT_EQUAL_FATAL (err, 0);
    found = rig_digest (&r);
    CU_ASSERT_FATAL (found == digest[0] || found == digest[1]);
    spare_get_status (r.spare, &st);
    size = st.size;
  }
  CU_ASSERT (cycles < 1000 || size > 3 * MIB / 2);
  rig_free (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "commits", test_commit },
    { "what a dropped commit left behind", test_leftovers },
    { "format", test_format },
    { "checkpoints", test_checkpoint },
    { "a checkpoint of several pages", test_large_checkpoint },
    { "raising the high water", test_high_water },
    { "closing, and repairing a header", test_close },
    { "growth", test_grow },
    { "growth: what was begun can be finished", test_claim },
    { "another label", test_relabel },
    { "crash after crash", test_torture },
    { NULL, NULL }
  };
  int status;

  seed = test_seed ();
  status = run_tests (argc, argv, "spare: crashes (promises 13, 15)", tests);
  printf ("%" PRIu64 " crashes\n", images);
  return status;
}
