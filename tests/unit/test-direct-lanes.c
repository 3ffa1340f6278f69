/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The direct plugin's requests when as many are stuck as may be: what was
 * never sent to the drive says nothing about it, and must not look like a
 * request that may still land (promise 3 of remap-promises(7)).
 *
 * The drive is a function that doesn't return before it is told to.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "lane.h"
#include "parameters.h"
#include "request.h"
#include "run-tests.h"

struct direct_config config = {
  .device = (char *) "drive", .timeout = 1, .method = METHOD_THREADS
};

static struct target target = {
  .fd = -1, .tail_fd = -1, .is_block = true, .can_write = true,
  .size = 1 << 20, .logical = 512, .memory = 512, .block = 512
};

/* What the files under test have of nbdkit. */
void
nbdkit_error (const char *fs, ...)
{
}

void
nbdkit_debug (const char *fs, ...)
{
}

/* And of the plugin. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool hangs;
static atomic_uint asked;

int
operation_run (const struct operation *op)
{
  atomic_fetch_add (&asked, 1);
  pthread_mutex_lock (&mutex);
  while (hangs)
    pthread_cond_wait (&cond, &mutex);
  pthread_mutex_unlock (&mutex);
  return 0;
}

static void
set_hangs (bool value)
{
  pthread_mutex_lock (&mutex);
  hangs = value;
  pthread_cond_broadcast (&cond);
  pthread_mutex_unlock (&mutex);
}

const char *
operation_name (enum kind kind)
{
  return "operation";
}

bool
operation_progress (const struct operation *op, uint32_t *done,
                    ssize_t result, int *err)
{
  CU_FAIL ("no ring was asked for");
  return true;
}

struct target *
target_ref (struct target *t)
{
  return t;
}

void
target_unref (struct target *t)
{
}

/* Sector N: the first one is written, the others are read. */
static void *
request_that_hangs (void *arg)
{
  const unsigned n = (uintptr_t) arg;
  char buf[512] = { 0 };
  int err = n == 0 ? request_write (&target, buf, sizeof buf, 0, false)
    : request_read (&target, buf, sizeof buf, n * sizeof buf);

  return (void *) (intptr_t) err;
}

static void
hang_all (void)
{
  pthread_t threads[MAX_STUCK];
  void *err;

  set_hangs (true);
  for (uintptr_t i = 0; i < MAX_STUCK; i++)
    CU_ASSERT_EQUAL_FATAL (pthread_create (&threads[i], NULL,
                                           request_that_hangs, (void *) i), 0);
  for (unsigned i = 0; i < MAX_STUCK; i++) {
    pthread_join (threads[i], &err);
    CU_ASSERT_EQUAL ((intptr_t) err, ETIMEDOUT);
  }
}

static void
test_never_sent (void)
{
  const struct timespec pause = { .tv_nsec = 1000000 };
  const uint64_t other = 512 * MAX_STUCK;
  char buf[1024] = { 0 };
  unsigned before;

  CU_ASSERT_EQUAL_FATAL (requests_start (&target), 0);
  CU_ASSERT_EQUAL_FATAL (lanes_start (true), 0);
  hang_all ();
  before = atomic_load (&asked);
  CU_ASSERT_EQUAL (before, MAX_STUCK);

  CU_ASSERT_EQUAL (request_read (&target, buf, 512, other), EBUSY);
  CU_ASSERT_EQUAL (request_read (&target, buf, 100, other + 7), EBUSY);
  CU_ASSERT_EQUAL (request_write (&target, buf, 512, other, false), EBUSY);
  CU_ASSERT_EQUAL (request_write (&target, buf, 512, other, true), EBUSY);
  CU_ASSERT_EQUAL (request_write (&target, buf, 9, other + 7, false), EBUSY);
  CU_ASSERT_EQUAL (request_zero (&target, 1024, other, false), EBUSY);
  CU_ASSERT_EQUAL (request_trim (&target, 1024, other), EBUSY);
  CU_ASSERT_EQUAL (request_flush (&target), EBUSY);

  /* Here a write may still land. */
  CU_ASSERT_EQUAL (request_write (&target, buf, 512, 0, false), ETIMEDOUT);
  CU_ASSERT_EQUAL (request_write (&target, buf, 9, 7, false), ETIMEDOUT);
  CU_ASSERT_EQUAL (request_zero (&target, 1024, 0, false), ETIMEDOUT);
  CU_ASSERT_EQUAL (atomic_load (&asked), before);

  set_hangs (false);
  while (request_read (&target, buf, 512, other) == EBUSY)
    nanosleep (&pause, NULL);
  while (request_write (&target, buf, 512, 0, false) == ETIMEDOUT)
    nanosleep (&pause, NULL);
  CU_ASSERT_EQUAL (request_write (&target, buf, 1024, 0, false), 0);
  CU_ASSERT_EQUAL (request_flush (&target), 0);
  lanes_stop ();
  requests_stop ();
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "what was never sent", test_never_sent },
    { NULL }
  };

  return run_tests (argc, argv, "direct-lanes", tests);
}
