/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Which directory is the run-time directory of whom, and which ones are
 * refused because somebody else could put files there.
 *
 * Linked with --wrap for the calls that ask for users and paths: the user's
 * number, the environment and the filesystem are made up, so that it is the
 * same whoever runs this and whatever is in /run and /tmp.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include <CUnit/Basic.h>

#include "host/run-directory.h"
#include "run-tests.h"

#define ME 1234
#define SOMEBODY 4321

/* What there is; a link is followed by stat and not by lstat. */
struct entry {
  const char *path;
  uid_t owner;
  mode_t mode;
  const char *link;
};

static struct entry entries[8];
static unsigned nr_entries;
static uid_t me;
static int mkdir_fails, lstat_fails;    /* an errno, or 0 */
static uid_t mkdir_owner;       /* whose a directory is that is just made */

extern uid_t __wrap_geteuid (void);
extern int __wrap_stat (const char *path, struct stat *st);
extern int __wrap_lstat (const char *path, struct stat *st);
extern int __wrap_mkdir (const char *path, mode_t mode);

uid_t
__wrap_geteuid (void)
{
  return me;
}

static const struct entry *
find (const char *path)
{
  for (unsigned i = 0; i < nr_entries; i++)
    if (strcmp (entries[i].path, path) == 0)
      return &entries[i];
  errno = ENOENT;
  return NULL;
}

static int
tell (const struct entry *e, struct stat *st)
{
  if (e == NULL)
    return -1;
  *st = (struct stat) { .st_uid = e->owner, .st_mode = e->mode };
  return 0;
}

int
__wrap_lstat (const char *path, struct stat *st)
{
  const struct entry *e = find (path);

  if (lstat_fails) {
    errno = lstat_fails;
    return -1;
  }
  if (e && e->link) {
    *st = (struct stat) { .st_uid = e->owner, .st_mode = S_IFLNK | 0777 };
    return 0;
  }
  return tell (e, st);
}

int
__wrap_stat (const char *path, struct stat *st)
{
  const struct entry *e = find (path);

  return tell (e && e->link ? find (e->link) : e, st);
}

static void
there_is (const char *path, uid_t owner, mode_t mode)
{
  CU_ASSERT_FATAL (nr_entries < sizeof entries / sizeof *entries);
  entries[nr_entries++] = (struct entry) {
    .path = path, .owner = owner, .mode = mode
  };
}

int
__wrap_mkdir (const char *path, mode_t mode)
{
  static char made[PATH_MAX];

  if (mkdir_fails) {
    errno = mkdir_fails;
    return -1;
  }
  if (find (path)) {
    errno = EEXIST;
    return -1;
  }
  strcpy (made, path);
  there_is (made, mkdir_owner, S_IFDIR | mode);
  return 0;
}

/* An empty machine, for a user. */
static void
setup (uid_t uid)
{
  nr_entries = 0;
  me = mkdir_owner = uid;
  mkdir_fails = lstat_fails = 0;
  unsetenv ("REMAP_RUNTIME_DIR");
  unsetenv ("XDG_RUNTIME_DIR");
}

/* What is found is PATH, and OTHER besides ("": none). */
static void
check_found (const char *path, const char *other)
{
  for (int create = 0; create < 2; create++) {
    struct run_directory d;
    struct message m = { "" };

    CU_ASSERT_EQUAL (run_directory_find (&d, create, &m), 0);
    CU_ASSERT_STRING_EQUAL (d.path, path);
    CU_ASSERT_STRING_EQUAL (d.other, other);
    CU_ASSERT_EQUAL (find (path) != NULL && S_ISDIR (find (path)->mode) &&
                     (find (path)->mode & 0777) == 0700, create);
    CU_ASSERT_STRING_EQUAL (m.text, "");
  }
}

static void
check_refused (bool create, int err, const char *path, const char *why)
{
  struct run_directory d;
  struct message m = { "" };

  CU_ASSERT_EQUAL (run_directory_find (&d, create, &m), err);
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, path));
  CU_ASSERT_PTR_NOT_NULL (strstr (m.text, why));
}

static void
test_named (void)
{
  setup (ME);
  setenv ("XDG_RUNTIME_DIR", "/xdg", 1);
  setenv ("REMAP_RUNTIME_DIR", "/somewhere", 1);
  check_found ("/somewhere", "");
  /* An empty one is none. */
  setup (ME);
  there_is ("/xdg", ME, S_IFDIR | 0700);
  setenv ("XDG_RUNTIME_DIR", "/xdg", 1);
  setenv ("REMAP_RUNTIME_DIR", "", 1);
  check_found ("/xdg/nbdkit-remap", "");

  setup (0);
  setenv ("REMAP_RUNTIME_DIR", "/somewhere", 1);
  check_found ("/somewhere", "");
}

