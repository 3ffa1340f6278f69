/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The servers that `create' has started: each has three files in the
 * run-time directory, NAME.ctl (control socket), NAME.nbd (NBD socket) and
 * NAME.pid.  A server that was killed leaves them behind.
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "remapctl.h"

#define MAX_NAME 64
#define STOP_SECONDS 60

const char *
run_directory (bool create)
{
  static char path[PATH_MAX];
  const char *dir = getenv ("REMAP_RUNTIME_DIR");
  const char *xdg = getenv ("XDG_RUNTIME_DIR");
  struct stat st;

  if (dir != NULL && *dir != '\0')
    snprintf (path, sizeof path, "%s", dir);
  else if (geteuid () == 0)
    strcpy (path, "/run/nbdkit-remap");
  else if (xdg != NULL && *xdg != '\0')
    snprintf (path, sizeof path, "%s/nbdkit-remap", xdg);
  else {
    error ("there is no run-time directory: set XDG_RUNTIME_DIR, or "
           "REMAP_RUNTIME_DIR");
    return NULL;
  }
  /* It is part of what a server is recognised by. */
  if (path[0] != '/') {
    error ("the run-time directory '%s' must be an absolute path", path);
    return NULL;
  }
  if (!create)
    return path;
  if (mkdir (path, 0700) == -1 && errno != EEXIST) {
    error ("the run-time directory %s can't be made: %s", path,
           strerror (errno));
    return NULL;
  }
  /* Whoever can write there could put a socket of his own in place, or a
   * link where nbdkit writes its pid file: in a sticky directory as well.
   */
  if (stat (path, &st) == -1 || !S_ISDIR (st.st_mode) ||
      (st.st_uid != geteuid () && st.st_uid != 0) || st.st_mode & S_IWOTH) {
    error ("the run-time directory %s is not a directory of yours, or "
           "everybody can write to it", path);
    return NULL;
  }
  return path;
}

int
lock_run_directory (bool create)
{
  const char *dir = run_directory (create);
  int fd = dir ? open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  int err;

  if (fd != -1 && flock (fd, LOCK_EX) == 0)
    return fd;
  err = errno;
  if (fd != -1)
    close (fd);
  if (dir)
    error ("the run-time directory %s can't be locked: %s", dir,
           strerror (err));
  return -1;
}

bool
server_name_ok (const char *name)
{
  const size_t n = strlen (name);

  if (n == 0 || n > MAX_NAME || name[0] == '.' || name[0] == '-')
    return false;
  for (; *name; name++)
    if (!(isascii ((unsigned char) *name) && isalnum ((unsigned char) *name))
        && strchr ("_.-", *name) == NULL)
      return false;
  return true;
}

char *
server_path (const char *name, const char *suffix)
{
  const char *dir;

  if (!server_name_ok (name)) {
    error ("'%s' is not the name of a server: letters, digits, '_', '.' and "
           "'-', at most %d, no dot or dash at first", name, MAX_NAME);
    return NULL;
  }
  dir = run_directory (false);
  return dir ? text_of ("%s/%s.%s", dir, name, suffix) : NULL;
}

static int
compare_names (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

size_t
server_names (char ***names)
{
  const char *dir = run_directory (false);
  DIR *d = dir ? opendir (dir) : NULL;
  struct dirent *e;
  size_t n = 0, len;
  char **v = allocate (1, sizeof *v), *name;

  while (d != NULL && (e = readdir (d)) != NULL) {
    len = strlen (e->d_name);
    if (len <= 4 || strcmp (e->d_name + len - 4, ".pid") != 0)
      continue;
    name = copy_text (e->d_name);
    name[len - 4] = '\0';
    if (!server_name_ok (name)) {
      free (name);
      continue;
    }
    v = realloc (v, (n + 1) * sizeof *v);
    if (v == NULL) {
      error ("out of memory");
      exit (STATUS_REFUSED);
    }
    v[n++] = name;
  }
  if (d != NULL)
    closedir (d);
  qsort (v, n, sizeof *v, compare_names);
  *names = v;
  return n;
}

/* Is it the server, and not a process that has its number since? */
static bool
is_server (long pid, const char *name)
{
  char path[64], *wanted, *socket;
  char buf[65536];
  size_t n, i;
  bool found = false;
  FILE *fp;

  socket = server_path (name, "ctl");
  if (socket == NULL)
    return false;
  wanted = text_of ("remap-control=%s", socket);
  snprintf (path, sizeof path, "/proc/%ld/cmdline", pid);
  fp = fopen (path, "re");
  if (fp != NULL) {
    n = fread (buf, 1, sizeof buf - 1, fp);
    buf[n] = '\0';
    fclose (fp);
    for (i = 0; i < n && !found; i += strlen (buf + i) + 1)
      found = strcmp (buf + i, wanted) == 0;
  }
  free (wanted);
  free (socket);
  return found;
}

long
server_pid (const char *name)
{
  char *path = server_path (name, "pid");
  char text[32];
  uint64_t pid = 0;
  FILE *fp;

  if (path == NULL)
    return 0;
  fp = fopen (path, "re");
  free (path);
  if (fp == NULL)
    return 0;
  if (fgets (text, sizeof text, fp) == NULL)
    text[0] = '\0';
  fclose (fp);
  text[strcspn (text, "\n")] = '\0';
  if (!parse_number (text, &pid) || pid == 0 || pid > INT_MAX ||
      !is_server (pid, name))
    return 0;
  return pid;
}

/* What a server shows of itself in a list; false if it doesn't answer. */
static bool
print_listed (const char *name, long pid)
{
  char *path = server_path (name, "ctl");
  struct client *c = NULL;
  struct reader r = { 0 };
  json_t *reply;
  int status;

  if (path == NULL || pid == 0 || client_try (path, 5, &c) != 0) {
    free (path);
    return false;
  }
  free (path);
  reply = client_request (c, &status, "status");
  client_close (c);
  r.root = reply;
  if (reply != NULL) {
    const char *health = get_string (&r, "health");
    const uint64_t size = get_uint (&r, "main.size");
    const uint64_t remapped = get_uint (&r, "sectors.remapped");
    const uint64_t lost = get_uint (&r, "sectors.lost");

    if (!r.bad) {
      printf ("%-20s %8ld  ", name, pid);
      print_text (stdout, health);
      printf ("%*s %10s  %" PRIu64 " remapped, %" PRIu64 " LOST\n",
              strlen (health) < 9 ? (int) (9 - strlen (health)) : 0, "",
              show_bytes (size).s, remapped, lost);
    }
    json_decref (reply);
  }
  return reply != NULL && !r.bad;
}

int
command_list (struct ctl *ctl, int argc, char **argv)
{
  json_t *all = json_array ();
  char **names;
  size_t n;

  if (next_option (ctl, argc, argv, NULL) == '?' ||
      !count_arguments (ctl, argc, 0, 0) || run_directory (false) == NULL) {
    json_decref (all);
    return STATUS_USAGE;
  }
  n = server_names (&names);
  for (size_t i = 0; i < n; i++) {
    const long pid = server_pid (names[i]);

    if (ctl->json) {
      char *ctl_path = server_path (names[i], "ctl");
      char *nbd_path = server_path (names[i], "nbd");

      json_array_append_new (all, json_pack
                             ("{s:s,s:I,s:b,s:s,s:s}", "name", names[i],
                              "pid", (json_int_t) pid, "running", pid != 0,
                              "control", ctl_path, "nbd", nbd_path));
      free (ctl_path);
      free (nbd_path);
    }
    else if (!print_listed (names[i], pid))
      printf ("%-20s %8ld  %s\n", names[i], pid,
              pid ? "no answer" : "not running: 'stop' removes its files");
    free (names[i]);
  }
  free (names);
  if (ctl->json)
    print_json (all);
  else if (n == 0)
    printf ("no servers\n");
  json_decref (all);
  return STATUS_DONE;
}

/* Unless they are those of a server that was created meanwhile. */
static bool
remove_files (const char *name)
{
  static const char *const suffixes[] = { "ctl", "nbd", "pid" };
  const int lock = lock_run_directory (false);

  if (lock == -1)
    return false;
  for (size_t i = 0; server_pid (name) == 0 &&
       i < sizeof suffixes / sizeof suffixes[0]; i++) {
    char *path = server_path (name, suffixes[i]);

    if (path)
      unlink (path);
    free (path);
  }
  close (lock);
  return true;
}

/* 0, or an errno. */
static int
end_process (long pid, const char *name)
{
  struct pollfd p = { .events = POLLIN };
  int err = 0, r;

  p.fd = pidfd_open (pid, 0);
  if (p.fd == -1)
    return errno == ESRCH ? 0 : errno;
  /* Once more, since the number can't change its process any more. */
  if (!is_server (pid, name))
    err = 0;
  else if (pidfd_send_signal (p.fd, SIGTERM, NULL, 0) == -1)
    err = errno == ESRCH ? 0 : errno;
  else {
    do
      r = poll (&p, 1, STOP_SECONDS * 1000);
    while (r == -1 && errno == EINTR);
    err = r == 1 ? 0 : ETIMEDOUT;
  }
  close (p.fd);
  return err;
}

int
command_stop (struct ctl *ctl, int argc, char **argv)
{
  const char *name;
  char *path;
  long pid;
  int err;

  if (next_option (ctl, argc, argv, NULL) == '?' ||
      !count_arguments (ctl, argc, ctl->name ? 0 : 1, ctl->name ? 0 : 1))
    return STATUS_USAGE;
  name = ctl->name ? ctl->name : argv[optind];
  path = server_path (name, "pid");
  if (path == NULL)
    return STATUS_USAGE;
  if (access (path, F_OK) == -1) {
    error ("there is no server '%s' (no file %s)", name, path);
    free (path);
    return STATUS_NO_SERVER;
  }
  free (path);
  pid = server_pid (name);
  if (pid == 0) {
    if (!remove_files (name))
      return STATUS_REFUSED;
    error ("the server '%s' was not running any more; its files are removed",
           name);
    return STATUS_NO_SERVER;
  }
  err = end_process (pid, name);
  if (err) {
    error ("the server '%s' (process %ld) did not end: %s", name, pid,
           strerror (err));
    return STATUS_REFUSED;
  }
  printf ("%s stopped\n", name);
  return remove_files (name) ? STATUS_DONE : STATUS_REFUSED;
}
