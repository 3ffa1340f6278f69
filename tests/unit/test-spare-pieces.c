/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Checkpoints in pieces between commits: what a commit waits for at most, how
 * long the log becomes, and what is left when a piece fails (promises 13, 15
 * and 18 of remap-promises(7)).  All crashes are crash-explorer's.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "spare/checkpoint.h"
#include "spare/header.h"
#include "spare/internal.h"
#include "spare/pieces.h"
#include "spare-testing.h"

#define TB UINT64_C (1000000000000)
#define FAR (10 * TB / 512)

static void
kill_and_load (struct rig *r)
{
  memdev_fail (r->m, 0, 0, 0, false);
  r->m->hook = NULL;
  rig_close (r, false);
  CU_ASSERT_EQUAL_FATAL (rig_load (r), 0);
}

/* The spare of a disk of 20 TB, on which N sectors are remapped, each alone. */
static void
make_large (struct rig *r, uint64_t n)
{
  struct change_list list = { 0 };

  rig_init (r, memdev_new (spare_default_size (20 * TB)));
  r->main_size = 20 * TB;
  CU_ASSERT_EQUAL_FATAL (rig_format (r, r->m->size), 0);
  for (uint64_t i = 0; i < n; i++) {
    const struct change c = {
      .sector = i * 1000, .count = 1, .slot = i * 7 % n,
      .kind = CHANGE_REMAP, .reason = WHY_AUTO_READ,
    };

    CU_ASSERT_EQUAL_FATAL (change_list_add (&list, &c), 0);
    if (list.n < 50 * ENTRIES_PER_PAGE && i + 1 < n)
      continue;
    r->now++;
    CU_ASSERT_EQUAL_FATAL (spare_commit (r->spare, &list, NULL), 0);
    list.n = 0;
  }
  change_list_free (&list);
}

/* However large the state is, a commit of one page waits for 64 pages of a
 * checkpoint at most: for reading notes, writing, copying; and for the headers
 * once.  The log stays in proportion to the state.
 */
