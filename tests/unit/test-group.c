/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Groups by name, whatever number of members they have.
 *
 * Linked with --wrap for getgrnam_r, whose groups are made up, and for
 * functions that allocate.
 */

#include <config.h>

#include <errno.h>
#include <grp.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "fail-malloc.h"
#include "host/group.h"
#include "run-tests.h"

static size_t needed;           /* bytes for the group's members */
static int error;               /* an errno, or 0 */
static unsigned asked;

extern int __wrap_getgrnam_r (const char *name, struct group *g, char *buf,
                              size_t size, struct group **found);

int
__wrap_getgrnam_r (const char *name, struct group *g, char *buf, size_t size,
                   struct group **found)
{
  *found = NULL;
  asked++;
  if (error)
    return error;
  if (strcmp (name, "disk") != 0)
    return 0;
  if (size < needed)
    return ERANGE;
  memset (buf, 0, needed);
  *g = (struct group) { .gr_gid = 6 };
  *found = g;
  return 0;
}

static bool
is_found (const char *name, size_t bytes)
{
  gid_t gid = 99;
  bool r;

  needed = bytes;
  asked = 0;
  r = group_by_name (name, &gid);
  CU_ASSERT_EQUAL (gid, r ? 6 : 99);
  return r;
}

static void
test_found (void)
{
  CU_ASSERT (is_found ("disk", 10));
  CU_ASSERT (!is_found ("disc", 10));
  CU_ASSERT (!is_found ("", 10));
  error = EIO;
  CU_ASSERT (!is_found ("disk", 10));
  CU_ASSERT_EQUAL (asked, 1);
  error = 0;
}

/* As many as fit in 16 MiB, and no end of asking beyond that. */
static void
test_large (void)
{
  CU_ASSERT (is_found ("disk", 4096));
  CU_ASSERT_EQUAL (asked, 1);
  CU_ASSERT (is_found ("disk", 4097));
  CU_ASSERT_EQUAL (asked, 2);
  CU_ASSERT (is_found ("disk", 1U << 24));
  CU_ASSERT (!is_found ("disk", (1U << 24) + 1));
}

static void
test_nomem (void)
{
  malloc_countdown = 1;
  CU_ASSERT (!is_found ("disk", 4097));
  malloc_countdown = 2;
  CU_ASSERT (!is_found ("disk", 4097));
  CU_ASSERT_EQUAL (malloc_hits, 2);
  CU_ASSERT (is_found ("disk", 4097));
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "found, or not", test_found },
    { "many members", test_large },
    { "no memory", test_nomem },
    { NULL }
  };

  return run_tests (argc, argv, "group", tests);
}
