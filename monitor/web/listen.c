/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "ctl/numbers.h"
#include "ctl/text.h"
#include "web/listen.h"

/* Is somebody there?  A socket that a monitor has left is replaced. */
static bool
is_in_use (const struct sockaddr_un *addr)
{
  const int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool used = fd == -1 ||
    connect (fd, (const struct sockaddr *) addr, sizeof *addr) == 0 ||
    errno != ECONNREFUSED;

  if (fd != -1)
    close (fd);
  return used;
}

static int
listen_unix (const char *path)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  struct stat st;
  int fd;

  if (strlen (path) >= sizeof addr.sun_path) {
    error ("--listen=%s: the path is too long", path);
    return -1;
  }
  strcpy (addr.sun_path, path);
  if (lstat (path, &st) == 0 && S_ISSOCK (st.st_mode) && !is_in_use (&addr))
    unlink (path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd != -1 && bind (fd, (struct sockaddr *) &addr, sizeof addr) == 0 &&
      chmod (path, 0660) == 0 && listen (fd, 64) == 0)
    return fd;
  error ("--listen=%s: %s", path, strerror (errno));
  if (fd != -1)
    close (fd);
  return -1;
}

static bool
is_this_machine (const struct sockaddr *a)
{
  const struct sockaddr_in *v4 = (const struct sockaddr_in *) a;
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) a;

  if (a->sa_family == AF_INET)
    return ntohl (v4->sin_addr.s_addr) >> 24 == 127;
  return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK (&v6->sin6_addr);
}

static int
listen_tcp (const char *where, const struct addrinfo *ai)
{
  const int on = 1;
  int fd = socket (ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                   0);

  if (fd != -1)
    setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd != -1 && bind (fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
      listen (fd, 64) == 0)
    return fd;
  error ("--listen=%s: %s", where, strerror (errno));
  if (fd != -1)
    close (fd);
  return -1;
}

int
listen_at (const char *where, bool has_token)
{
  const struct addrinfo hints = {
    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM,
  };
  struct addrinfo *ai;
  char *host, *colon;
  uint64_t port;
  int fd = -1, r;

  if (strchr (where, '/'))
    return listen_unix (where);
  host = copy_text (where);
  colon = strrchr (host, ':');
  if (colon)
    *colon++ = '\0';
  /* [::1]:9721 */
  if (colon && host[0] == '[' && colon[-2] == ']') {
    colon[-2] = '\0';
    memmove (host, host + 1, strlen (host));
  }
  /* Others are cut off to 16 bits there. */
  r = colon && *host && parse_number (colon, &port) && port <= UINT16_MAX
    ? getaddrinfo (host, colon, &hints, &ai)
    : EAI_NONAME;
  if (r != 0)
    error ("--listen=%s: ADDRESS:PORT is wanted, both as numbers, or a path "
           "with a slash", where);
  else {
    if (!has_token && !is_this_machine (ai->ai_addr))
      error ("--listen=%s: others could look at it: this needs --token=FILE",
             where);
    else
      fd = listen_tcp (where, ai);
    freeaddrinfo (ai);
  }
  free (host);
  return fd;
}

bool
read_token (const char *path, char token[MAX_TOKEN + 1])
{
  FILE *fp = fopen (path, "re");
  struct stat st;
  size_t n = 0;

  if (fp == NULL || fstat (fileno (fp), &st) == -1) {
    error ("--token=%s: %s", path, strerror (errno));
    if (fp)
      fclose (fp);
    return false;
  }
  n = fread (token, 1, MAX_TOKEN, fp);
  fclose (fp);
  token[n] = '\0';
  n = strcspn (token, "\r\n");
  token[n] = '\0';
  if (st.st_mode & (S_IRWXO | S_IWGRP))
    error ("--token=%s: others can read it: chmod 600", path);
  else if (n < MIN_TOKEN || strspn (token, "abcdefghijklmnopqrstuvwxyz"
                                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
           != n)
    error ("--token=%s: the first line must be %d letters, digits, '_' and "
           "'-' or more", path, MIN_TOKEN);
  else
    return true;
  return false;
}
