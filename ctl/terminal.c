/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>

#include "numbers.h"
#include "terminal.h"

unsigned
terminal_width (FILE *fp)
{
  const char *columns = getenv ("COLUMNS");
  struct winsize size;
  uint64_t n;

  if (columns != NULL && parse_number (columns, &n) && n > 0 && n < 10000)
    return n;
  if (ioctl (fileno (fp), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return size.ws_col;
  return 80;
}

bool
use_colour (FILE *fp)
{
  const char *no = getenv ("NO_COLOR"), *term = getenv ("TERM");

  return isatty (fileno (fp)) && (no == NULL || *no == '\0') &&
         term != NULL && strcmp (term, "dumb") != 0;
}