/* A server's process is recognised by a path that begins so. */
static void
test_relative (void)
{
  setup (ME);
  setenv ("REMAP_RUNTIME_DIR", "run", 1);
  check_refused (false, EINVAL, "'run'", "absolute");
  check_refused (true, EINVAL, "'run'", "absolute");
  CU_ASSERT_PTR_NULL (find ("run"));
  setup (ME);
  there_is ("xdg", ME, S_IFDIR | 0700);
  setenv ("XDG_RUNTIME_DIR", "xdg", 1);
  check_refused (false, EINVAL, "'xdg/nbdkit-remap'", "absolute");
}

/* Cut off, it would be another directory. */
static void
test_long (void)
{
  char path[PATH_MAX + 100], xdg[PATH_MAX];

  memset (path, 'x', sizeof path);
  for (size_t i = 0; i < sizeof path; i += 100)
    path[i] = '/';
  path[sizeof path - 1] = '\0';
  setup (ME);
  setenv ("REMAP_RUNTIME_DIR", path, 1);
  check_refused (false, ENAMETOOLONG, "/xxx", "too long a path");
  check_refused (true, ENAMETOOLONG, "/xxx", "too long a path");
  CU_ASSERT_EQUAL (nr_entries, 0);
  unsetenv ("REMAP_RUNTIME_DIR");
  /* The user's, to which a name is added. */
  path[PATH_MAX - 8] = '\0';
  there_is (path, ME, S_IFDIR | 0700);
  setenv ("XDG_RUNTIME_DIR", path, 1);
  check_refused (true, ENAMETOOLONG, "/xxx", "too long a path");
  CU_ASSERT_EQUAL (nr_entries, 1);
  path[PATH_MAX - strlen ("/nbdkit-remap")] = '\0';
  there_is (path, ME, S_IFDIR | 0700);
  setenv ("XDG_RUNTIME_DIR", path, 1);
  check_refused (true, ENAMETOOLONG, "/xxx", "too long a path");
  /* The longest one. */
  path[PATH_MAX - 1 - strlen ("/nbdkit-remap")] = '\0';
  strcpy (xdg, path);
  setup (ME);
  there_is (xdg, ME, S_IFDIR | 0700);
  setenv ("XDG_RUNTIME_DIR", path, 1);
  strcat (path, "/nbdkit-remap");
  CU_ASSERT_EQUAL (strlen (path), PATH_MAX - 1);
  check_found (path, "");
}

static void
test_root (void)
{
  setup (0);
  setenv ("XDG_RUNTIME_DIR", "/xdg", 1);
  there_is ("/tmp/nbdkit-remap-0", 0, S_IFDIR | 0700);
  check_found ("/run/nbdkit-remap", "");
}

/* Logged in: the directory of the environment, or what there is of the
 * user's; besides it what is in /tmp.
 */
static void
test_logged_in (void)
{
  setup (ME);
  there_is ("/xdg", ME, S_IFDIR | 0700);
  there_is ("/run/user/1234", ME, S_IFDIR | 0700);
  setenv ("XDG_RUNTIME_DIR", "/xdg", 1);
  check_found ("/xdg/nbdkit-remap", "");

  setup (ME);
  there_is ("/run/user/1234", ME, S_IFDIR | 0700);
  check_found ("/run/user/1234/nbdkit-remap", "");
  setup (ME);
  there_is ("/run/user/1234", ME, S_IFDIR | 0700);
  setenv ("XDG_RUNTIME_DIR", "", 1);
  check_found ("/run/user/1234/nbdkit-remap", "");

  /* What cron leaves of a login that has ended. */
  setup (ME);
  there_is ("/run/user/1234", ME, S_IFDIR | 0700);
  setenv ("XDG_RUNTIME_DIR", "/xdg", 1);
  check_found ("/run/user/1234/nbdkit-remap", "");

  /* What su leaves of somebody else's environment. */
  setup (ME);
  there_is ("/run/user/4321", SOMEBODY, S_IFDIR | 0700);
  there_is ("/run/user/1234", ME, S_IFDIR | 0700);
  setenv ("XDG_RUNTIME_DIR", "/run/user/4321", 1);
  check_found ("/run/user/1234/nbdkit-remap", "");

  setup (ME);
  there_is ("/run/user/1234", ME, S_IFDIR | 0700);
  there_is ("/tmp/nbdkit-remap-1234", ME, S_IFDIR | 0700);
  check_found ("/run/user/1234/nbdkit-remap", "/tmp/nbdkit-remap-1234");
  /* Nothing is read there that others can write. */
  setup (ME);
  there_is ("/run/user/1234", ME, S_IFDIR | 0700);
  there_is ("/tmp/nbdkit-remap-1234", SOMEBODY, S_IFDIR | 0700);
  check_found ("/run/user/1234/nbdkit-remap", "");
}

