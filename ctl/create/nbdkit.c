/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "create/nbdkit.h"

/* Runs a program in a child, which has LOG (-1: nothing) as its output.  Calls
 * only what may be called between fork and exec.  ERROR_FD gets the errno if
 * this fails.
 */
static void __attribute__ ((noreturn))
become (char **argv, int log, int error_fd)
{
  const int null = open ("/dev/null", O_RDWR);
  int err;

  signal (SIGPIPE, SIG_DFL);
  setsid ();
  if (chdir ("/") == 0 && null != -1 && dup2 (null, 0) != -1 &&
      dup2 (log == -1 ? null : log, 1) != -1 &&
      dup2 (log == -1 ? null : log, 2) != -1)
    execvp (argv[0], argv);
  err = errno;
  if (write (error_fd, &err, sizeof err) == -1)
    _exit (126);
  _exit (127);
}

/* Reads what a child says; false if it ends without a word. */
static bool
hear (int fd, void *buf, size_t size)
{
  ssize_t r;

  do
    r = read (fd, buf, size);
  while (r == -1 && errno == EINTR);
  return r == (ssize_t) size;
}

/* Becomes nbdkit, once its parent has gone. */
static void __attribute__ ((noreturn))
grandchild (char **argv, int log, const int go[2], int error_fd)
{
  char c;

  close (go[1]);
  hear (go[0], &c, 1);
  become (argv, log, error_fd);
}

/* With -f nbdkit ends when its parent does.  So it gets a parent that never
 * ends: a child forks it and ends, and only then may it begin.
 */
int
nbdkit_start (char **argv, int log, pid_t *pid, int *pidfd)
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

bool
nbdkit_has_direct (void)
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
