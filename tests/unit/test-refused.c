/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Why a start was refused: noted under the path of the control socket, found
 * again by that path alone, replaced, forgotten; and nothing else is believed.
 *
 * Linked with --wrap for what makes the file, and geteuid.
 */

#include <config.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include <CUnit/Basic.h>

#include "fail-files.h"
#include "host/parent.h"
#include "host/refused.h"
#include "run-tests.h"

static uid_t user;              /* 0: whoever runs this */

extern uid_t __real_geteuid (void);
extern uid_t __wrap_geteuid (void);

uid_t
__wrap_geteuid (void)
{
  return user ? user : __real_geteuid ();
}

static char dir[1024], path[1100];
static int descriptor;

static int
free_descriptor (void)
{
  const int fd = dup (STDERR_FILENO);

  close (fd);
  return fd;
}

static void
setup (void)
{
  const char *tmp = getenv ("TMPDIR");

  snprintf (dir, sizeof dir, "%s/remapXXXXXX", tmp ? tmp : "/tmp");
  CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (dir));
  setenv ("REMAP_RUNTIME_DIR", dir, 1);
  snprintf (path, sizeof path, "%s/x" REFUSED_SUFFIX, dir);
  descriptor = free_descriptor ();
}

/* How many files there are, temporary ones too; the last one is *NAME. */
static unsigned
files (char *name, size_t size)
{
  DIR *d = opendir (dir);
  struct dirent *e;
  unsigned n = 0;

  CU_ASSERT_PTR_NOT_NULL_FATAL (d);
  while ((e = readdir (d)) != NULL)
    if (strcmp (e->d_name, ".") != 0 && strcmp (e->d_name, "..") != 0) {
      n++;
      if (name)
        snprintf (name, size, "%s/%s", dir, e->d_name);
    }
  closedir (d);
  return n;
}

static void
cleanup (void)
{
  CU_ASSERT_EQUAL (free_descriptor (), descriptor);
  CU_ASSERT_EQUAL (rmdir (dir), 0);
}

static bool
is_reason (const char *control, const char *why)
{
  struct refused r;

  return refused_find (control, &r) && strcmp (r.control, control) == 0 &&
    strcmp (r.why.text, why) == 0;
}

static bool
no_reason (const char *control)
{
  struct refused r;

  return !refused_find (control, &r);
}

static void
test_noted (void)
{
  char file[1400];
  struct refused r;
  struct stat st;

  setup ();
  CU_ASSERT (no_reason ("/tmp/a.ctl"));
  refused_note ("/tmp/a.ctl", "no such spare");
  CU_ASSERT (is_reason ("/tmp/a.ctl", "no such spare"));
  CU_ASSERT (no_reason ("/tmp/b.ctl"));
  CU_ASSERT_EQUAL (files (file, sizeof file), 1);
  CU_ASSERT_STRING_EQUAL (file + strlen (file) - strlen (REFUSED_SUFFIX),
                          REFUSED_SUFFIX);
  CU_ASSERT_EQUAL (stat (file, &st), 0);
  CU_ASSERT_EQUAL (st.st_mode & 0777, 0600);
  CU_ASSERT (refused_read (file, &r));
  CU_ASSERT_STRING_EQUAL (r.control, "/tmp/a.ctl");

  /* The last one counts, and others stay. */
  refused_note ("/b.ctl", "in use");
  refused_note ("/tmp/c.ctl", "gone");
  refused_note ("/tmp/a.ctl", "too small\nof two lines");
  CU_ASSERT_EQUAL (files (NULL, 0), 3);
  CU_ASSERT (is_reason ("/tmp/c.ctl", "gone"));
  refused_forget ("/tmp/c.ctl");
  CU_ASSERT (is_reason ("/tmp/a.ctl", "too small"));
  CU_ASSERT (is_reason ("/b.ctl", "in use"));
  refused_forget ("/tmp/a.ctl");
  refused_forget ("/tmp/a.ctl");
  CU_ASSERT (no_reason ("/tmp/a.ctl"));
  CU_ASSERT (is_reason ("/b.ctl", "in use"));

  /* Two paths for which there is one name: it is told whose it is. */
  CU_ASSERT_EQUAL (files (file, sizeof file), 1);
  strcpy (path, file);
  refused_note ("/tmp/a.ctl", "x");
  refused_forget ("/b.ctl");
  CU_ASSERT_EQUAL (files (file, sizeof file), 1);
  CU_ASSERT_EQUAL (rename (file, path), 0);
  CU_ASSERT (no_reason ("/b.ctl"));
  CU_ASSERT_EQUAL (unlink (path), 0);
  cleanup ();
}

