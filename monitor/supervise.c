/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "log.h"
#include "supervise.h"

/* What the process that watches ends with beside 0 and the program's. */
#define TIME_IS_OVER 124
#define NOT_STARTED 127

#define MARKER 3

/* Between asking a program to end, and ending it. */
#define LAST_WORDS_MS 2000

static int
pidfd_of (pid_t pid)
{
  return syscall (SYS_pidfd_open, pid, 0);
}

static void
set_number (const char *name, uint64_t n)
{
  char text[24];

  snprintf (text, sizeof text, "%" PRIu64, n);
  setenv (name, text, 1);
}

static void
set_environment (const struct stored_alert *a)
{
  static const char *const ours[] = {
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
    "LISTEN_PID", "LISTEN_FDNAMES",
  };
  char host[256] = "localhost";

  for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
    unsetenv (ours[i]);
  gethostname (host, sizeof host - 1);
  setenv ("REMAP_HOST", host, 1);
  set_number ("REMAP_ID", a->id);
  set_number ("REMAP_TIME", a->time);
  setenv ("REMAP_SERVER", a->server, 1);
  setenv ("REMAP_KIND", a->kind, 1);
  setenv ("REMAP_SEVERITY", a->severity, 1);
  setenv ("REMAP_SUBJECT", a->subject, 1);
  setenv ("REMAP_TEXT", a->text, 1);
}

/* The message as JSON on stdin: a file, which nobody has to wait to write. */
static bool
give_stdin (const char *json)
{
  const int fd = memfd_create ("message", 0);
  size_t len = strlen (json);
  ssize_t r;

  if (fd == -1)
    return false;
  for (; len > 0; json += r, len -= r)
    if ((r = write (fd, json, len)) <= 0)
      return false;
  return lseek (fd, 0, SEEK_SET) == 0 && dup2 (fd, STDIN_FILENO) != -1;
}

static void __attribute__ ((noreturn))
become_program (const char *path, const struct stored_alert *a)
{
  setpgid (0, 0);
  close (MARKER);
  set_environment (a);
  if (give_stdin (a->json)) {
    dup2 (STDERR_FILENO, STDOUT_FILENO);
    close_range (3, ~0U, 0);
    execl (path, path, NULL);
  }
  log_line (LOG_IS_ERROR, "%s can't be run: %s", path, strerror (errno));
  _exit (NOT_STARTED);
}

/* Waits for the program's end; false: the time was over first. */
static bool
await (int pidfd, uint64_t ms)
{
  struct pollfd p = { .fd = pidfd, .events = POLLIN };
  const uint64_t end = clock_now_ms () + ms;
  uint64_t now;
  int r;

  do {
    now = clock_now_ms ();
    r = poll (&p, 1, now < end ? end - now : 0);
  } while (r == -1 && errno == EINTR);
  return r == 1;
}

/* The process that watches. */
static void __attribute__ ((noreturn))
watch (const char *path, const struct stored_alert *a, unsigned timeout)
{
  const pid_t program = fork ();
  bool in_time;
  int status, fd;

  if (program == 0)
    become_program (path, a);
  if (program == -1)
    _exit (NOT_STARTED);
  setpgid (program, program);           /* whoever is first */
  fd = pidfd_of (program);
  in_time = await (fd, timeout * UINT64_C (1000));
  if (!in_time) {
    kill (-program, SIGTERM);
    await (fd, LAST_WORDS_MS);
  }
  /* What it has left in the background, too. */
  kill (-program, SIGKILL);
  while (waitpid (program, &status, 0) == -1 && errno == EINTR)
    continue;
  if (!in_time)
    _exit (TIME_IS_OVER);
  if (!WIFEXITED (status))
    _exit (128 + WTERMSIG (status));
  if (WEXITSTATUS (status) == 0)
    (void) !write (MARKER, SUPERVISE_DONE, strlen (SUPERVISE_DONE));
  _exit (WEXITSTATUS (status));
}

/* Nothing of the monitor's is open in it but stderr and the marker; signals
 * are as they were at first.
 */
static void
leave_the_monitor (int marker)
{
  sigset_t none;

  /* A terminal's or a service manager's signal is for the monitor alone. */
  setsid ();
  if (marker == -1)
    close (MARKER);
  else if (marker == MARKER)
    fcntl (MARKER, F_SETFD, 0);
  else
    dup2 (marker, MARKER);
  close_range (MARKER + 1, ~0U, 0);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  signal (SIGPIPE, SIG_DFL);
}

bool
supervise_start (const char *path, const struct stored_alert *a,
                 unsigned timeout, int marker, struct supervised *p)
{
  p->pid = fork ();
  if (p->pid == 0) {
    leave_the_monitor (marker);
    watch (path, a, timeout);
  }
  p->pidfd = p->pid == -1 ? -1 : pidfd_of (p->pid);
  if (p->pidfd == -1)
    log_line (LOG_IS_ERROR, "%s can't be run: %s", path, strerror (errno));
  return p->pidfd != -1;
}

bool
supervise_end (struct supervised *p, const char **why)
{
  static char text[64];
  int status = 0;

  while (waitpid (p->pid, &status, 0) == -1 && errno == EINTR)
    continue;
  close (p->pidfd);
  p->pidfd = -1;
  if (status == 0)
    return true;
  if (WIFEXITED (status) && WEXITSTATUS (status) == TIME_IS_OVER)
    snprintf (text, sizeof text, "it hangs, and was ended");
  else
    snprintf (text, sizeof text, "status %d",
              WIFEXITED (status) ? WEXITSTATUS (status)
              : 128 + WTERMSIG (status));
  *why = text;
  return false;
}
