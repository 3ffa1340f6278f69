/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Filters above may pass NULL where an error is to be stored, and nbdkit's
 * scan and readahead do.  Each callback of the baddisk filter is called so,
 * over a layer that succeeds, over one that fails, on bad sectors, and
 * without a disk; and what that layer is given is never NULL.
 *
 * A real nbdkit can't show that: it reads the error of a call that failed
 * itself, wherever it is to be stored.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include <nbdkit-filter.h>

#include "fuzz.h"
#include "run-tests.h"

extern struct nbdkit_filter *filter_init (void);

#define SIZE 65536
#define BAD 4096                /* offset of the bad sector */

static int below_fails;         /* errno, or 0 */
static unsigned below_calls;

static int
below (int *err)
{
  below_calls++;
  CU_ASSERT_PTR_NOT_NULL_FATAL (err);
  if (below_fails)
    *err = below_fails;
  return below_fails ? -1 : 0;
}

static int64_t
below_size (nbdkit_next *next)
{
  return SIZE;
}

static int
below_pread (nbdkit_next *next, void *buf, uint32_t count, uint64_t offset,
             uint32_t flags, int *err)
{
  return below (err);
}

static int
below_pwrite (nbdkit_next *next, const void *buf, uint32_t count,
              uint64_t offset, uint32_t flags, int *err)
{
  return below (err);
}

static int
below_flush (nbdkit_next *next, uint32_t flags, int *err)
{
  return below (err);
}

/* trim, zero, cache */
static int
below_range (nbdkit_next *next, uint32_t count, uint64_t offset,
             uint32_t flags, int *err)
{
  return below (err);
}

static int
below_extents (nbdkit_next *next, uint32_t count, uint64_t offset,
               uint32_t flags, struct nbdkit_extents *extents, int *err)
{
  return below (err);
}

static nbdkit_next next = {
  .get_size = below_size,
  .pread = below_pread,
  .pwrite = below_pwrite,
  .flush = below_flush,
  .trim = below_range,
  .zero = below_range,
  .extents = below_extents,
  .cache = below_range,
};

/* The end of the list of parameters, the plugin, and its connection. */
static int
next_config (nbdkit_backend *backend, const char *key, const char *value)
{
  return -1;
}

static int
next_open (nbdkit_context *context, int readonly, const char *exportname)
{
  return 0;
}

static struct nbdkit_filter *f;
static void *handle;
static char dir[] = "/tmp/null-err-XXXXXX";
static char gone[sizeof dir + 8], list[sizeof dir + 8];

static void
create (const char *path, const char *text)
{
  FILE *fp = fopen (path, "w");

  MUST (fp != NULL);
  fputs (text, fp);
  fclose (fp);
}

static void
set (const char *key, const char *value)
{
  MUST (f->config (next_config, NULL, key, value) == 0);
}

static void
start (void)
{
  f = filter_init ();
  set ("baddisk-list", list);
  set ("baddisk-gone", gone);
  set ("baddisk-partial", "good");
  MUST (f->get_ready (0) == 0);
  handle = f->open (next_open, NULL, 0, "", 0);
  MUST (handle != NULL);
  MUST (f->prepare (&next, handle, 0) == 0);
}

/* Every callback on a range at OFFSET.  EXPECTED is of all of them but of
 * cache: nobody could make use of its error, and nbdkit would look for it.
 */
static void
call_all (uint64_t offset, int expected)
{
  static char buf[1024];

  CU_ASSERT (f->pread (&next, handle, buf, 1024, offset, 0, NULL) == expected);
  CU_ASSERT (f->pwrite (&next, handle, buf, 1024, offset, 0, NULL) ==
             expected);
  CU_ASSERT (f->zero (&next, handle, 1024, offset, 0, NULL) == expected);
  CU_ASSERT (f->cache (&next, handle, 1024, offset, 0, NULL) == 0);
}

/* Those that no bad sector makes fail. */
static void
call_others (uint64_t offset, int expected)
{
  CU_ASSERT (f->trim (&next, handle, 1024, offset, 0, NULL) == expected);
  CU_ASSERT (f->flush (&next, handle, 0, NULL) == expected);
  CU_ASSERT (f->extents (&next, handle, 1024, offset, 0, NULL, NULL) ==
             expected);
}

static void
test_success (void)
{
  below_fails = below_calls = 0;
  call_all (0, 0);
  call_others (0, 0);
  CU_ASSERT (below_calls == 7);
}

static void
test_failure_below (void)
{
  below_fails = EIO;
  call_all (0, -1);
  call_others (0, -1);
  below_fails = 0;
}

static void
test_bad_sector (void)
{
  call_all (BAD, -1);
  call_others (BAD, 0);
}

static void
test_gone (void)
{
  below_calls = 0;
  create (gone, "");
  call_all (0, -1);
  call_others (0, -1);
  unlink (gone);
  CU_ASSERT (below_calls == 0);
}

/* With a place for the error, a failing cache fails. */
static void
test_cache_reports (void)
{
  int err = 0;

  CU_ASSERT (f->cache (&next, handle, 1024, BAD, 0, &err) == -1);
  CU_ASSERT (err == EIO);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "all goes well", test_success },
    { "the layer below fails", test_failure_below },
    { "a bad sector", test_bad_sector },
    { "a disk that is gone", test_gone },
    { "cache, asked for its error", test_cache_reports },
    { NULL, NULL },
  };
  int r;

  if (mkdtemp (dir) == NULL) {
    perror (dir);
    return 1;
  }
  snprintf (gone, sizeof gone, "%s/gone", dir);
  snprintf (list, sizeof list, "%s/list", dir);
  create (list, "4096 512 -\n");
  start ();
  r = run_tests (argc, argv, "a NULL err", tests);
  f->close (handle);
  f->unload ();
  unlink (list);
  rmdir (dir);
  return r;
}