/* What stands in both directories of a user is found, and forgotten, there. */
static void
test_other (void)
{
  char other[64];

  user = 1000000 + getpid ();           /* who has nothing in /tmp */
  setup ();
  unsetenv ("REMAP_RUNTIME_DIR");
  snprintf (other, sizeof other, "/tmp/nbdkit-remap-%u", (unsigned) user);
  if (__real_geteuid () == 0 && mkdir (other, 0700) == 0) {
    /* Noted by a server of cron's, and asked for by whoever has logged in. */
    CU_ASSERT_EQUAL (chown (other, user, -1), 0);
    unsetenv ("XDG_RUNTIME_DIR");
    refused_note ("/tmp/a.ctl", "of cron's");
    CU_ASSERT_EQUAL (chown (dir, user, -1), 0);
    setenv ("XDG_RUNTIME_DIR", dir, 1);
    CU_ASSERT_EQUAL (files (NULL, 0), 0);
    CU_ASSERT (is_reason ("/tmp/a.ctl", "of cron's"));
    refused_forget ("/tmp/a.ctl");
    CU_ASSERT (no_reason ("/tmp/a.ctl"));
    CU_ASSERT_EQUAL (rmdir (other), 0);
  }
  /* None can be found out. */
  CU_ASSERT_EQUAL (chdir (dir), 0);
  CU_ASSERT_EQUAL (mkdir ("relative", 0700), 0);
  setenv ("REMAP_RUNTIME_DIR", "relative", 1);
  refused_note ("/tmp/a.ctl", "why");
  CU_ASSERT (no_reason ("/tmp/a.ctl"));
  refused_forget ("/tmp/a.ctl");
  CU_ASSERT_EQUAL (rmdir ("relative"), 0);
  CU_ASSERT_EQUAL (chdir ("/"), 0);
  user = 0;
  unsetenv ("XDG_RUNTIME_DIR");
  cleanup ();
}

static void
test_not_noted (void)
{
  char control[200];

  setup ();
  asprintf_fails = 1;
  refused_note ("/tmp/a.ctl", "why");
  asprintf_fails = 2;
  refused_note ("/tmp/a.ctl", "why");
  mkostemp_fails = 1;
  refused_note ("/tmp/a.ctl", "why");
  dprintf_fails = 1;
  refused_note ("/tmp/a.ctl", "why");
  rename_fails = 1;
  refused_note ("/tmp/a.ctl", "why");
  CU_ASSERT_EQUAL (asprintf_fails + mkostemp_fails + dprintf_fails +
                   rename_fails, 0);
  CU_ASSERT_EQUAL (files (NULL, 0), 0);

  /* Longer than a socket's path can be; and the longest one. */
  memset (control, 'x', sizeof control);
  control[0] = '/';
  control[108] = '\0';
  refused_note (control, "why");
  CU_ASSERT_EQUAL (files (NULL, 0), 0);
  control[107] = '\0';
  refused_note (control, "why");
  CU_ASSERT (is_reason (control, "why"));
  refused_forget (control);

  /* What can't be looked for isn't found, and stays. */
  refused_note ("/tmp/a.ctl", "why");
  asprintf_fails = 1;
  CU_ASSERT (no_reason ("/tmp/a.ctl"));
  asprintf_fails = 1;
  refused_forget ("/tmp/a.ctl");
  CU_ASSERT (is_reason ("/tmp/a.ctl", "why"));
  refused_forget ("/tmp/a.ctl");
  cleanup ();
}

