/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdarg.h>
#include <stdio.h>

#include "startup.h"

void
startup_say (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  fprintf (stderr, "nbdkit: remap: ");
  vfprintf (stderr, fs, args);
  fprintf (stderr, "\n");
  va_end (args);
}
