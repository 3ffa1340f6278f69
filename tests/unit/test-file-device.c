/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A block device as the spare (promises 17 and 21 to 23 of
 * remap-promises(7)): a file that looks like one, and takes only what is
 * aligned as O_DIRECT wants it.  Real devices need root, and are in
 * filter/test-spare-device.sh.
 *
 * Linked with --wrap for system calls and functions that allocate.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "engine-rig.h"
#include "fail-malloc.h"
#include "fail-syscall.h"
#include "host/blockdev.h"
#include "host/spare-place.h"
#include "host/sparefile.h"

#define SIZE MIB

static char path[4096];
static int descriptor;

/* A file of SIZE zeroes that looks like a device. */
static void
setup (int sector)
{
  const char *tmp = getenv ("TMPDIR");
  int fd;

  call_reset ();
  snprintf (path, sizeof path, "%s/remapXXXXXX", tmp ? tmp : "/tmp");
  fd = mkstemp (path);
  CU_ASSERT_NOT_EQUAL_FATAL (fd, -1);
  CU_ASSERT_EQUAL (ftruncate (fd, SIZE), 0);
  close (fd);
  descriptor = free_descriptor ();
  fake_device = (struct fake_device) {
    .on = true, .type = S_IFBLK, .rdev = makedev (8, 5), .sector = sector
  };
}

static void
cleanup (void)
{
  CU_ASSERT_EQUAL (free_descriptor (), descriptor);
  /* No device's node is ever removed. */
  CU_ASSERT_EQUAL (unlink (path), 0);
  call_reset ();
}

static void
make (struct spare_file *sf, int sector, uint64_t offset)
{
  struct message m = { "" };

  setup (sector);
  CU_ASSERT_EQUAL_FATAL (spare_file_open (sf, path, offset, true, false, &m),
                         0);
}

static void
finish (struct spare_file *sf)
{
  spare_file_close (sf, true);
  cleanup ();
}

static void
reset_calls (void)
{
  atomic_store (&calls[CALL_PREAD], 0);
  atomic_store (&calls[CALL_PWRITE], 0);
}

static bool
calls_were (unsigned reads, unsigned writes)
{
  bool ok = atomic_load (&calls[CALL_PREAD]) == reads &&
    atomic_load (&calls[CALL_PWRITE]) == writes;

  reset_calls ();
  return ok;
}

static void
test_open (void)
{
  struct spare_file sf;
  struct message m;

  make (&sf, 4096, 8192);
  CU_ASSERT (sf.is_block && !sf.created);
  CU_ASSERT_EQUAL (sf.sector, 4096);
  CU_ASSERT_EQUAL (sf.dev, makedev (8, 5));
  CU_ASSERT_EQUAL (sf.ino, 0);
  CU_ASSERT_EQUAL (sf.size, SIZE - 8192);
  CU_ASSERT (fake_device.open_flags & O_EXCL);
  CU_ASSERT (fake_device.open_flags & O_DIRECT);
  CU_ASSERT_EQUAL (fake_device.open_flags & O_ACCMODE, O_RDWR);
  CU_ASSERT_EQUAL (fake_device.open_flags & O_NONBLOCK, 0);
  spare_file_close (&sf, true);
  CU_ASSERT_EQUAL (spare_file_open (&sf, path, 0, false, true, &m), 0);
  CU_ASSERT_EQUAL (fake_device.open_flags & O_ACCMODE, O_RDONLY);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, "", 0, 0), EIO);
  finish (&sf);
}

/* All of a device is there: it has no room to speak of. */
static void
test_room (void)
{
  struct spare_room room = { .free = 77 };
  struct spare_file sf;

  make (&sf, 4096, 0);
  CU_ASSERT_EQUAL (spare_file_room (&sf, &room), ENOTBLK);
  CU_ASSERT_EQUAL (room.free, 77);
  finish (&sf);
}

static void
check_error (int sector, uint64_t offset, int err, const char *says)
{
  struct spare_file sf;
  struct message m = { "" };

  CU_ASSERT_EQUAL (spare_file_open (&sf, path, offset, true, false, &m), err);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, path));
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, says));
  if (err != EBUSY) {
    CU_ASSERT_PTR_NULL (strstr (m.text, "mounted"));
  }
  CU_ASSERT_EQUAL (sf.fd, -1);
  cleanup ();
  setup (sector);
}