static void
make_file (const char *content)
{
  const int fd = open (path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

  CU_ASSERT_FATAL (fd != -1);
  CU_ASSERT_EQUAL (write (fd, content, strlen (content)),
                   (ssize_t) strlen (content));
  close (fd);
}

/* A file with this content: is it one?  It stays, whatever it is. */
static bool
is_believed (const char *content)
{
  struct refused r;
  bool is;

  make_file (content);
  is = refused_read (path, &r);
  if (is) {
    CU_ASSERT_EQUAL (strncmp (r.why.text, "why", 3), 0);
  }
  CU_ASSERT_EQUAL (access (path, F_OK), 0);
  return is;
}

static void
test_strange (void)
{
  char text[3000];
  struct refused r;

  setup ();
  CU_ASSERT (!refused_read (path, &r));
  CU_ASSERT (is_believed ("/tmp/a.ctl\nwhy\n"));
  CU_ASSERT (is_believed ("/tmp/a.ctl\nwhy"));
  CU_ASSERT (is_believed ("/tmp/a.ctl\nwhy\nand more\n"));
  CU_ASSERT (!is_believed (""));
  CU_ASSERT (!is_believed ("/tmp/a.ctl"));
  CU_ASSERT (!is_believed ("tmp/a.ctl\nwhy\n"));
  CU_ASSERT (!is_believed ("\nwhy\n"));
  /* Too long a path; a reason that is cut off. */
  snprintf (text, sizeof text, "/%0107d\nwhy\n", 0);
  CU_ASSERT (!is_believed (text));
  snprintf (text, sizeof text, "/tmp/a.ctl\nwhy%01500d\n", 0);
  CU_ASSERT (is_believed (text));

  /* The socket's directory is no more, and so is the file. */
  make_file ("/nowhere/a.ctl\nwhy\n");
  CU_ASSERT (!refused_read (path, &r));
  CU_ASSERT_EQUAL (access (path, F_OK), -1);

  CU_ASSERT_EQUAL (mkfifo (path, 0600), 0);
  CU_ASSERT (!refused_read (path, &r));
  unlink (path);
  make_file ("/tmp/a.ctl\nwhy\n");
  snprintf (text, sizeof text, "%s/link", dir);
  CU_ASSERT_EQUAL (symlink (path, text), 0);
  CU_ASSERT (!refused_read (text, &r));
  CU_ASSERT_EQUAL (unlink (text), 0);
  CU_ASSERT_EQUAL (unlink (path), 0);
  CU_ASSERT_EQUAL (mkdir (path, 0700), 0);
  CU_ASSERT (!refused_read (path, &r));
  CU_ASSERT_EQUAL (rmdir (path), 0);
  cleanup ();
}

/* The directory of a file. */
static void
test_parent (void)
{
  char text[1200];

  setup ();
  snprintf (text, sizeof text, "%s/file", dir);
  CU_ASSERT (!parent_is_missing (text));
  snprintf (text, sizeof text, "%s/nowhere/file", dir);
  CU_ASSERT (parent_is_missing (text));
  /* It is a file. */
  make_file ("");
  snprintf (text, sizeof text, "%s/file", path);
  CU_ASSERT (parent_is_missing (text));
  snprintf (text, sizeof text, "%s/nowhere/file", path);
  CU_ASSERT (parent_is_missing (text));
  CU_ASSERT_EQUAL (unlink (path), 0);
  CU_ASSERT (!parent_is_missing ("file"));
  CU_ASSERT (!parent_is_missing ("/file"));
  cleanup ();
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "noted, found, forgotten", test_noted },
    { "of a user with two directories", test_other },
    { "it can't be", test_not_noted },
    { "strange files", test_strange },
    { "the directory of a file", test_parent },
    { NULL }
  };

  return run_tests (argc, argv, "refused", tests);
}
