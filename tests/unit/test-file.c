/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A file as the spare: opening, creating, locking, growing, reading,
 * writing (promises 17 and 21 to 23 of remap-promises(7)).  Errors of system
 * calls are in test-file-errors.c, devices in test-file-device.c.
 *
 * Linked with --wrap for system calls.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine-rig.h"
#include "fail-syscall.h"
#include "host/spare-place.h"
#include "host/sparefile.h"

/* What another server does between our open and our lock. */
static void (*before_flock) (void);

/* A spare of which sectors are read whole: its reads so far, whether they had
 * the lock, and the read (from 1) during which something is written.
 */
static struct spare_file *whole;
static unsigned whole_reads, whole_locked, write_during;

/* 1: the next read will set it to 2, and wait for 3, but not long. */
static atomic_int stage;

static void
hook (enum call call, bool after)
{
  const struct timespec ms = { .tv_nsec = 1000000 };

  if (call == CALL_FLOCK && !after && before_flock)
    before_flock ();
  if (call == CALL_PREAD && after && whole) {
    whole_reads++;
    if (pthread_rwlock_tryrdlock (&whole->writing) != 0)
      whole_locked++;
    else
      pthread_rwlock_unlock (&whole->writing);
    if (whole_reads == write_during)
      CU_ASSERT_EQUAL (device_pwrite (&whole->device, "new", 3, 512), 0);
  }
  if (call == CALL_PREAD && after && atomic_load (&stage) == 1) {
    atomic_store (&stage, 2);
    for (int i = 0; i < 100 && atomic_load (&stage) != 3; i++)
      nanosleep (&ms, NULL);
  }
}

static char dir[4096];
static char path[4200];

/* A path in a fresh directory. */
static void
setup (void)
{
  const char *tmp = getenv ("TMPDIR");

  call_reset ();
  call_hook = hook;
  snprintf (dir, sizeof dir, "%s/remapXXXXXX", tmp ? tmp : "/tmp");
  CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (dir));
  snprintf (path, sizeof path, "%s/spare", dir);
}

static void
cleanup (void)
{
  unlink (path);
  CU_ASSERT_EQUAL (rmdir (dir), 0);
}

static int
open_it (struct spare_file *sf, uint64_t offset, bool create, bool read_only,
         const char *says)
{
  struct message m = { "" };
  int err = spare_file_open (sf, path, offset, create, read_only, &m);

  if (err) {
    CU_ASSERT_PTR_NOT_NULL (strstr (m.text, path));
    CU_ASSERT_PTR_NOT_NULL (strstr (m.text, says));
  }
  return err;
}

static void
test_create (void)
{
  struct spare_file sf;
  struct message m;
  struct stat st;

  setup ();
  CU_ASSERT_EQUAL (open_it (&sf, 0, false, false, "No such file"), ENOENT);
  CU_ASSERT_EQUAL (access (path, F_OK), -1);
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, ""), 0);
  CU_ASSERT (sf.created && !sf.is_block && sf.size == 0);
  CU_ASSERT_EQUAL (stat (path, &st), 0);
  CU_ASSERT_EQUAL (st.st_mode & 0777, 0600);
  CU_ASSERT_EQUAL (st.st_ino, sf.ino);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, MIB, &m), 0);
  CU_ASSERT_EQUAL (sf.size, MIB);
  spare_file_close (&sf, false);
  CU_ASSERT_EQUAL (stat (path, &st), 0);
  CU_ASSERT_EQUAL (st.st_size, MIB);

  /* An existing one isn't removed. */
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, ""), 0);
  CU_ASSERT (!sf.created && sf.size == MIB);
  spare_file_close (&sf, true);
  CU_ASSERT_EQUAL (access (path, F_OK), 0);
  unlink (path);
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, ""), 0);
  spare_file_close (&sf, true);
  CU_ASSERT_EQUAL (access (path, F_OK), -1);
  cleanup ();
}

/* Promise 22: one server; readers beside each other. */
static void
test_lock (void)
{
  struct spare_file a, b;

  setup ();
  CU_ASSERT_EQUAL (open_it (&a, 0, true, false, ""), 0);
  CU_ASSERT_EQUAL (open_it (&b, 0, true, false, "in use"), EBUSY);
  CU_ASSERT_EQUAL (open_it (&b, 0, false, true, "in use"), EBUSY);
  spare_file_close (&a, false);
  CU_ASSERT_EQUAL (open_it (&a, 0, false, true, ""), 0);
  CU_ASSERT_EQUAL (open_it (&b, 0, false, true, ""), 0);
  CU_ASSERT_EQUAL (a.device.ops->pwrite (a.device.ctx, "", 0, 0), EIO);
  spare_file_close (&b, false);
  CU_ASSERT_EQUAL (open_it (&b, 0, false, false, "in use"), EBUSY);
  spare_file_close (&a, false);
  cleanup ();
}

