/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * create: nbdkit's command line, and its start.
 *
 * No shell is involved.  nbdkit runs in the foreground (-f) of a session of
 * its own, with the log as its stdout and stderr: so the log has all of its
 * messages, and its end is seen here while it starts.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "create/create.h"

#define MAX_ARGS 40
#define START_SECONDS 300
#define POLL_MS 50

static void
add (struct create *c, char *argument)
{
  c->argv[c->argc++] = argument;
}

/* In the child: only what may be called between fork and exec.  ERROR_FD
 * gets the errno if that fails.
 */
static void __attribute__ ((noreturn))
become (char **argv, int fd, int error_fd)
{
  const int null = open ("/dev/null", O_RDWR);
  int err;

  signal (SIGPIPE, SIG_DFL);
  setsid ();
  if (chdir ("/") == 0 && null != -1 && dup2 (null, 0) != -1 &&
      dup2 (fd == -1 ? null : fd, 1) != -1 &&
      dup2 (fd == -1 ? null : fd, 2) != -1)
    execvp (argv[0], argv);
  err = errno;
  if (write (error_fd, &err, sizeof err) == -1)
    _exit (126);
  _exit (127);
}

/* Reads what a child has to say; false if it ended or had nothing. */
static bool
hear (int fd, void *buf, size_t size)
{
  ssize_t r;

  do
    r = read (fd, buf, size);
  while (r == -1 && errno == EINTR);
  return r == (ssize_t) size;
}

/* The grandchild: nbdkit, once its parent has gone. */
static void __attribute__ ((noreturn))
grandchild (char **argv, int log, const int go[2], int error_fd)
{
  char c;

  close (go[1]);
  hear (go[0], &c, 1);
  become (argv, log, error_fd);
}

/* Starts nbdkit, with its output to LOG.  With -f it ends when its parent
 * does, so it gets one that never does: a child forks it and ends, and only
 * then may it begin.  *PIDFD shows its end.  Returns 0 or the errno of what
 * failed.
 */
static int
start_nbdkit (char **argv, int log, pid_t *pid, int *pidfd)
{
  int go[2], said[2], err = 0;
  pid_t child;

  if (pipe2 (go, O_CLOEXEC) == -1 || pipe2 (said, O_CLOEXEC) == -1)
    return errno;
  fflush (NULL);
  child = fork ();
  if (child == -1)
    return errno;
  if (child == 0) {
    *pid = fork ();
    if (*pid == 0)
      grandchild (argv, log, go, said[1]);
    _exit (write (said[1], pid, sizeof *pid) == -1);
  }
  close (said[1]);
  close (go[0]);
  if (!hear (said[0], pid, sizeof *pid) || *pid == -1)
    err = EAGAIN;
  waitpid (child, NULL, 0);
  *pidfd = err ? -1 : pidfd_open (*pid, 0);
  if (err == 0 && *pidfd == -1)
    err = errno;
  close (go[1]);
  /* An exec that succeeds closes the other end. */
  if (err == 0)
    hear (said[0], &err, sizeof err);
  close (said[0]);
  return err;
}

