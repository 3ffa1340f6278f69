/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/text.h"
#include "log.h"

void
log_line (enum priority p, const char *fs, ...)
{
  char text[2048];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  if (getenv ("JOURNAL_STREAM") != NULL)
    fprintf (stderr, "<%d>", p);
  else
    fputs ("remap-monitor: ", stderr);
  print_text (stderr, text);
  fputc ('\n', stderr);
}