/* Two servers that create it at once: the one that loses must not remove
 * the file that the other one has locked.
 */
static void
test_lock_race (void)
{
  struct spare_file sf;

  setup ();
  call_fail (CALL_FLOCK, 1, EWOULDBLOCK, 1);
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, "in use"), EBUSY);
  CU_ASSERT_EQUAL (access (path, F_OK), 0);
  call_fail (CALL_FLOCK, 1, ENOLCK, 1);
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, "lock"), ENOLCK);
  CU_ASSERT_EQUAL (open_it (&sf, 0, false, false, ""), 0);
  spare_file_close (&sf, false);
  cleanup ();
}

static void
remove_path (void)
{
  unlink (path);
}

static void
replace_path (void)
{
  unlink (path);
  close (open (path, O_WRONLY | O_CREAT, 0600));
}

/* A server that gave up has removed its new file when we get the lock: a
 * spare without a name would be gone at the end.
 */
static void
test_removed_before_lock (void)
{
  struct spare_file sf;

  setup ();
  before_flock = remove_path;
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, "try again"), EBUSY);
  CU_ASSERT_EQUAL (access (path, F_OK), -1);
  before_flock = replace_path;
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, "try again"), EBUSY);
  before_flock = NULL;
  CU_ASSERT_EQUAL (access (path, F_OK), 0);
  cleanup ();
}

/* Nor do we remove what somebody else has put in our file's place. */
static void
test_replaced (void)
{
  struct spare_file sf;

  setup ();
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, ""), 0);
  replace_path ();
  spare_file_close (&sf, true);
  CU_ASSERT_EQUAL (access (path, F_OK), 0);
  cleanup ();
}

/* A link is followed, but nothing is created through it. */
static void
test_symlink (void)
{
  struct spare_file sf;
  char target[4300];

  setup ();
  snprintf (target, sizeof target, "%s/target", dir);
  CU_ASSERT_EQUAL (symlink (target, path), 0);
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, "symbolic link"), EEXIST);
  CU_ASSERT_EQUAL (open_it (&sf, 0, false, false, "No such file"), ENOENT);
  CU_ASSERT_EQUAL (access (target, F_OK), -1);
  close (open (target, O_WRONLY | O_CREAT, 0600));
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, ""), 0);
  CU_ASSERT (!sf.created);
  spare_file_close (&sf, true);
  CU_ASSERT_EQUAL (access (target, F_OK), 0);
  unlink (target);
  cleanup ();
}

/* Promise 23: what isn't a file. */
static void
test_wrong (void)
{
  struct spare_file sf;
  struct message m;

  setup ();
  CU_ASSERT_EQUAL (mkdir (path, 0700), 0);
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, "directory"), EISDIR);
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, true, "neither"), EINVAL);
  rmdir (path);
  CU_ASSERT_EQUAL (mkfifo (path, 0600), 0);
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, "neither"), EINVAL);
  unlink (path);
  CU_ASSERT_EQUAL (spare_file_open (&sf, "/dev/null", 0, true, false, &m),
                   EINVAL);
  CU_ASSERT_EQUAL (spare_file_open (&sf, "/nonexistent/x", 0, true, false,
                                    &m), ENOENT);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, "/nonexistent/x"));
  cleanup ();
}

/* Reading and writing stays between the offset and the end. */
static void
test_io (void)
{
  struct spare_file sf;
  uint8_t buf[8192], back[8192];
  struct message m;
  int fd;

  setup ();
  CU_ASSERT_EQUAL (open_it (&sf, 1000, true, false, ""), 0);
  CU_ASSERT_EQUAL (sf.size, 0);
  CU_ASSERT_EQUAL (device_pread (&sf.device, buf, 1, 0), EIO);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, 65536, &m), 0);
  fill (buf, 0, sizeof buf, 3);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 8192, 0), 0);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 8192, 65536 - 8192), 0);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 8192, 65536 - 8191), EIO);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 1, UINT64_MAX), EIO);
  CU_ASSERT_EQUAL (device_pread (&sf.device, back, 8192, 65536 - 8192), 0);
  CU_ASSERT_EQUAL (memcmp (buf, back, 8192), 0);
  CU_ASSERT_EQUAL (device_pread (&sf.device, back, 1, 65536), EIO);
  CU_ASSERT_EQUAL (device_flush (&sf.device), 0);
  CU_ASSERT_EQUAL (spare_file_drop_cache (&sf, &m), 0);
  fd = open (path, O_RDWR);
  CU_ASSERT_EQUAL (pread (fd, back, 8192, 1000), 8192);
  CU_ASSERT_EQUAL (memcmp (buf, back, 8192), 0);

  /* Somebody cuts it off: an error, not a crash. */
  CU_ASSERT_EQUAL (ftruncate (fd, 2000), 0);
  CU_ASSERT_EQUAL (device_pread (&sf.device, back, 8192, 0), EIO);
  CU_ASSERT_EQUAL (device_pread (&sf.device, back, 1000, 0), 0);
  close (fd);
  spare_file_close (&sf, false);
  cleanup ();
}

