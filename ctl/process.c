/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/pidfd.h>

#include "numbers.h"
#include "process.h"
#include "rundir.h"
#include "text.h"

#define STOP_SECONDS 60

/* A server has the path of its control socket on its command line. */
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

int
server_end (long pid, const char *name)
{
  struct pollfd p = { .events = POLLIN };
  int err = 0, r;

  p.fd = pidfd_open (pid, 0);
  if (p.fd == -1)
    return errno == ESRCH ? 0 : errno;
  /* Asked again, since until now the number could become that of another
   * process.
   */
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