/* What the path leads to is another device from the second look on, or one
 * of another kind with the same number.
 */
static enum call change_at;
static bool is_other_kind;

static void
change_it (enum call call, bool after)
{
  if (call != change_at || after ||
      (call == CALL_FSTAT && atomic_load (&calls[CALL_FSTAT]) != 2))
    return;
  if (is_other_kind)
    fake_device.type = S_IFCHR;
  else
    fake_device.rdev = makedev (8, 6);
}

static void
test_open_errors (void)
{
  setup (512);
  call_fail (CALL_OPEN, 2, EBUSY, 1);
  check_error (512, 0, EBUSY, "mounted");
  call_fail (CALL_OPEN, 2, ENOMEDIUM, 1);
  check_error (512, 0, ENOMEDIUM, strerror (ENOMEDIUM));
  call_fail (CALL_FSTAT, 2, EIO, 1);
  check_error (512, 0, EINVAL, "changed while");

  change_at = CALL_FSTAT;
  call_hook = change_it;
  check_error (512, 0, EINVAL, "changed while");
  is_other_kind = true;
  call_hook = change_it;
  check_error (512, 0, EINVAL, "changed while");
  change_at = CALL_FLOCK;
  call_hook = change_it;
  check_error (512, 0, EBUSY, "replaced");
  is_other_kind = false;
  call_hook = change_it;
  check_error (512, 0, EBUSY, "replaced");

  call_fail (CALL_IOCTL, 1, ENOTTY, 1);
  check_error (256, 0, ENOTTY, "sector size");
  check_error (131072, 0, EINVAL, "256 bytes");
  check_error (512, 0, EINVAL, "131072 bytes");
  check_error (512, SIZE + 1, EINVAL, "1048577");
  call_fail (CALL_FLOCK, 1, EWOULDBLOCK, 1);
  check_error (512, 0, EBUSY, "in use");
  cleanup ();
}

/* Room, length and caches aren't a file's. */
static void
test_not_a_file (void)
{
  struct spare_file sf;
  struct message m = { "" };

  make (&sf, 512, 4096);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 0, sf.size), 0);
  CU_ASSERT_EQUAL (device_allocate (&sf.device, 1, sf.size), EIO);
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_FALLOCATE]), 0);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, sf.size, &m), 0);
  reset_calls ();
  atomic_store (&calls[CALL_FTRUNCATE], 0);
  CU_ASSERT_EQUAL (spare_file_extend (&sf, sf.size + 1, &m), EINVAL);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, "1044480"));
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, "1044481"));
  CU_ASSERT_EQUAL (atomic_load (&calls[CALL_FTRUNCATE]), 0);
  CU_ASSERT_EQUAL (spare_file_drop_cache (&sf, &m), 0);
  CU_ASSERT_EQUAL (fake_device.flushes, 1);

  /* Every byte may be data. */
  CU_ASSERT_EQUAL (spare_file_next_data (&sf, 512), 512);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, sf.size), 0);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, "x", 1, sf.size - 1), 0);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, sf.size), EEXIST);
  CU_ASSERT_EQUAL (spare_file_is_blank (&sf, 0, sf.size - 1), 0);

  /* It is enlarged while it is in use, or made smaller than the offset. */
  CU_ASSERT_EQUAL (truncate (path, 2 * SIZE), 0);
  CU_ASSERT_EQUAL (spare_file_find_size (&sf, &m), 0);
  CU_ASSERT_EQUAL (sf.size, 2 * SIZE - 4096);
  CU_ASSERT_EQUAL (truncate (path, 2048), 0);
  CU_ASSERT_EQUAL (spare_file_find_size (&sf, &m), EINVAL);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, "2048 bytes"));
  finish (&sf);
}

/* Reads and writes of any alignment, against a copy in memory; the memory
 * is of any alignment, too.
 */
