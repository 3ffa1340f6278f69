/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Commits that wait for one that is being made: which of them are made
 * together, and what becomes of them if that fails (promises 13 and 16 of
 * remap-promises(7)).  The order is made certain: a commit stands in its
 * flush until the others are in the queue, one after the other.
 *
 * Linked with --wrap, see fail-malloc.h.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "fail-malloc.h"
#include "spare/internal.h"
#include "spare-testing.h"

/* The first commit's flush waits here. */
struct gate {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  bool closed, reached;
};

static void
gate_hook (void *opaque, enum memdev_op op, uint64_t offset, uint64_t count)
{
  struct gate *g = opaque;

  if (op != MEMDEV_FLUSH)
    return;
  pthread_mutex_lock (&g->mutex);
  g->reached = true;
  pthread_cond_broadcast (&g->cond);
  while (g->closed)
    pthread_cond_wait (&g->cond, &g->mutex);
  pthread_mutex_unlock (&g->mutex);
}

struct committer {
  struct rig *r;
  struct change_list list;
  unsigned fail_malloc;         /* its Nth allocation, if it leads */
  int err;
  unsigned hits;
  pthread_t thread;
};

static void *
commit (void *opaque)
{
  struct committer *c = opaque;

  malloc_hits = 0;
  malloc_countdown = c->fail_malloc;
  c->err = spare_commit (c->r->spare, &c->list, NULL);
  malloc_countdown = 0;
  c->hits = malloc_hits;
  return NULL;
}

static unsigned
queued (struct spare *s)
{
  struct waiter *w;
  unsigned n = 0;

  pthread_mutex_lock (&s->lock);
  for (w = s->queue; w != NULL; w = w->next)
    n++;
  pthread_mutex_unlock (&s->lock);
  return n;
}

/* Commits lists of so many entries, the first alone, and N - 1 that queue up
 * behind it in this order.  FLUSH_ERR: how the first one's flush ends.
 */
static void
commit_all (struct rig *r, struct committer *c, unsigned n,
            const size_t *entries, int flush_err, unsigned fail_malloc)
{
  const struct timespec ms = { .tv_nsec = 1000000 };
  struct gate gate = {
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, true, false,
  };
  unsigned i;

  r->m->hook = gate_hook;
  r->m->hook_opaque = &gate;
  if (flush_err)
    memdev_fail (r->m, MEMDEV_FLUSH, 1, flush_err, false);
  for (i = 0; i < n; i++) {
    memset (&c[i], 0, sizeof c[i]);
    c[i].r = r;
    c[i].fail_malloc = i == 0 ? 0 : fail_malloc;
    add_scattered (&c[i].list, CHANGE_LOST, 20000 * i, entries[i]);
    if (pthread_create (&c[i].thread, NULL, commit, &c[i]) != 0)
      abort ();
    if (i == 0) {
      pthread_mutex_lock (&gate.mutex);
      while (!gate.reached)
        pthread_cond_wait (&gate.cond, &gate.mutex);
      pthread_mutex_unlock (&gate.mutex);
    }
    else
      while (queued (r->spare) < i)
        nanosleep (&ms, NULL);
  }
  pthread_mutex_lock (&gate.mutex);
  gate.closed = false;
  pthread_cond_broadcast (&gate.cond);
  pthread_mutex_unlock (&gate.mutex);
  for (i = 0; i < n; i++)
    pthread_join (c[i].thread, NULL);
  r->m->hook = NULL;
}

/* Small ones are made together; what would make a commit too long waits for
 * the next one, and isn't passed over.
 */