static void
check_bounded (uint64_t n, unsigned checkpoints)
{
  const uint64_t state = n / ENTRIES_PER_PAGE + 1;
  const uint64_t piece = CHECKPOINT_PIECE * SPARE_PAGE;
  uint64_t max_read = 0, max_written = 0, max_flushes = 0, longest = 0, i;
  struct spare_status st;
  struct rig r;

  make_large (&r, n);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  spare_get_status (r.spare, &st);
  const uint64_t before = st.checkpoints;
  for (i = 0; st.checkpoints < before + checkpoints && i < 20 * state + 5000;
       i++) {
    r.m->bytes_read = r.m->bytes_written = r.m->flushes = 0;
    CU_ASSERT_EQUAL_FATAL (do_change (&r, i % 2 ? CHANGE_ZERO : CHANGE_LOST,
                                      FAR + i % 200, 1, 0), 0);
    max_read = max_u64 (max_read, r.m->bytes_read);
    max_written = max_u64 (max_written, r.m->bytes_written);
    max_flushes = max_u64 (max_flushes, r.m->flushes);
    longest = max_u64 (longest, r.spare->pos);
    spare_get_status (r.spare, &st);
  }
  printf ("(%" PRIu64 " commits, at most %" PRIu64 " and %" PRIu64
          " KiB, %" PRIu64 " pages) ", i, max_read / 1024,
          max_written / 1024, longest);
  CU_ASSERT_EQUAL (st.checkpoints, before + checkpoints);
  CU_ASSERT (max_read <= piece);
  /* The commit twice, the page that ends it, four headers. */
  CU_ASSERT (max_written <= piece + 7 * SPARE_PAGE);
  CU_ASSERT (max_flushes <= 6);
  CU_ASSERT (longest <= 3 * state + CHECKPOINT_AFTER + 4 * state / 30 + 16);
  /* What is written beside the commits. */
  CU_ASSERT (i >= checkpoints * state);

  const uint64_t digest = rig_digest (&r);
  kill_and_load (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

static void
test_bounded (void)
{
  check_bounded (1, 3);
  check_bounded (slow_tool () ? 5000 : 100000, 2);
  if (getenv ("TEST_LARGE") != NULL)
    check_bounded (1000000, 1);
}

/* One who commits while the spare grows, from the moment at which the growth
 * writes the state into its new areas.
 */
static struct {
  struct rig *r;
  pthread_t thread;
  uint64_t from;                /* where the new space begins */
  bool begun;
  uint64_t waited, most;        /* bytes written while one commit waits */
  atomic_uint n;                /* commits that have ended */
} other;

static void *
commit_meanwhile (void *arg)
{
  for (unsigned i = 0; i < 50; i++) {
    CU_ASSERT_EQUAL (do_change (other.r, CHANGE_LOST, FAR + 2 * i, 1, 0), 0);
    atomic_fetch_add (&other.n, 1);
  }
  return NULL;
}

static void
begin_other (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  struct spare *s = other.r->spare;
  bool waits;

  if (op != MEMDEV_WRITE)
    return;
  pthread_mutex_lock (&s->lock);
  waits = s->queue != NULL;
  pthread_mutex_unlock (&s->lock);
  other.waited = waits ? other.waited + count : 0;
  other.most = max_u64 (other.most, other.waited);
  if (other.begun || offset < other.from)
    return;
  other.begun = true;
  CU_ASSERT_FATAL (pthread_create (&other.thread, NULL, commit_meanwhile,
                                   NULL) == 0);
  while (!waits) {
    pthread_mutex_lock (&s->lock);
    waits = s->queue != NULL;
    pthread_mutex_unlock (&s->lock);
    sched_yield ();
  }
}

/* A growth that moves the log writes the state in pieces as well. */
static void
test_grow_bounded (void)
{
  const uint64_t n = slow_tool () ? 30000 : 100000;
  const uint64_t piece = CHECKPOINT_PIECE * SPARE_PAGE;
  const uint64_t moved_from = n / ENTRIES_PER_PAGE * SPARE_PAGE;
  struct rig r;
  unsigned meanwhile;

  make_large (&r, n);
  memset (&other, 0, sizeof other);
  other.r = &r;
  other.from = r.m->size;
  memdev_resize (r.m, 16 * r.m->size);
  r.m->hook = begin_other;
  CU_ASSERT_EQUAL (spare_grow (r.spare, r.m->size, &r.message), 0);
  meanwhile = atomic_load (&other.n);
  CU_ASSERT_FATAL (other.begun);
  pthread_join (other.thread, NULL);
  r.m->hook = NULL;
  CU_ASSERT (r.spare->hdr.area[0].offset >= other.from);
  CU_ASSERT (meanwhile > 0);
  /* The piece that is under way, one of its own, both headers, the commit. */
  CU_ASSERT (other.most <= 2 * piece + 16 * SPARE_PAGE);
  CU_ASSERT (2 * piece + 16 * SPARE_PAGE < moved_from);
  printf ("(%u commits meanwhile, at most %" PRIu64 " KiB) ", meanwhile,
          other.most / 1024);

  const uint64_t digest = rig_digest (&r);
  kill_and_load (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* What an opening reads follows the state, whatever has happened before; that
 * a log was made by a version that let it grow changes only the first one.
 */
static void
test_start (void)
{
  const uint64_t n = slow_tool () ? 5000 : 100000;
  uint64_t digest;
  struct rig r;

  make_large (&r, n);
  for (unsigned i = 0; i < 3000; i++)
    CU_ASSERT_EQUAL_FATAL (do_change (&r, CHANGE_LOST, FAR + i % 300, 1, 0),
                           0);
  digest = rig_digest (&r);
  for (int i = 0; i < 2; i++) {
    rig_close (&r, i == 0);
    r.m->bytes_read = 0;
    CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
    CU_ASSERT (r.m->bytes_read <= 16000000);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
  }

  /* Another one lets the log become far too long. */
  r.spare->not_before = UINT32_MAX;
  for (unsigned i = 0; i < 4 * (3 * n / ENTRIES_PER_PAGE + 600); i += 60)
    CU_ASSERT_EQUAL_FATAL (do_scattered (&r, i / 60 % 2 ? CHANGE_LOST :
                                         CHANGE_ZERO, FAR,
                                         60 * ENTRIES_PER_PAGE), 0);
  digest = rig_digest (&r);
  rig_reload (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_close (&r, true);
  r.m->bytes_read = 0;
  CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
  CU_ASSERT (r.m->bytes_read <= 16000000);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* A small one, that is due at once, a page at a time. */
static void
make_due (struct rig *r)
{
  rig_make (r, 16 * MIB);
  CU_ASSERT_EQUAL (do_change (r, CHANGE_RETIRE, 1000, 7, WHY_AUTO_WRITE), 0);
  for (unsigned i = 0; i < 300; i++) {
    r->now++;
    CU_ASSERT_EQUAL (do_remap (r, 10 * i, 1 + i % 3, i, i % 7), 0);
  }
  r->spare->due_after = 0;
  r->spare->piece = 1;
}

static void
go_to (struct rig *r, enum pieces_stage stage)
{
  for (unsigned i = 0; i < 400 && (r->spare->checkpoint == NULL ||
                                   r->spare->checkpoint->stage != stage); i++)
    CU_ASSERT_EQUAL_FATAL (do_change (r, CHANGE_LOST, 20000 + 2 * i, 1, 0),
                           0);
  CU_ASSERT_PTR_NOT_NULL_FATAL (r->spare->checkpoint);
}

static void
finish (struct rig *r)
{
  for (unsigned i = 0; i < 400 && r->spare->checkpoint != NULL; i++)
    CU_ASSERT_EQUAL_FATAL (do_change (r, CHANGE_LOST, 30000 + 2 * i, 1, 0),
                           0);
  CU_ASSERT_PTR_NULL_FATAL (r->spare->checkpoint);
}

/* Reasons and times, of changes before and in the middle. */
static void
test_notes (void)
{
  enum change_reason reason = 99;
  uint64_t time = 0, digest, then;
  struct rig r;

  for (enum pieces_stage stage = PIECES_NOTES; stage < PIECES_COPY; stage++) {
    make_due (&r);
    go_to (&r, stage);
    r.now += 1000;
    then = r.now;
    CU_ASSERT_EQUAL (do_remap (&r, 10, 2, 77, WHY_WEAK), 0);
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_DIRECT, 20, 3, WHY_MANUAL), 0);
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_RETIRE, 2000, 1, WHY_IMPORT), 0);
    r.now += 1000;
    finish (&r);
    for (int i = 0; i < 2; i++) {
      CU_ASSERT (log_note (&r, CHANGE_REMAP, 11, &reason, &time));
      CU_ASSERT_EQUAL (reason, WHY_WEAK);
      CU_ASSERT_EQUAL (time, then);
      CU_ASSERT_FALSE (log_note (&r, CHANGE_REMAP, 20, &reason, &time));
      CU_ASSERT (log_note (&r, CHANGE_REMAP, 50, &reason, &time));
      CU_ASSERT_EQUAL (reason, 5);
      CU_ASSERT_EQUAL (time, 1700000006);
      CU_ASSERT (log_note (&r, CHANGE_RETIRE, 1001, &reason, &time));
      CU_ASSERT_EQUAL (reason, WHY_AUTO_WRITE);
      CU_ASSERT (log_note (&r, CHANGE_RETIRE, 2000, &reason, &time));
      CU_ASSERT_EQUAL (time, then);
      digest = rig_digest (&r);
      rig_reload (&r);
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
    }
    rig_free (&r);
  }
}

/* Slots that are freed and used again between the pieces, sectors that move:
 * the state is that of the end.
 */
static void
test_random (void)
{
  uint64_t seed = test_seed (), digest;
  struct spare_status st;
  struct rig r;

  make_due (&r);
  for (unsigned i = 0; i < 3000; i++) {
    const int err = do_random (&r, &seed, 40);

    CU_ASSERT (err == 0 || err == ENOSPC);
    if (i % 100 == 99) {
      digest = rig_digest (&r);
      kill_and_load (&r);
      CU_ASSERT_EQUAL_FATAL (rig_digest (&r), digest);
      r.spare->due_after = 0;
      r.spare->piece = 1 + i / 100 % 5;
    }
    if (i % 500 == 250)
      r.spare->piece = 64;
    if (i == 1600) {
      memdev_resize (r.m, 24 * MIB);
      CU_ASSERT_EQUAL (spare_grow (r.spare, 24 * MIB, &r.message), 0);
    }
    spare_get_status (r.spare, &st);
  }
  CU_ASSERT (r.spare->hdr.generation > 20);
  CU_ASSERT_EQUAL (r.m->outside, 0);
  rig_free (&r);
}

/* A write, a flush or a read fails anywhere: the commit fails or it doesn't,
 * and what is there after a kill is what was acknowledged.
 */
static void
check_failing (unsigned ops, int how)
{
  uint64_t digest;
  unsigned n, hits = 0;
  struct rig r;
  int err;

  for (n = 1; n < 60; n++) {
    make_due (&r);
    go_to (&r, n % 3 == 0 ? PIECES_NOTES : n % 3 == 1 ? PIECES_COUNT
           : PIECES_WRITE);
    memdev_fail (r.m, ops, n / 3 + 1, how, false);
    for (unsigned i = 0; i < 24; i++) {
      digest = rig_digest (&r);
      err = do_change (&r, CHANGE_ZERO, 40000 + 2 * i, 1, 0);
      if (err) {
        CU_ASSERT (err == spare_failed (r.spare) ? EIO : ENOSPC);
        break;
      }
    }
    hits += r.m->fail_hits;
    if (err) {
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
    }
    else
      digest = rig_digest (&r);
    const bool in_doubt = spare_failed (r.spare);

    kill_and_load (&r);
    if (!in_doubt)
      CU_ASSERT_EQUAL (rig_digest (&r), digest);
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 60000, 1, 0), 0);
    rig_free (&r);
  }
  CU_ASSERT (hits > 10);
}

