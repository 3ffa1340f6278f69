/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A file as the spare, where system calls fail, are interrupted, or do only
 * part of what they were asked for (promises 17 and 21 to 23 of
 * remap-promises(7)): a clean error with its reason, nothing left open, no
 * file left behind that was not there before.
 *
 * Linked with --wrap for system calls, functions that allocate, and strdup.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/statvfs.h>

#include "engine-rig.h"
#include "fail-malloc.h"
#include "fail-syscall.h"
#include "host/directio.h"
#include "host/sparefile.h"

static bool strdup_fails;

extern char *__real_strdup (const char *s);
extern char *__wrap_strdup (const char *s);

char *
__wrap_strdup (const char *s)
{
  return strdup_fails ? NULL : __real_strdup (s);
}

static int statvfs_fails;       /* an errno, or 0 */

extern int __real_fstatvfs (int fd, struct statvfs *fs);
extern int __wrap_fstatvfs (int fd, struct statvfs *fs);

int
__wrap_fstatvfs (int fd, struct statvfs *fs)
{
  if (statvfs_fails == 0)
    return __real_fstatvfs (fd, fs);
  errno = statvfs_fails;
  return -1;
}

static char dir[4096];
static char path[4200];
static int descriptor;

/* A path in a fresh directory. */
static void
setup (void)
{
  const char *tmp = getenv ("TMPDIR");

  call_reset ();
  snprintf (dir, sizeof dir, "%s/remapXXXXXX", tmp ? tmp : "/tmp");
  CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (dir));
  snprintf (path, sizeof path, "%s/spare", dir);
  descriptor = free_descriptor ();
}

static void
cleanup (void)
{
  CU_ASSERT_EQUAL (free_descriptor (), descriptor);
  call_reset ();
  unlink (path);
  CU_ASSERT_EQUAL (rmdir (dir), 0);
}

/* An empty spare of SIZE bytes. */
static void
make (struct spare_file *sf, uint64_t offset, uint64_t size)
{
  struct message m;

  setup ();
  CU_ASSERT_EQUAL_FATAL (spare_file_open (sf, path, offset, true, false, &m),
                         0);
  CU_ASSERT_EQUAL_FATAL (spare_file_extend (sf, size, &m), 0);
}

static void
finish (struct spare_file *sf)
{
  spare_file_close (sf, true);
  CU_ASSERT_EQUAL (access (path, F_OK), -1);
  cleanup ();
}

static bool
says (const struct message *m, const char *text)
{
  return strstr (m->text, path) != NULL && strstr (m->text, text) != NULL;
}

static void
check_open (enum call call, int err, const char *text, bool stays)
{
  struct spare_file sf;
  struct message m;

  setup ();
  call_fail (call, 1, err, 0);
  CU_ASSERT_EQUAL (spare_file_open (&sf, path, 0, true, false, &m), err);
  CU_ASSERT (says (&m, text));
  CU_ASSERT (says (&m, strerror (err)));
  CU_ASSERT_EQUAL (sf.fd, -1);
  CU_ASSERT_EQUAL (access (path, F_OK), stays ? 0 : -1);
  cleanup ();
}

static void
test_open (void)
{
  struct spare_file sf;
  struct message m;

  check_open (CALL_OPEN, EMFILE, "can't open or create", false);
  /* Which file it is isn't known then: none is removed. */
  check_open (CALL_FSTAT, EIO, "stat", true);
  check_open (CALL_LSEEK, EOVERFLOW, "size", false);

  setup ();
  strdup_fails = true;
  CU_ASSERT_EQUAL (spare_file_open (&sf, path, 0, true, false, &m), ENOMEM);
  strdup_fails = false;
  CU_ASSERT (says (&m, strerror (ENOMEM)));
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_OPEN]), 0);
  cleanup ();
}

/* Another server creates the file at the moment when we want to. */
static void
create_it (enum call call, bool after)
{
  FILE *fp;

  if (call != CALL_OPEN || after || atomic_load (&calls[CALL_OPEN]) != 2)
    return;
  fp = fopen (path, "w");
  CU_ASSERT_PTR_NOT_NULL_FATAL (fp);
  fputs ("theirs", fp);
  fclose (fp);
}