static void
test_together (void)
{
  static const struct {
    unsigned pages[4];
    unsigned commits;
  } cases[] = {
    { { 1, 1, 1, 1 }, 2 },
    { { 1, BATCH_PAGES / 2, BATCH_PAGES / 2, 1 }, 3 },
    { { 1, BATCH_PAGES, 1, 1 }, 3 },
    { { 1, BATCH_PAGES + 3, BATCH_PAGES + 3, 1 }, 4 },
    { { 1, 1, BATCH_PAGES, 1 }, 4 },
  };
  struct committer c[4];
  struct spare_status st;
  uint64_t digest, changes;
  size_t entries[4];
  struct rig r;

  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    changes = 0;
    for (unsigned j = 0; j < 4; j++)
      changes += entries[j] = cases[i].pages[j] * ENTRIES_PER_PAGE;
    rig_make (&r, 16 * MIB);
    commit_all (&r, c, 4, entries, 0, 0);
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.commits, cases[i].commits);
    CU_ASSERT_EQUAL (st.changes, changes);
    for (unsigned j = 0; j < 4; j++) {
      CU_ASSERT_EQUAL (c[j].err, 0);
      CU_ASSERT_EQUAL (map_lookup (r.map, 20000 * j, 1).state, LOST);
      CU_ASSERT_EQUAL (map_lookup (r.map, 20000 * j + 2 * entries[j] - 2,
                                   1).state, LOST);
      change_list_free (&c[j].list);
    }
    digest = rig_digest (&r);
    rig_close (&r, false);
    CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    rig_free (&r);
  }
}

/* The flush of the first one fails: that one is in doubt, and the others
 * have not begun.
 */
static void
test_failed (void)
{
  static const size_t entries[] = { 1, 2, 3 };
  struct committer c[3];
  uint64_t digest, writes;
  struct rig r;

  rig_make (&r, MIB);
  digest = rig_digest (&r);
  writes = r.m->writes;
  commit_all (&r, c, 3, entries, EIO, 0);
  for (unsigned j = 0; j < 3; j++) {
    CU_ASSERT_EQUAL (c[j].err, EIO);
    CU_ASSERT_EQUAL (c[j].list.in_doubt, j == 0);
    change_list_free (&c[j].list);
  }
  CU_ASSERT (spare_failed (r.spare));
  CU_ASSERT_EQUAL (queued (r.spare), 0);
  CU_ASSERT_EQUAL (r.m->writes, writes + 1);
  CU_ASSERT_EQUAL (rig_digest (&r), digest);
  rig_free (&r);
}

/* Memory runs out in the middle of two that are made together: neither has
 * happened (promise 23).
 */
static void
test_no_memory (void)
{
  static const size_t entries[] = { 1, 5, 7 };
  struct committer c[3];
  uint64_t digest;
  struct rig r;
  unsigned n;

  for (n = 1; n < 100; n++) {
    rig_make (&r, MIB);
    commit_all (&r, c, 3, entries, 0, n);
    CU_ASSERT_EQUAL (c[0].err, 0);
    CU_ASSERT_EQUAL (c[1].err, c[1].hits + c[2].hits ? ENOMEM : 0);
    CU_ASSERT_EQUAL (c[2].err, c[1].err);
    for (unsigned j = 1; j < 3; j++) {
      CU_ASSERT_EQUAL (map_lookup (r.map, 20000 * j, 1).state,
                       c[j].err ? DIRECT : LOST);
      CU_ASSERT_FALSE (c[j].list.in_doubt);
      CU_ASSERT_EQUAL (spare_commit (r.spare, &c[j].list, NULL), 0);
    }
    CU_ASSERT_FALSE (spare_failed (r.spare));
    digest = rig_digest (&r);
    rig_close (&r, false);
    CU_ASSERT_EQUAL_FATAL (rig_load (&r), 0);
    CU_ASSERT_EQUAL (rig_digest (&r), digest);
    rig_free (&r);
    for (unsigned j = 0; j < 3; j++)
      change_list_free (&c[j].list);
    if (c[1].hits + c[2].hits == 0)
      break;
  }
  CU_ASSERT (n > 3 && n < 100);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "which are made together (promise 13)", test_together },
    { "the first one fails (promise 16)", test_failed },
    { "no memory for two (promise 23)", test_no_memory },
    { NULL }
  };

  return run_tests (argc, argv, "spare-queue", tests);
}
