/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A word that a server is there: it is read for as long as the server lives,
 * and then no more, whatever is put in its place; a server that can't leave
 * one leaves nothing.
 *
 * Linked with --wrap for system calls, and for what makes the file.
 */

#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <CUnit/Basic.h>

#include "fail-files.h"
#include "fail-syscall.h"
#include "host/announce.h"
#include "run-tests.h"

static char dir[1024], path[1100];
static int descriptor;

static void
setup (void)
{
  const char *tmp = getenv ("TMPDIR");

  call_reset ();
  snprintf (dir, sizeof dir, "%s/remapXXXXXX", tmp ? tmp : "/tmp");
  CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (dir));
  setenv ("REMAP_RUNTIME_DIR", dir, 1);
  snprintf (path, sizeof path, "%s/x.server", dir);
  descriptor = free_descriptor ();
}

/* How many files there are, temporary ones too. */
static unsigned
files (void)
{
  DIR *d = opendir (dir);
  unsigned n = 0;

  CU_ASSERT_PTR_NOT_NULL_FATAL (d);
  while (readdir (d))
    n++;
  closedir (d);
  return n - 2;
}

/* Nothing is left. */
static void
cleanup (void)
{
  CU_ASSERT_EQUAL (free_descriptor (), descriptor);
  CU_ASSERT_EQUAL (rmdir (dir), 0);
  call_reset ();
}

static bool
is_read (const char *of, const char *control)
{
  struct announced read = { .pid = -1 };

  if (!announced_read (of, &read))
    return false;
  CU_ASSERT_EQUAL (read.pid, getpid ());
  CU_ASSERT_STRING_EQUAL (read.control, control);
  return true;
}