static void
test_create_race (void)
{
  struct spare_file sf;
  struct message m;

  setup ();
  call_hook = create_it;
  CU_ASSERT_EQUAL (spare_file_open (&sf, path, 0, true, false, &m), 0);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_OPEN]), 3);
  CU_ASSERT (!sf.created);
  CU_ASSERT_EQUAL (sf.size, 6);
  spare_file_close (&sf, true);
  CU_ASSERT_EQUAL (access (path, F_OK), 0);
  cleanup ();
}

/* Whether it is still ours can't be seen: it is neither used nor removed. */
static void
test_not_in_place (void)
{
  struct spare_file sf;
  struct message m;

  setup ();
  call_fail (CALL_STAT, 1, EACCES, 0);
  CU_ASSERT_EQUAL (spare_file_open (&sf, path, 0, true, false, &m), EBUSY);
  CU_ASSERT (says (&m, "try again"));
  CU_ASSERT_EQUAL (access (path, F_OK), 0);
  cleanup ();
}

/* Interrupted, and in small pieces: all of it all the same. */
static void
test_pieces (void)
{
  static uint8_t buf[10000], back[10000];
  struct spare_file sf;

  make (&sf, 100, 20000);
  /* No write to a file has to wait for another one. */
  CU_ASSERT (directio_is_aligned (sf.sector, 50, sizeof buf));
  fill (buf, 0, sizeof buf, 2);
  call_most = 999;
  atomic_store (&calls[CALL_PWRITE], 0);
  call_fail (CALL_PWRITE, 1, EINTR, 3);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, sizeof buf, 50), 0);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_PWRITE]), 3 + 11);
  call_fail (CALL_PREAD, 5, EINTR, 2);
  CU_ASSERT_EQUAL (device_pread (&sf.device, back, sizeof back, 50), 0);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_PREAD]), 2 + 11);
  CU_ASSERT (matches (back, 0, sizeof back, 2));
  CU_ASSERT_EQUAL (device_pread (&sf.device, back, 50, 0), 0);
  CU_ASSERT (matches (back, 0, 50, 0));
  finish (&sf);
}

/* An error in the middle ends it; -1: nothing is moved any more. */
static void
test_io_errors (void)
{
  static const struct {
    int err, result;
  } tests[] = {
    { EIO, EIO }, { ENOSPC, ENOSPC }, { EDQUOT, EDQUOT }, { -1, EIO },
  };
  static uint8_t buf[3000];
  struct spare_file sf;

  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
    make (&sf, 0, 10000);
    call_most = 1000;
    call_fail (CALL_PWRITE, 2, tests[i].err, 1);
    CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 3000, 0),
                     tests[i].result);
    CU_ASSERT_EQUAL (atomic_load (&calls[CALL_PWRITE]), 2);
    call_fail (CALL_PREAD, 2, tests[i].err, 1);
    CU_ASSERT_EQUAL (device_pread (&sf.device, buf, 3000, 0),
                     tests[i].result);
    CU_ASSERT_EQUAL (atomic_load (&calls[CALL_PREAD]), 2);
    CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 3000, 0), 0);
    finish (&sf);
  }
}

static void
test_flush (void)
{
  struct spare_file sf;
  struct message m = { "" };

  make (&sf, 0, 10000);
  call_fail (CALL_FDATASYNC, 1, EIO, 1);
  CU_ASSERT_EQUAL (device_flush (&sf.device), EIO);
  CU_ASSERT_EQUAL (device_flush (&sf.device), 0);
  call_fail (CALL_FDATASYNC, 1, ENOSPC, 1);
  CU_ASSERT_EQUAL (spare_file_drop_cache (&sf, &m), ENOSPC);
  CU_ASSERT (says (&m, strerror (ENOSPC)));
  CU_ASSERT_EQUAL (spare_file_drop_cache (&sf, &m), 0);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_FDATASYNC]), 4);
  spare_file_close (&sf, false);

  /* Who only reads has written nothing that could be brought there. */
  CU_ASSERT_EQUAL (spare_file_open (&sf, path, 0, false, true, &m), 0);
  call_fail (CALL_FDATASYNC, 1, EIO, 0);
  CU_ASSERT_EQUAL (spare_file_drop_cache (&sf, &m), 0);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_FDATASYNC]), 4);
  spare_file_close (&sf, false);
  cleanup ();
}