static void
check_any (int sector, uint64_t offset)
{
  static uint8_t copy[SIZE], buf[300000];
  uint64_t seed = 1, size, start, count;
  struct spare_file sf;
  uint8_t *p;

  make (&sf, sector, offset);
  size = sf.size;
  memset (copy, 0, sizeof copy);
  for (int i = 0; i < 600; i++) {
    start = memdev_random (&seed) % size;
    /* Most are small, some take several turns of the buffer. */
    count = memdev_random (&seed) % (i % 8 ? 3 * sector : 250000);
    if (i % 3 == 0) {
      start = round_down (start, sector);
      count = round_down (count, sector);
    }
    count = min_u64 (count, size - start);
    p = buf + memdev_random (&seed) % 4096;
    if (i % 5 == 0)
      p = (uint8_t *) round_up ((uintptr_t) buf, 4096);
    call_most = i % 2 ? sector : 0;
    if (i % 2) {
      fill (p, start, count, i + 2);
      memcpy (copy + start, p, count);
      CU_ASSERT_EQUAL (device_pwrite (&sf.device, p, count, start), 0);
    }
    else {
      memset (p, 0xcc, count);
      CU_ASSERT_EQUAL (device_pread (&sf.device, p, count, start), 0);
      CU_ASSERT_EQUAL (memcmp (p, copy + start, count), 0);
    }
  }
  call_most = 0;
  for (start = 0; start < size; start += count) {
    count = min_u64 (sizeof buf, size - start);
    CU_ASSERT_EQUAL (device_pread (&sf.device, buf, count, start), 0);
    CU_ASSERT_EQUAL (memcmp (buf, copy + start, count), 0);
  }
  finish (&sf);
}

static void
test_any (void)
{
  check_any (512, 0);
  check_any (4096, 0);
  check_any (4096, 512);
  check_any (65536, 0);
  check_any (512, 1);
}

/* What is read before a write: no sector that is written as a whole. */
static void
test_least (void)
{
  static _Alignas (4096) uint8_t buf[65536 + 8192];
  struct spare_file sf;

  make (&sf, 4096, 0);
  reset_calls ();
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 8192, 4096), 0);
  CU_ASSERT (calls_were (0, 1));
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf + 1, 8192, 4096), 0);
  CU_ASSERT (calls_were (0, 1));
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 512, 4096), 0);
  CU_ASSERT (calls_were (1, 1));
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 512, 4096 + 1024), 0);
  CU_ASSERT (calls_were (1, 1));
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 512, 8192 - 512), 0);
  CU_ASSERT (calls_were (1, 1));
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 1024, 8192 - 512), 0);
  CU_ASSERT (calls_were (2, 1));
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 4096, 8192 + 512), 0);
  CU_ASSERT (calls_were (2, 1));
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 65536 + 8192, 512), 0);
  CU_ASSERT (calls_were (2, 2));
  CU_ASSERT_EQUAL (device_pread (&sf.device, buf, 8192, 4096), 0);
  CU_ASSERT (calls_were (1, 0));
  CU_ASSERT_EQUAL (device_pread (&sf.device, buf, 1, 4095), 0);
  CU_ASSERT (calls_were (1, 0));
  CU_ASSERT_EQUAL (device_pread (&sf.device, buf + 1, 65536 + 1, 0), 0);
  CU_ASSERT (calls_were (2, 0));
  finish (&sf);
}

/* What can't be read isn't written over, and the first error ends it. */
static void
test_errors (void)
{
  static _Alignas (4096) uint8_t buf[200000];
  struct spare_file sf;

  make (&sf, 4096, 0);
  reset_calls ();
  call_fail (CALL_PREAD, 1, ENODATA, 1);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 8192, 512), ENODATA);
  CU_ASSERT (calls_were (1, 0));
  call_fail (CALL_PREAD, 2, EIO, 1);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 8192, 512), EIO);
  CU_ASSERT (calls_were (2, 0));
  call_fail (CALL_PREAD, 1, EIO, 1);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 512, 4096), EIO);
  CU_ASSERT (calls_were (1, 0));
  call_fail (CALL_PWRITE, 1, ENOSPC, 1);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 200000, 512), ENOSPC);
  CU_ASSERT (calls_were (1, 1));
  call_fail (CALL_PREAD, 2, EIO, 1);
  memset (buf, 0xcc, sizeof buf);
  CU_ASSERT_EQUAL (device_pread (&sf.device, buf, 200000, 512), EIO);
  CU_ASSERT (calls_were (2, 0));
  CU_ASSERT (buf[65023] == 0 && buf[65024] == 0xcc);

  malloc_countdown = 1;
  CU_ASSERT_EQUAL (device_pread (&sf.device, buf, 512, 512), ENOMEM);
  malloc_countdown = 1;
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 512, 512), ENOMEM);
  malloc_countdown = 0;
  CU_ASSERT (calls_were (0, 0));
  /* Nobody is locked out. */
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 512, 512), 0);
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 4096, 4096), 0);
  finish (&sf);
}