static bool
has_direct_plugin (void)
{
  char *argv[] = {
    (char *) "nbdkit", (char *) "direct", (char *) "--dump-plugin", NULL
  };
  int status;
  pid_t pid;

  fflush (NULL);
  pid = fork ();
  if (pid == 0)
    become (argv, -1, -1);
  return pid != -1 && waitpid (pid, &status, 0) == pid &&
         WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

void
create_command (struct create *c)
{
  const bool direct = c->main.is_block && has_direct_plugin ();

  c->argv = allocate (MAX_ARGS, sizeof *c->argv);
  add (c, copy_text ("nbdkit"));
  add (c, copy_text ("-f"));
  add (c, copy_text ("-P"));
  add (c, c->pid);
  if (c->listen_address) {
    add (c, copy_text ("-i"));
    add (c, copy_text (c->listen_address));
    add (c, copy_text ("-p"));
    add (c, copy_text (c->listen_port));
  }
  else {
    add (c, copy_text ("-U"));
    add (c, c->nbd);
  }
  add (c, copy_text ("--filter=remap"));
  if (c->main_start)
    add (c, copy_text ("--filter=offset"));
  add (c, copy_text (direct ? "direct" : "file"));
  add (c, text_of ("%s=%s", direct ? "device" : "file", c->main.path));
  if (c->main_start)
    add (c, text_of ("offset=%" PRIu64, c->main_start << SECTOR_SHIFT));
  add (c, text_of ("spare=%s", c->spare.path));
  if (c->spare_start)
    add (c, text_of ("spare-offset=%" PRIu64,
                     c->spare_start << SECTOR_SHIFT));
  /* The rest of a file or device isn't said: so the spare grows with it. */
  if (c->has_total || !c->spare.exists)
    add (c, text_of ("spare-size=%" PRIu64, c->spare_total << SECTOR_SHIFT));
  if (c->spare_valid)
    add (c, copy_text ("spare-create=no"));
  if (c->same_disk || c->main.is_image)
    add (c, copy_text ("spare-same-disk=yes"));
  if (c->label)
    add (c, text_of ("remap-label=%s", c->label));
  add (c, text_of ("remap-control=%s", c->control));
}

/* The command line as one would type it. */
char *
create_command_text (const struct create *c)
{
  static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  char *text = NULL;
  size_t size;
  FILE *fp = open_memstream (&text, &size);

  for (size_t i = 0; fp && i < c->argc; i++) {
    const char *s = c->argv[i];

    if (i > 0)
      fputc (' ', fp);
    if (*s && s[strspn (s, plain)] == '\0') {
      fputs (s, fp);
      continue;
    }
    fputc ('\'', fp);
    for (; *s; s++)
      fputs (*s == '\'' ? "'\\''" : (char[]) { *s, '\0' }, fp);
    fputc ('\'', fp);
  }
  if (fp == NULL || fclose (fp) != 0)
    return copy_text ("(out of memory)");
  return text;
}

/* The last error in what the server has written to the log, or its last
 * line: nbdkit says some of its own errors without that word.
 */
static void
say_why (const struct create *c, off_t from)
{
  FILE *fp = fopen (c->logfile, "re");
  char line[1024], why[1024] = "", last[1024] = "";
  char *p;

  if (fp != NULL && fseeko (fp, from, SEEK_SET) == 0)
    while (fgets (line, sizeof line, fp) != NULL) {
      line[strcspn (line, "\n")] = '\0';
      p = strstr (line, "error: ");
      if (p != NULL && strstr (p, "warning: ") == NULL)
        snprintf (why, sizeof why, "%s", p + 7);
      if (*line)
        snprintf (last, sizeof last, "%s", line);
    }
  if (fp != NULL)
    fclose (fp);
  error ("create: nbdkit ended before it was ready: %s (log: %s)",
         *why ? why : *last ? last : "it said nothing", c->logfile);
}

static bool
answers (const struct create *c)
{
  struct client *client;
  json_t *reply;
  int status;

  if (client_try (c->control, CLIENT_PATIENCE, &client) != 0)
    return false;
  reply = client_request (client, &status, "ping");
  client_close (client);
  json_decref (reply);
  return reply != NULL;
}

/* What a server that has ended before it was ready has left.  The control
 * socket may be another server's, which was why.
 */
static void
remove_leftovers (const struct create *c)
{
  struct client *client;
  struct stat st;

  unlink (c->pid);
  unlink (c->nbd);
  if (lstat (c->control, &st) == -1 || !S_ISSOCK (st.st_mode))
    return;
  switch (client_try (c->control, 1, &client)) {
  case 0:
    client_close (client);
    break;
  case ECONNREFUSED:
    unlink (c->control);
    break;
  }
}

static int
await (struct create *c, pid_t pid, int pidfd, off_t log_start)
{
  struct pollfd p = { .fd = pidfd, .events = POLLIN };

  for (int i = 0; i < START_SECONDS * 1000 / POLL_MS; i++) {
    if (access (c->control, F_OK) == 0 && server_pid (c->name) == pid &&
        answers (c))
      return CREATE_DONE;
    if (poll (&p, 1, POLL_MS) == 1) {
      say_why (c, log_start);
      remove_leftovers (c);
      return CREATE_NOT_STARTED;
    }
  }
  pidfd_send_signal (pidfd, SIGTERM, NULL, 0);
  error ("create: nbdkit was not ready after %d s (log: %s)", START_SECONDS,
         c->logfile);
  return CREATE_NOT_STARTED;
}

int
create_name_taken (const struct create *c)
{
  error ("create: a server '%s' is running: 'remapctl stop %s' ends it, "
         "dm_name=NAME takes another name", c->name, c->name);
  return CREATE_NAME_TAKEN;
}

/* One create at a time: the lock ends with this program. */
static int
take_name (struct create *c)
{
  if (lock_run_directory (true) == -1)
    return CREATE_FILES;
  if (server_pid (c->name) != 0)
    return create_name_taken (c);
  /* What a server that was killed has left. */
  unlink (c->pid);
  unlink (c->nbd);
  return 0;
}

int
create_start (struct create *c, FILE *log)
{
  struct stat st = { 0 };
  int err, pidfd = -1;
  pid_t pid;

  err = take_name (c);
  if (err)
    return err;
  fstat (fileno (log), &st);
  err = start_nbdkit (c->argv, fileno (log), &pid, &pidfd);
  if (err) {
    error ("create: nbdkit can't be run: %s", strerror (err));
    return CREATE_NO_NBDKIT;
  }
  err = await (c, pid, pidfd, st.st_size);
  close (pidfd);
  return err;
}
