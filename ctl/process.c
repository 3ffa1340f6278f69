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
#include <sys/socket.h>
#include <sys/un.h>

#include "numbers.h"
#include "process.h"
#include "rundir.h"
#include "text.h"

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
process_hold (struct held_process *p, long pid, const char *name)
{
  p->fd = pidfd_open (pid, 0);
  if (p->fd == -1)
    return errno == ESRCH ? 0 : errno;
  /* Asked again, since until now the number could become that of another
   * process.
   */
  if (!is_server (pid, name))
    process_release (p);
  return 0;
}

int
process_signal (const struct held_process *p, int signal)
{
  if (p->fd == -1 || pidfd_send_signal (p->fd, signal, NULL, 0) == 0 ||
      errno == ESRCH)
    return 0;
  return errno;
}

int
process_await (const struct held_process *p, unsigned seconds)
{
  struct pollfd fd = { .fd = p->fd, .events = POLLIN };
  int r;

  if (p->fd == -1)
    return 0;
  do
    r = poll (&fd, 1, seconds > INT_MAX / 1000 ? -1 : (int) seconds * 1000);
  while (r == -1 && errno == EINTR);
  return r == 1 ? 0 : ETIMEDOUT;
}

void
process_release (struct held_process *p)
{
  if (p->fd != -1)
    close (p->fd);
  p->fd = -1;
}

bool
listener_pid (const char *path, long *pid)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  struct ucred peer;
  socklen_t len = sizeof peer;
  int fd, err = 0;

  if (strlen (path) >= sizeof addr.sun_path)
    return false;
  strcpy (addr.sun_path, path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd == -1)
    return false;
  *pid = -1;
  if (connect (fd, (struct sockaddr *) &addr, sizeof addr) == -1)
    err = errno;
  else if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           peer.pid > 0)
    *pid = peer.pid;
  close (fd);
  if (err == ECONNREFUSED)
    *pid = 0;
  /* It has as many that wait to be accepted as it can have. */
  return err == 0 || err == ECONNREFUSED || err == EAGAIN;
}

char *
process_name (long pid)
{
  char *path = text_of ("/proc/%ld/comm", pid), line[64] = "";
  FILE *fp = fopen (path, "re");

  free (path);
  if (fp != NULL) {
    if (fgets (line, sizeof line, fp) == NULL)
      line[0] = '\0';
    fclose (fp);
  }
  line[strcspn (line, "\n")] = '\0';
  return copy_text (line);
}