/* cron, su, sudo -u: /tmp; also where what has the user's name in /run/user
 * isn't the user's, or isn't the user's alone.
 */
static void
test_elsewhere (void)
{
  static const struct entry not_mine[] = {
    { "/run/user/1234", SOMEBODY, S_IFDIR | 0700 },
    { "/run/user/1234", ME, S_IFREG | 0700 },
    { "/run/user/1234", ME, S_IFDIR | 0720 },
    { "/run/user/1234", ME, S_IFDIR | 0702 },
    { "/run/user/1234", ME, 0, "/run/user/4321" },
  };

  setup (ME);
  check_found ("/tmp/nbdkit-remap-1234", "");
  for (size_t i = 0; i < sizeof not_mine / sizeof *not_mine; i++) {
    setup (ME);
    there_is ("/run/user/4321", ME, S_IFDIR | 0700);
    entries[nr_entries++] = not_mine[i];
    check_found ("/tmp/nbdkit-remap-1234", "");
  }
}

/* In /tmp somebody else may be first. */
static void
test_temporary (void)
{
  static const struct entry not_mine[] = {
    { "/tmp/nbdkit-remap-1234", SOMEBODY, S_IFDIR | 0700 },
    { "/tmp/nbdkit-remap-1234", 0, S_IFDIR | 0700 },
    { "/tmp/nbdkit-remap-1234", ME, S_IFREG | 0700 },
    { "/tmp/nbdkit-remap-1234", ME, S_IFDIR | 0770 },
    { "/tmp/nbdkit-remap-1234", ME, S_IFDIR | 0707 },
    { "/tmp/nbdkit-remap-1234", ME, 0, "/mine" },
  };

  for (size_t i = 0; i < sizeof not_mine / sizeof *not_mine; i++) {
    setup (ME);
    there_is ("/mine", ME, S_IFDIR | 0700);
    entries[nr_entries++] = not_mine[i];
    check_refused (false, EPERM, not_mine[i].path, "REMAP_RUNTIME_DIR");
    check_refused (true, EPERM, not_mine[i].path, "REMAP_RUNTIME_DIR");
  }
  /* What is there can't be looked at. */
  setup (ME);
  lstat_fails = EACCES;
  check_refused (false, EPERM, "/tmp/nbdkit-remap-1234", "REMAP_RUNTIME_DIR");
  /* Somebody was first, after it had been looked at. */
  setup (ME);
  mkdir_owner = 0;
  check_refused (true, EPERM, "/tmp/nbdkit-remap-1234", "REMAP_RUNTIME_DIR");
}

/* One that is named, or root's own, may be root's, and a group's. */
static void
test_create (void)
{
  struct run_directory d;

  setup (ME);
  setenv ("REMAP_RUNTIME_DIR", "/named", 1);
  there_is ("/named", 0, S_IFDIR | 0770);
  CU_ASSERT_EQUAL (run_directory_find (&d, true, NULL), 0);
  entries[0].owner = ME;
  CU_ASSERT_EQUAL (run_directory_find (&d, true, NULL), 0);

  entries[0].mode = S_IFDIR | 01777;
  check_refused (true, EPERM, "/named", "everybody");
  entries[0].mode = S_IFREG | 0600;
  check_refused (true, EPERM, "/named", "not a directory of yours");
  entries[0] = (struct entry) { "/named", SOMEBODY, S_IFDIR | 0700 };
  check_refused (true, EPERM, "/named", "not a directory of yours");
  entries[0] = (struct entry) { "/named", ME, 0, "/nowhere" };
  check_refused (true, EPERM, "/named", "not a directory of yours");
  /* Whoever only looks is not kept from it. */
  CU_ASSERT_EQUAL (run_directory_find (&d, false, NULL), 0);

  setup (ME);
  setenv ("REMAP_RUNTIME_DIR", "/named", 1);
  mkdir_fails = EROFS;
  check_refused (true, EROFS, "/named", strerror (EROFS));
  CU_ASSERT_EQUAL (run_directory_find (&d, true, NULL), EROFS);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "by name", test_named },
    { "a relative path", test_relative },
    { "too long a path", test_long },
    { "root's", test_root },
    { "of a user who is logged in", test_logged_in },
    { "of one who isn't", test_elsewhere },
    { "in /tmp", test_temporary },
    { "made, or refused", test_create },
    { NULL }
  };

  return run_tests (argc, argv, "run-directory", tests);
}