/* Parts of one sector that are written at once: both are there. */
static struct spare_file *shared;
static atomic_bool other_done;
static pthread_t other;

static void *
write_other (void *arg)
{
  uint8_t buf[512];

  memset (buf, 'b', sizeof buf);
  CU_ASSERT_EQUAL (device_pwrite (&shared->device, buf, 512, 512), 0);
  atomic_store (&other_done, true);
  return NULL;
}

/* Between the first write's read and its write. */
static void
begin_other (enum call call, bool after)
{
  const struct timespec ms = { .tv_nsec = 1000000 };

  if (call != CALL_PREAD || !after ||
      atomic_load (&calls[CALL_PREAD]) != 1)
    return;
  CU_ASSERT_EQUAL_FATAL (pthread_create (&other, NULL, write_other, NULL), 0);
  for (int i = 0; i < 50 && !atomic_load (&other_done); i++)
    nanosleep (&ms, NULL);
  CU_ASSERT (!atomic_load (&other_done));
}

static void
test_together (void)
{
  struct spare_file sf;
  uint8_t buf[1024];

  make (&sf, 4096, 0);
  reset_calls ();
  shared = &sf;
  memset (buf, 'a', sizeof buf);
  call_hook = begin_other;
  CU_ASSERT_EQUAL (device_pwrite (&sf.device, buf, 512, 0), 0);
  pthread_join (other, NULL);
  call_hook = NULL;
  CU_ASSERT_EQUAL (device_pread (&sf.device, buf, 1024, 0), 0);
  CU_ASSERT (buf[0] == 'a' && buf[511] == 'a');
  CU_ASSERT (buf[512] == 'b' && buf[1023] == 'b');
  finish (&sf);
}

/* A disk that is unplugged, and a name that becomes another disk's. */
static void
test_place (void)
{
  struct spare_file sf;
  struct message m;
  char sysfs[4200], node[4300];

  make (&sf, 512, 0);
  disk_sysfs = "/nowhere";
  CU_ASSERT_EQUAL (spare_place_look (&sf, SIZE, &m), SPARE_IN_PLACE);
  fake_device.rdev = makedev (8, 6);
  CU_ASSERT_EQUAL (spare_place_look (&sf, SIZE, &m), SPARE_ELSEWHERE);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, "something else"));
  fake_device.rdev = makedev (8, 5);

  snprintf (sysfs, sizeof sysfs, "%s.dir", path);
  snprintf (node, sizeof node, "%s/8:5", sysfs);
  CU_ASSERT_EQUAL (mkdir (sysfs, 0700), 0);
  disk_sysfs = sysfs;
  CU_ASSERT_EQUAL (spare_place_look (&sf, SIZE, &m), SPARE_UNPLUGGED);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, "disk is gone"));
  CU_ASSERT_EQUAL (mkdir (node, 0700), 0);
  CU_ASSERT_EQUAL (spare_place_look (&sf, SIZE, &m), SPARE_IN_PLACE);
  CU_ASSERT_EQUAL (rmdir (node) | rmdir (sysfs), 0);
  finish (&sf);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "opening (promise 22)", test_open },
    { "errors of opening (promises 22 and 23)", test_open_errors },
    { "not a file (promises 21 and 23)", test_not_a_file },
    { "any alignment (promise 17)", test_any },
    { "no more than needed", test_least },
    { "errors (promise 17)", test_errors },
    { "parts of a sector together (promise 17)", test_together },
    { "room (promise 17)", test_room },
    { "where it is while it is in use (promise 22)", test_place },
    { NULL }
  };

  return run_tests (argc, argv, "file-device", tests);
}
