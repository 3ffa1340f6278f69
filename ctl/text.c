/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "exit-status.h"
#include "text.h"

static char last[2048];
static const char *program = "remapctl";

static void
complain (const char *kind, const char *text)
{
  if (program == NULL)
    return;
  fflush (stdout);
  fprintf (stderr, "%s: %s", program, kind);
  print_text (stderr, text);
  fputc ('\n', stderr);
}

static void *
not_null (void *p)
{
  if (p == NULL) {
    error ("out of memory");
    exit (STATUS_REFUSED);
  }
  return p;
}

void
print_text (FILE *fp, const char *text)
{
  for (const unsigned char *p = (const unsigned char *) text; *p; p++)
    if (*p < 0x20 || *p == 0x7f)
      fputc ('?', fp);
    else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
      /* U+0080 to U+009F are control characters, too. */
      fputc ('?', fp);
      p++;
    }
    else
      fputc (*p, fp);
}

void
set_program (const char *name)
{
  program = name;
}

void
error (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  vsnprintf (last, sizeof last, fs, args);
  va_end (args);
  complain ("", last);
}

void
warning (const char *fs, ...)
{
  char text[2048];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  complain ("warning: ", text);
}

const char *
last_error (void)
{
  return last;
}

char *
text_of (const char *fs, ...)
{
  va_list args;
  char *s;

  va_start (args, fs);
  if (vasprintf (&s, fs, args) == -1)
    s = NULL;
  va_end (args);
  return not_null (s);
}

void *
allocate (size_t n, size_t size)
{
  return not_null (calloc (n ? n : 1, size));
}

char *
copy_text (const char *s)
{
  return not_null (strdup (s));
}

int
finish_output (int status)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return status;
  error ("can't write the output: %s", strerror (errno));
  return status == STATUS_DONE ? STATUS_REFUSED : status;
}
