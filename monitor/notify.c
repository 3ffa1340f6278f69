/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ctl/numbers.h"
#include "notify.h"

void
notify (const char *state)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  const char *path = getenv ("NOTIFY_SOCKET");
  size_t len;
  int fd;

  if (path == NULL || (*path != '/' && *path != '@') ||
      (len = strlen (path)) >= sizeof addr.sun_path)
    return;
  memcpy (addr.sun_path, path, len);
  if (*path == '@')                     /* one without a file */
    addr.sun_path[0] = '\0';
  fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd == -1)
    return;
  /* Nothing can be done about a systemd that doesn't listen. */
  (void) !sendto (fd, state, strlen (state), MSG_NOSIGNAL | MSG_DONTWAIT,
                  (struct sockaddr *) &addr,
                  offsetof (struct sockaddr_un, sun_path) + len);
  close (fd);
}

uint64_t
notify_watchdog_ms (void)
{
  const char *usec = getenv ("WATCHDOG_USEC");
  uint64_t n;

  return usec && parse_number (usec, &n) ? n / 1000 / 3 : 0;
}
