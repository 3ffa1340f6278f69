/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What is known of other owners of a spare: alive, dead, or nothing (promise 22
 * of remap-promises(7)).
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <CUnit/Basic.h>

#include "host/this-process.h"
#include "run-tests.h"

/* For how long the machine was suspended, seconds. */
static time_t suspended;

int
clock_gettime (clockid_t id, struct timespec *ts)
{
  const int r = syscall (SYS_clock_gettime, id, ts);

  if (id == CLOCK_BOOTTIME)
    ts->tv_sec += suspended;
  return r;
}

static enum owner_fate
fate (const struct owner_env *env, const struct owner *other)
{
  return env->fate (env->opaque, other);
}

static void
test_this_boot (void)
{
  struct owner_env env;
  struct owner o;
  int wait_for[2];
  pid_t pid;
  char c;

  this_process_init (&env, false);
  CU_ASSERT_EQUAL (env.self.pid, (uint64_t) getpid ());
  CU_ASSERT (env.self.start > 0 && env.self.host[0] != '\0');
  CU_ASSERT (env.self.pid_namespace != 0);
  CU_ASSERT_EQUAL (fate (&env, &env.self), OWNER_ALIVE);

  /* Its number is another process's now. */
  o = env.self;
  o.start++;
  CU_ASSERT_EQUAL (fate (&env, &o), OWNER_DEAD);

  /* A child that lives, that has ended, and that is gone. */
  CU_ASSERT_EQUAL_FATAL (pipe (wait_for), 0);
  pid = fork ();
  if (pid == 0) {
    close (wait_for[1]);
    _exit (read (wait_for[0], &c, 1) != 0);
  }
  close (wait_for[0]);
  o = env.self;
  o.pid = pid;
  o.start = 0;
  CU_ASSERT_EQUAL (fate (&env, &o), OWNER_UNKNOWN);
  close (wait_for[1]);
  CU_ASSERT_EQUAL (waitpid (pid, NULL, 0), pid);
  CU_ASSERT_EQUAL (fate (&env, &o), OWNER_DEAD);

  o = env.self;
  o.pid = 0;
  CU_ASSERT_EQUAL (fate (&env, &o), OWNER_UNKNOWN);
  o.pid = UINT64_MAX;
  CU_ASSERT_EQUAL (fate (&env, &o), OWNER_UNKNOWN);
  o = env.self;
  o.start++;
  o.pid_namespace++;
  CU_ASSERT_EQUAL (fate (&env, &o), OWNER_UNKNOWN);
  o = env.self;
  o.start++;
  o.time_namespace++;
  CU_ASSERT_EQUAL (fate (&env, &o), OWNER_UNKNOWN);
}

/* An earlier boot says something where nobody else can have the spare. */
static void
test_another_boot (void)
{
  struct owner_env env;
  struct owner o;

  for (int local = 0; local < 2; local++) {
    this_process_init (&env, local);
    memset (env.self.machine, 1, sizeof env.self.machine);
    o = env.self;
    o.boot[3] ^= 1;
    CU_ASSERT_EQUAL (fate (&env, &o), local ? OWNER_DEAD : OWNER_UNKNOWN);
    o.machine[5] ^= 1;
    CU_ASSERT_EQUAL (fate (&env, &o), OWNER_UNKNOWN);
    o.machine[5] ^= 1;
    strcpy (o.host, "a-clone");
    CU_ASSERT_EQUAL (fate (&env, &o), OWNER_UNKNOWN);
    o = env.self;
    memset (o.boot, 0, sizeof o.boot);
    CU_ASSERT_EQUAL (fate (&env, &o), OWNER_UNKNOWN);
    o = env.self;
    o.boot[3] ^= 1;
    memset (o.machine, 0, sizeof o.machine);
    memset (env.self.machine, 0, sizeof env.self.machine);
    CU_ASSERT_EQUAL (fate (&env, &o), OWNER_UNKNOWN);
  }
}

/* An owner that was suspended has been away for as long: it looks. */
static void
test_suspended (void)
{
  struct owner_env env;
  uint64_t before;

  this_process_init (&env, false);
  before = env.now_ms (env.opaque);
  suspended = 3600;
  CU_ASSERT (env.now_ms (env.opaque) - before >= 3600 * 1000);
  suspended = 0;
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "of this boot", test_this_boot },
    { "of another boot", test_another_boot },
    { "a machine that was suspended", test_suspended },
    { NULL }
  };

  return run_tests (argc, argv, "this-process", tests);
}