static void
test_failing (void)
{
  check_failing (MEMDEV_WRITE, EIO);
  check_failing (MEMDEV_WRITE, ENOSPC);
  check_failing (MEMDEV_FLUSH, EIO);
  check_failing (MEMDEV_READ, EIO);
}

/* A commit that reached its place behind a checkpoint and not the log, in a
 * crash, doesn't come back behind the next checkpoint.
 */
static void
test_does_not_come_back (void)
{
  uint8_t page[SPARE_PAGE];
  uint64_t digest, place;
  struct rig r;

  rig_make (&r, 16 * MIB);
  CU_ASSERT_EQUAL (do_scattered (&r, CHANGE_LOST, 0, ENTRIES_PER_PAGE), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 0, 1, 0), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 0, 1, 0), 0);
  r.spare->due_after = 0;
  /* Pinned with one page of entries; then there are two. */
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 50000, 1, 0), 0);
  CU_ASSERT_PTR_NOT_NULL_FATAL (r.spare->checkpoint);
  CU_ASSERT_EQUAL (r.spare->checkpoint->stage, PIECES_COUNT);
  digest = rig_digest (&r);
  place = log_page_offset (&r.spare->hdr.area[0], r.spare->pos);
  CU_ASSERT_EQUAL (device_pread (&r.m->dev, page, SPARE_PAGE, place), 0);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 60000, 1, 0), 0);
  CU_ASSERT_EQUAL (r.spare->checkpoint->total, 1);
  memdev_poke (r.m, place, page, SPARE_PAGE);

  kill_and_load (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  CU_ASSERT_EQUAL (r.spare->hdr.checkpoint_pages, 2);
  kill_and_load (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  CU_ASSERT_EQUAL (map_lookup (r.map, 60000, 1).state, DIRECT);
  rig_free (&r);
}

/* A page of the log that has to be copied is damaged: the checkpoint is given
 * up, and the log stays as it is, for a start to judge.
 */
static void
test_damaged_copy (void)
{
  struct spare_status st;
  uint64_t number;
  struct rig r;

  make_due (&r);
  go_to (&r, PIECES_WRITE);
  spare_get_status (r.spare, &st);
  number = st.checkpoints;
  memdev_poke (r.m, log_page_offset (&r.spare->hdr.area[0],
                                     r.spare->checkpoint->copied) + 200,
               "x", 1);
  for (unsigned i = 0; i < 30; i++)
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 40000 + 2 * i, 1, 0), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.checkpoints, number);
  CU_ASSERT_FALSE (spare_failed (r.spare));
  rig_close (&r, false);
  CU_ASSERT_EQUAL (rig_load (&r), EINVAL);
  CU_ASSERT (strstr (r.message.text, "is missing or damaged") != NULL);
  rig_free (&r);
}

