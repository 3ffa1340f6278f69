/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Sharing main, and having it alone: who waits for whom, and that nobody waits
 * for ever for what hangs.
 *
 * Linked with --wrap for waits and the clock: what others do while somebody
 * waits is done in his place, so that there is one thread and one order.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "engine/alone.h"
#include "engine/suspects.h"
#include "run-tests.h"

static struct alone alone;

/* What happens at each wait, one after the other; the last one is NULL, and
 * then it is one for a time that has come.
 */
static void (*const *others) (void);
static unsigned waits;

static struct timespec now, until;

extern int __wrap_clock_gettime (clockid_t id, struct timespec *t);
extern int __wrap_pthread_cond_wait (pthread_cond_t *cond,
                                     pthread_mutex_t *mutex);
extern int __wrap_pthread_cond_timedwait (pthread_cond_t *cond,
                                          pthread_mutex_t *mutex,
                                          const struct timespec *t);

int
__wrap_clock_gettime (clockid_t id, struct timespec *t)
{
  *t = now;
  return 0;
}

static int
wait_for_others (pthread_mutex_t *mutex)
{
  waits++;
  if (others == NULL || *others == NULL)
    return ETIMEDOUT;
  pthread_mutex_unlock (mutex);
  (*others++) ();
  pthread_mutex_lock (mutex);
  return 0;
}

int
__wrap_pthread_cond_wait (pthread_cond_t *cond, pthread_mutex_t *mutex)
{
  CU_ASSERT_EQUAL_FATAL (wait_for_others (mutex), 0);
  return 0;
}

int
__wrap_pthread_cond_timedwait (pthread_cond_t *cond, pthread_mutex_t *mutex,
                               const struct timespec *t)
{
  until = *t;
  return wait_for_others (mutex);
}

static void
nothing (void)
{
}

static void
leave (void)
{
  alone_leave (&alone);
}

/* Waits so often, while the others do this. */
static void
begin_waiting (void (*const *they) (void))
{
  others = they;
  waits = 0;
}

static void
test_shared (void)
{
  alone_init (&alone);
  begin_waiting (NULL);
  alone_share (&alone);
  alone_share (&alone);
  leave ();
  leave ();
  CU_ASSERT (alone_exclude (&alone, 1000));
  CU_ASSERT_EQUAL (waits, 0);
  leave ();
  alone_destroy (&alone);
}

/* Whoever comes waits until the one who is alone has left. */
static void
test_alone (void)
{
  static void (*const they[]) (void) = { nothing, leave, NULL };

  alone_init (&alone);
  CU_ASSERT (alone_exclude (&alone, 1000));
  begin_waiting (they);
  alone_share (&alone);
  CU_ASSERT_EQUAL (waits, 2);
  leave ();

  CU_ASSERT (alone_exclude (&alone, 1000));
  begin_waiting (they);
  CU_ASSERT (alone_exclude (&alone, 1000));
  CU_ASSERT_EQUAL (waits, 2);
  leave ();
  alone_destroy (&alone);
}

/* Those who share are waited for, all of them; not one that hangs: with it
 * main is shared.
 */
static void
test_hangs (void)
{
  static void (*const they[]) (void) = { nothing, leave, leave, NULL };

  alone_init (&alone);
  alone_share (&alone);
  alone_share (&alone);
  now = (struct timespec) { .tv_sec = 5, .tv_nsec = 400000000 };
  begin_waiting (they);
  CU_ASSERT (alone_exclude (&alone, 1500));
  CU_ASSERT_EQUAL (waits, 3);
  CU_ASSERT_EQUAL (until.tv_sec, 6);
  CU_ASSERT_EQUAL (until.tv_nsec, 900000000);
  leave ();

  alone_share (&alone);
  now.tv_nsec = 500000000;
  begin_waiting (NULL);
  CU_ASSERT_FALSE (alone_exclude (&alone, 1500));
  CU_ASSERT_EQUAL (waits, 1);
  CU_ASSERT_EQUAL (until.tv_sec, 7);
  CU_ASSERT_EQUAL (until.tv_nsec, 0);
  alone_share (&alone);
  CU_ASSERT_EQUAL (waits, 1);
  leave ();
  leave ();
  /* One is left. */
  CU_ASSERT_FALSE (alone_exclude (&alone, 0));
  leave ();
  leave ();
  CU_ASSERT (alone_exclude (&alone, 0));
  leave ();
  alone_destroy (&alone);
}

/* An engine's calls that share and hang. */
static void
test_engine (void)
{
  static struct engine e;

  alone_init (&e.suspects.alone);
  begin_waiting (NULL);
  alone_share (&e.suspects.alone);
  CU_ASSERT_FALSE (suspects_exclude (&e));
  CU_ASSERT_EQUAL (waits, 1);
  alone_leave (&e.suspects.alone);
  alone_leave (&e.suspects.alone);
  alone_destroy (&e.suspects.alone);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "shared", test_shared },
    { "alone", test_alone },
    { "with one that hangs", test_hangs },
    { "of an engine", test_engine },
    { NULL }
  };

  return run_tests (argc, argv, "engine-alone", tests);
}
