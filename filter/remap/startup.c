/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <nbdkit-filter.h>
#include "startup.h"

/* Room for two paths. */
static char why[2 * PATH_MAX + 1024];

bool
stderr_is_ready (void)
{
  struct pollfd fd = { .fd = STDERR_FILENO, .events = POLLOUT };

  return poll (&fd, 1, 0) == 1 && fd.revents & POLLOUT;
}

void
startup_say (const char *fs, ...)
{
  va_list args;

  if (!stderr_is_ready ())
    return;
  va_start (args, fs);
  fprintf (stderr, "nbdkit: remap: ");
  vfprintf (stderr, fs, args);
  fprintf (stderr, "\n");
  va_end (args);
}

void
startup_refuse (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  vsnprintf (why, sizeof why, fs, args);
  va_end (args);
  nbdkit_error ("%s", why);
}

void
startup_refused (const char *text)
{
  snprintf (why, sizeof why, "%s", text);
}

const char *
startup_why (void)
{
  return why[0] ? why : NULL;
}
