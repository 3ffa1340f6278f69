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

/* What the environment says; 0: nothing. */
static unsigned
number_of (const char *variable)
{
  const char *text = getenv (variable);
  uint64_t n;

  return text != NULL && parse_number (text, &n) && n < 10000 ? n : 0;
}

unsigned
terminal_width (FILE *fp)
{
  const unsigned columns = number_of ("COLUMNS");
  struct winsize size;

  if (columns > 0)
    return columns;
  if (ioctl (fileno (fp), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return size.ws_col;
  return 80;
}

unsigned
terminal_height (FILE *fp)
{
  const unsigned lines = number_of ("LINES");
  struct winsize size;

  if (lines > 0)
    return lines;
  if (ioctl (fileno (fp), TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
    return size.ws_row;
  return 24;
}

bool
use_colour (FILE *fp)
{
  const char *no = getenv ("NO_COLOR"), *term = getenv ("TERM");

  return isatty (fileno (fp)) && (no == NULL || *no == '\0') &&
         term != NULL && strcmp (term, "dumb") != 0;
}