/* More commits were made while the length was counted than are copied in one
 * step: all of them are there.
 */
static void
test_copied_in_pieces (void)
{
  const struct checkpoint *c;
  unsigned steps = 0;
  uint64_t digest;
  struct rig r;

  make_due (&r);
  CU_ASSERT_EQUAL (do_scattered (&r, CHANGE_LOST, 50000, 1000), 0);
  finish (&r);
  r.spare->piece = 2;
  go_to (&r, PIECES_COPY);
  c = r.spare->checkpoint;
  CU_ASSERT (c->copy_end - c->copied > 2 * c->piece);
  for (; r.spare->checkpoint != NULL && steps < 20; steps++) {
    CU_ASSERT_EQUAL (c->stage, PIECES_COPY);
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_ZERO, 40000 + 2 * steps, 1, 0), 0);
  }
  CU_ASSERT (steps > 2 && steps < 20);
  digest = rig_digest (&r);
  kill_and_load (&r);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "what a commit waits for", test_bounded },
    { "what a commit waits for while the spare grows", test_grow_bounded },
    { "what an opening reads", test_start },
    { "reasons and times", test_notes },
    { "random changes (promise 15)", test_random },
    { "pieces that fail (promise 15)", test_failing },
    { "what a crash has left (promise 15)", test_does_not_come_back },
    { "a damaged page (promise 15)", test_damaged_copy },
    { "copied in several pieces (promise 15)", test_copied_in_pieces },
    { NULL }
  };

  return run_tests (argc, argv, "spare-pieces", tests);
}