static bool
is_at (const struct spare_file *sf, enum spare_place place, const char *says)
{
  struct message m = { "" };

  return spare_place_look (sf, MIB, &m) == place && strstr (m.text, says);
}

/* Promise 22: what becomes of the file while it is in use. */
static void
test_place (void)
{
  struct spare_file sf;
  struct message m;
  char other[4300];

  setup ();
  snprintf (other, sizeof other, "%s.other", path);
  CU_ASSERT_EQUAL (open_it (&sf, 4096, true, false, ""), 0);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, MIB, &m), 0);
  CU_ASSERT (is_at (&sf, SPARE_IN_PLACE, ""));

  CU_ASSERT_EQUAL (rename (path, other), 0);
  CU_ASSERT (is_at (&sf, SPARE_ELSEWHERE, "leads nowhere"));
  CU_ASSERT_EQUAL (symlink ("spare.other", path), 0);
  CU_ASSERT (is_at (&sf, SPARE_IN_PLACE, ""));
  CU_ASSERT_EQUAL (unlink (path), 0);
  CU_ASSERT_EQUAL (symlink ("spare", path), 0);
  CU_ASSERT (is_at (&sf, SPARE_ELSEWHERE, "leads nowhere"));
  CU_ASSERT_EQUAL (unlink (path), 0);
  CU_ASSERT_EQUAL (mkdir (path, 0700), 0);
  CU_ASSERT (is_at (&sf, SPARE_ELSEWHERE, "something else"));
  CU_ASSERT_EQUAL (rmdir (path), 0);
  CU_ASSERT_EQUAL (rename (other, path), 0);
  CU_ASSERT (is_at (&sf, SPARE_IN_PLACE, ""));

  /* A path that can't be followed says nothing. */
  call_fail (CALL_STAT, 1, EACCES, 1);
  CU_ASSERT (is_at (&sf, SPARE_IN_PLACE, ""));
  call_fail (CALL_FSTAT, 1, EIO, 1);
  CU_ASSERT (is_at (&sf, SPARE_IN_PLACE, ""));

  CU_ASSERT_EQUAL (truncate (path, MIB + 4095), 0);
  CU_ASSERT (is_at (&sf, SPARE_CUT_OFF, "to 1052671 bytes and needs 1052672"));
  CU_ASSERT_EQUAL (truncate (path, 10), 0);
  CU_ASSERT (is_at (&sf, SPARE_CUT_OFF, "to 10 bytes"));
  CU_ASSERT_EQUAL (truncate (path, MIB + 4096), 0);
  CU_ASSERT (is_at (&sf, SPARE_IN_PLACE, ""));
  CU_ASSERT_EQUAL (unlink (path), 0);
  CU_ASSERT (is_at (&sf, SPARE_DELETED, "was deleted"));
  spare_file_close (&sf, false);
  cleanup ();
}

/* Promise 1: a file that was truncated isn't made longer again by what is
 * written to it, or allocated: what was cut off would read as zeroes.
 */
static void
test_cut_off (void)
{
  struct spare_file sf;
  struct message m;
  struct stat st;
  char buf[512] = "x";

  setup ();
  CU_ASSERT_EQUAL (open_it (&sf, 4096, true, false, ""), 0);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, MIB, &m), 0);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 512, 8192), 0);
  CU_ASSERT_EQUAL (truncate (path, 4096 + 8192), 0);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 512, 16384), EIO);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, 16384), EIO);
  CU_ASSERT_EQUAL (device_pread (&sf.device, buf, 512, 8192), EIO);
  CU_ASSERT_EQUAL (stat (path, &st), 0);
  CU_ASSERT_EQUAL (st.st_size, 4096 + 8192);
  /* What is still there is used. */
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 512, 8192 - 512), 0);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, 8192), 0);
  spare_file_close (&sf, false);
  cleanup ();
}