/* Room that is made by fallocate(2), or by writing what is there. */
static void
test_allocate (void)
{
  static uint8_t buf[100000], back[100000];
  struct spare_file sf;

  make (&sf, 10, 200000);
  fill (buf, 0, sizeof buf, 3);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, sizeof buf, 0), 0);
  atomic_store (&calls[CALL_PWRITE], 0);
  call_fail (CALL_FALLOCATE, 1, EINTR, 2);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, 200000), 0);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_FALLOCATE]), 3);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_PWRITE]), 0);
  call_fail (CALL_FALLOCATE, 1, EDQUOT, 1);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, 200000), EDQUOT);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_PWRITE]), 0);

  call_fail (CALL_FALLOCATE, 1, ENOSYS, 0);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, 200000), 0);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_PWRITE]), 4);
  CU_ASSERT_EQUAL (device_pread (&sf.device, back, sizeof back, 0), 0);
  CU_ASSERT (matches (back, 0, sizeof back, 3));

  /* What can't be read isn't written, and nothing after an error. */
  atomic_store (&calls[CALL_PWRITE], 0);
  call_fail (CALL_PREAD, 2, EIO, 1);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, 200000), EIO);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_PWRITE]), 1);
  call_fail (CALL_PWRITE, 2, ENOSPC, 1);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, 200000), ENOSPC);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_PWRITE]), 3);
  /* Nobody is locked out afterwards. */
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, sizeof buf, 0), 0);
  finish (&sf);
}

static void
test_extend (void)
{
  struct spare_file sf;
  struct message m;

  make (&sf, 4096, 10000);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_FTRUNCATE]), 1);
  /* Never shorter. */
  CU_ASSERT_EQUAL (spare_file_extend (&sf, 10000, &m), 0);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, 1, &m), 0);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_FTRUNCATE]), 1);
  CU_ASSERT_EQUAL (sf.size, 10000);
  call_fail (CALL_FTRUNCATE, 1, EDQUOT, 1);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, 20000, &m), EDQUOT);
  CU_ASSERT (says (&m, "20000"));
  CU_ASSERT (says (&m, strerror (EDQUOT)));
  CU_ASSERT_EQUAL (sf.size, 10000);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, 20000, &m), 0);
  CU_ASSERT_EQUAL (sf.size, 20000);

  /* Another one has cut it off; what is left may lie before the spare. */
  CU_ASSERT_EQUAL (truncate (path, 5000), 0);
  CU_ASSERT_EQUAL (spare_file_find_size (&sf, &m), 0);
  CU_ASSERT_EQUAL (sf.size, 904);
  CU_ASSERT_EQUAL (truncate (path, 100), 0);
  CU_ASSERT_EQUAL (spare_file_find_size (&sf, &m), 0);
  CU_ASSERT_EQUAL (sf.size, 0);
  finish (&sf);
}