static void
test_announced (void)
{
  struct announcement a, b;
  struct stat st;

  setup ();
  announce (&a, "/run/a.ctl");
  CU_ASSERT_PTR_NOT_NULL_FATAL (a.path);
  announce (&b, "/run/b.ctl");
  CU_ASSERT_PTR_NOT_NULL_FATAL (b.path);
  CU_ASSERT_EQUAL (files (), 2);
  CU_ASSERT_EQUAL (strncmp (a.path, dir, strlen (dir)), 0);
  CU_ASSERT_STRING_EQUAL (a.path + strlen (a.path) - strlen (ANNOUNCE_SUFFIX),
                          ANNOUNCE_SUFFIX);
  CU_ASSERT_EQUAL (stat (a.path, &st), 0);
  CU_ASSERT_EQUAL (st.st_mode & 0777, 0600);
  CU_ASSERT_EQUAL (fcntl (a.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  /* As often as you like, and by several at the same time. */
  for (int i = 0; i < 2; i++) {
    CU_ASSERT (is_read (a.path, "/run/a.ctl"));
    CU_ASSERT (is_read (b.path, "/run/b.ctl"));
  }
  announce_end (&a);
  CU_ASSERT_EQUAL (files (), 1);
  CU_ASSERT (is_read (b.path, "/run/b.ctl"));
  announce_end (&b);
  announce_end (&b);
  cleanup ();
}

/* Its process is gone, and nothing has removed what it left. */
static void
test_killed (void)
{
  struct announcement a;
  int reader;

  setup ();
  announce (&a, "/run/a.ctl");
  close (a.fd);
  /* Somebody else finds that out at the same moment. */
  reader = open (a.path, O_RDONLY);
  CU_ASSERT_EQUAL (flock (reader, LOCK_SH), 0);
  CU_ASSERT (!is_read (a.path, "/run/a.ctl"));
  close (reader);
  CU_ASSERT_EQUAL (files (), 0);
  CU_ASSERT (!is_read (a.path, "/run/a.ctl"));
  free (a.path);
  cleanup ();
}

/* What somebody else has put in its place stays. */
static void
test_replaced (void)
{
  struct announcement a;

  setup ();
  announce (&a, "/run/a.ctl");
  unlink (a.path);
  announce_end (&a);

  announce (&a, "/run/a.ctl");
  strcpy (path, a.path);
  unlink (path);
  close (open (path, O_CREAT | O_WRONLY, 0600));
  announce_end (&a);
  CU_ASSERT_EQUAL (unlink (path), 0);

  /* On another filesystem. */
  announce (&a, "/run/a.ctl");
  strcpy (path, a.path);
  unlink (path);
  CU_ASSERT_EQUAL (symlink ("/proc/self/status", path), 0);
  announce_end (&a);
  CU_ASSERT_EQUAL (unlink (path), 0);

  /* Or it isn't known whether that is so. */
  announce (&a, "/run/a.ctl");
  strcpy (path, a.path);
  call_fail (CALL_FSTAT, 1, EIO, 1);
  announce_end (&a);
  CU_ASSERT_EQUAL (unlink (path), 0);
  cleanup ();
}

static void
check_not_announced (const char *control)
{
  struct announcement a;

  announce (&a, control);
  CU_ASSERT_EQUAL (a.fd, -1);
  CU_ASSERT_EQUAL (files (), 0);
  announce_end (&a);
}

static void
test_not_announced (void)
{
  char control[300];

  setup ();
  asprintf_fails = 1;
  check_not_announced ("/run/a.ctl");
  asprintf_fails = 2;
  check_not_announced ("/run/a.ctl");
  mkostemp_fails = 1;
  check_not_announced ("/run/a.ctl");
  write_fails = 1;
  check_not_announced ("/run/a.ctl");
  rename_fails = 1;
  check_not_announced ("/run/a.ctl");
  call_fail (CALL_FLOCK, 1, ENOLCK, 1);
  check_not_announced ("/run/a.ctl");
  CU_ASSERT_EQUAL (asprintf_fails + mkostemp_fails + write_fails +
                   rename_fails, 0);
  /* Longer than a socket's path can be. */
  memset (control, 'x', sizeof control);
  control[0] = '/';
  control[sizeof control - 1] = '\0';
  check_not_announced (control);
  /* No directory. */
  setenv ("REMAP_RUNTIME_DIR", "/proc/self/status", 1);
  check_not_announced ("/run/a.ctl");
  cleanup ();
}

/* A file with this content, of a process that lives. */
static bool
is_believed (const char *content)
{
  const int fd = open (path, O_CREAT | O_TRUNC | O_RDWR, 0600);
  struct announced a;
  bool r;

  CU_ASSERT_FATAL (fd != -1);
  CU_ASSERT_EQUAL (write (fd, content, strlen (content)),
                   (ssize_t) strlen (content));
  CU_ASSERT_EQUAL (flock (fd, LOCK_EX), 0);
  r = announced_read (path, &a);
  if (r) {
    CU_ASSERT_EQUAL (a.pid, 12);
  }
  /* It isn't for whoever reads it to remove it. */
  CU_ASSERT_EQUAL (unlink (path), 0);
  close (fd);
  return r;
}

static void
test_strange (void)
{
  struct announced a;
  char line[400];
  int fd;

  setup ();
  CU_ASSERT (is_believed ("12 /run/a.ctl\n"));
  CU_ASSERT (is_believed ("12 /run/a.ctl"));
  CU_ASSERT (is_believed ("12 /run/a.ctl\nand more\n"));
  CU_ASSERT (!is_believed (""));
  CU_ASSERT (!is_believed ("\n"));
  CU_ASSERT (!is_believed ("x\n"));
  CU_ASSERT (!is_believed ("12"));
  CU_ASSERT (!is_believed ("12 run/a.ctl\n"));
  CU_ASSERT (!is_believed ("0 /run/a.ctl\n"));
  CU_ASSERT (!is_believed ("-12 /run/a.ctl\n"));
  /* The longest path that a socket can have, and longer. */
  for (int n = 107; n <= 300; n += n < 108 ? 1 : 192) {
    snprintf (line, sizeof line, "12 /%0*d\n", n - 1, 0);
    CU_ASSERT_EQUAL (is_believed (line), n == 107);
  }

  /* What isn't a file: it doesn't wait, and follows nothing. */
  CU_ASSERT_EQUAL (mkfifo (path, 0600), 0);
  CU_ASSERT (!announced_read (path, &a));
  unlink (path);
  CU_ASSERT_EQUAL (symlink ("/proc/self/status", path), 0);
  CU_ASSERT (!announced_read (path, &a));
  CU_ASSERT_EQUAL (unlink (path), 0);
  CU_ASSERT_EQUAL (mkdir (path, 0700), 0);
  CU_ASSERT (!announced_read (path, &a));
  fd = open (path, O_RDONLY);
  CU_ASSERT_EQUAL (flock (fd, LOCK_EX), 0);
  CU_ASSERT (!announced_read (path, &a));
  close (fd);
  CU_ASSERT_EQUAL (rmdir (path), 0);
  cleanup ();
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "for as long as the server lives", test_announced },
    { "what was left by a server that was killed", test_killed },
    { "replaced", test_replaced },
    { "it can't be", test_not_announced },
    { "strange files", test_strange },
    { NULL }
  };

  return run_tests (argc, argv, "announce", tests);
}