/* Promise 21: blank, with holes and without. */
static void
test_blank (void)
{
  struct spare_file sf;
  struct message m;

  setup ();
  CU_ASSERT_EQUAL (open_it (&sf, 512, true, false, ""), 0);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, 3 * MIB, &m), 0);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, 3 * MIB), 0);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, 3 * MIB), 0);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, 3 * MIB), 0);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, "x", 1, 3 * MIB - 1), 0);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, 3 * MIB), EEXIST);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, 3 * MIB - 1), 0);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 3 * MIB - 1, 3 * MIB), EEXIST);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, 3 * MIB + 1), EIO);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, UINT64_MAX, &m), EFBIG);
  CU_ASSERT_EQUAL (sf.size, 3 * MIB);
  spare_file_close (&sf, false);
  cleanup ();
}

/* Without fallocate(2), making room for slots means to write what is
 * there: that must not undo what others write to the same place meanwhile.
 */
static void *
write_thread (void *arg)
{
  const struct timespec ms = { .tv_nsec = 1000000 };
  struct spare_file *sf = arg;
  uint8_t buf[512];

  memset (buf, 'w', sizeof buf);
  while (atomic_load (&stage) != 2)
    nanosleep (&ms, NULL);
  CU_ASSERT_EQUAL (device_pwrite (&sf->device, buf, 512, SEC (3)), 0);
  atomic_store (&stage, 3);
  return NULL;
}

static void
test_allocate_by_writing (void)
{
  struct spare_file sf;
  struct message m;
  uint8_t back[512];
  pthread_t t;

  setup ();
  CU_ASSERT_EQUAL (open_it (&sf, 0, true, false, ""), 0);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, MIB, &m), 0);
  call_fail (CALL_FALLOCATE, 1, EOPNOTSUPP, 1);
  atomic_store (&stage, 1);
  CU_ASSERT_EQUAL (pthread_create (&t, NULL, write_thread, &sf), 0);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, MIB), 0);
  pthread_join (t, NULL);
  CU_ASSERT_EQUAL (device_pread (&sf.device, back, 512, SEC (3)), 0);
  CU_ASSERT (back[0] == 'w' && back[511] == 'w');
  CU_ASSERT_EQUAL (device_pread (&sf.device, back, 512, SEC (4)), 0);
  CU_ASSERT_EQUAL (back[0], 0);
  call_fail (CALL_FALLOCATE, 1, ENOSPC, 1);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, MIB), ENOSPC);
  spare_file_close (&sf, false);
  cleanup ();
}

/* What is read while somebody writes is read again, while nobody does. */
static void
test_read_whole (void)
{
  struct message m = { "" };
  struct spare_file sf;
  char buf[1024];

  setup ();
  CU_ASSERT_EQUAL_FATAL (open_it (&sf, 4096, true, false, ""), 0);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, 8192, &m), 0);
  whole = &sf;
  whole_reads = whole_locked = write_during = 0;
  CU_ASSERT_EQUAL (device_pread_whole (&sf.device, buf, 1024, 0), 0);
  CU_ASSERT_EQUAL (whole_reads, 1);
  CU_ASSERT_EQUAL (whole_locked, 0);

  write_during = 2;
  CU_ASSERT_EQUAL (device_pread_whole (&sf.device, buf, 1024, 0), 0);
  CU_ASSERT_EQUAL (whole_reads, 3);
  CU_ASSERT_EQUAL (whole_locked, 1);
  CU_ASSERT_STRING_EQUAL (buf + 512, "new");

  /* One that was begun before, and hasn't ended. */
  atomic_fetch_add (&sf.begun, 1);
  CU_ASSERT_EQUAL (device_pread_whole (&sf.device, buf, 1024, 0), 0);
  CU_ASSERT_EQUAL (whole_locked, 2);
  whole = NULL;
  spare_file_close (&sf, false);
  cleanup ();
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "create and remove (promise 21)", test_create },
    { "lock (promise 22)", test_lock },
    { "a race for the lock (promise 22)", test_lock_race },
    { "removed before it is locked (promise 22)", test_removed_before_lock },
    { "replaced while in use (promise 22)", test_replaced },
    { "symbolic links (promise 21)", test_symlink },
    { "not a file (promise 23)", test_wrong },
    { "reading and writing (promise 23)", test_io },
    { "where it is while it is in use", test_place },
    { "cut off while it is in use (promise 1)", test_cut_off },
    { "reading sectors whole (promise 1)", test_read_whole },
    { "blank (promise 21)", test_blank },
    { "room without fallocate (promise 17)", test_allocate_by_writing },
    { NULL }
  };

  return run_tests (argc, argv, "file", tests);
}