/* Promise 21: what can't be seen isn't blank. */
static void
test_blank (void)
{
  struct spare_file sf;

  make (&sf, 4096, 3 * MIB);
  /* What a hole that reaches to the end is, where files have holes. */
  call_fail (CALL_LSEEK, 1, ENXIO, 1);
  CU_ASSERT_EQUAL (spare_file_next_data (&sf, 5), 3 * MIB);
  CU_ASSERT_EQUAL (spare_file_next_data (&sf, 3 * MIB), 3 * MIB);
  CU_ASSERT_EQUAL (spare_file_next_data (&sf, 4 * MIB), 4 * MIB);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, "x", 1, 2 * MIB + 10), 0);
  CU_ASSERT (spare_file_next_data (&sf, 5) <= 2 * MIB + 10);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, 3 * MIB), EEXIST);

  /* Holes that can't be found are read. */
  call_fail (CALL_LSEEK, 1, EINVAL, 0);
  CU_ASSERT_EQUAL (spare_file_next_data (&sf, 5), 5);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, 2 * MIB), 0);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, 3 * MIB), EEXIST);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 2 * MIB + 1, 2 * MIB + 10), 0);

  atomic_store (&calls[CALL_PREAD], 0);
  call_fail (CALL_PREAD, 2, EIO, 1);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, 2 * MIB), EIO);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_PREAD]), 2);
  malloc_countdown = 1;
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, 2 * MIB), ENOMEM);
  malloc_countdown = 0;
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, 2 * MIB), 0);
  finish (&sf);
}

/* A file that isn't there, where there is no directory for it: it is said, if
 * that is so and can be known.
 */
static void
check_missing (const char *name, bool no_directory)
{
  struct spare_file sf;
  struct message m;

  CU_ASSERT_EQUAL (spare_file_open (&sf, name, 0, false, false, &m), ENOENT);
  CU_ASSERT_EQUAL (strstr (m.text, "its directory doesn't exist") != NULL,
                   no_directory);
  CU_ASSERT_EQUAL (sf.fd, -1);
}

static void
test_missing (void)
{
  char name[2 * PATH_MAX];

  setup ();
  check_missing (path, false);
  snprintf (name, sizeof name, "%s/nowhere/spare", dir);
  check_missing (name, true);
  call_fail (CALL_STAT, 1, EACCES, 1);
  check_missing (name, false);
  check_missing ("remap-no-such-spare", false);
  check_missing ("/remap-no-such-spare", false);
  memset (name, 'x', sizeof name);
  name[0] = name[sizeof name - 10] = '/';
  name[sizeof name - 1] = '\0';
  call_fail (CALL_OPEN, 1, ENOENT, 1);
  check_missing (name, false);
  cleanup ();
}

/* What there is for the spare, and what it has. */
static void
test_room (void)
{
  struct spare_room room, more;
  uint8_t buf[4096] = { 1 };
  struct spare_file sf;
  struct statvfs fs;

  make (&sf, 4096, 3 * MIB);
  CU_ASSERT_EQUAL (statvfs (dir, &fs), 0);
  CU_ASSERT_EQUAL (spare_file_room (&sf, &room), 0);
  CU_ASSERT_EQUAL (room.total, (uint64_t) fs.f_blocks * fs.f_frsize);
  CU_ASSERT (room.free <= room.total);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, sizeof buf, MIB), 0);
  CU_ASSERT_EQUAL (device_flush (&sf.device), 0);
  CU_ASSERT_EQUAL (spare_file_room (&sf, &more), 0);
  CU_ASSERT (more.allocated >= room.allocated + sizeof buf);
  CU_ASSERT (more.allocated < 3 * MIB);

  statvfs_fails = EIO;
  CU_ASSERT_EQUAL (spare_file_room (&sf, &room), EIO);
  statvfs_fails = 0;
  call_fail (CALL_FSTAT, 1, ESTALE, 1);
  CU_ASSERT_EQUAL (spare_file_room (&sf, &room), ESTALE);
  CU_ASSERT_EQUAL (spare_file_room (&sf, &room), 0);
  finish (&sf);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "opening (promise 23)", test_open },
    { "missing (promise 23)", test_missing },
    { "created by two (promise 21)", test_create_race },
    { "not in its place (promise 22)", test_not_in_place },
    { "interrupted and in pieces (promise 23)", test_pieces },
    { "errors of reads and writes (promise 23)", test_io_errors },
    { "flush (promise 17)", test_flush },
    { "room (promise 17)", test_allocate },
    { "making it longer (promise 23)", test_extend },
    { "blank (promise 21)", test_blank },
    { "room that there is (promise 17)", test_room },
    { NULL }
  };

  return run_tests (argc, argv, "file-errors", tests);
}
