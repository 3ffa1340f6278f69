/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Messages, numbers, units, and what a terminal can show.
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "spare/spare.h"
#include "remapctl.h"

/* Lists of bad sectors are smaller. */
#define MAX_FILE (UINT64_C (1) << 30)

void
print_text (FILE *fp, const char *text)
{
  for (const unsigned char *p = (const unsigned char *) text; *p; p++)
    if (*p < 0x20 || *p == 0x7f)
      fputc ('?', fp);
    else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
      /* The control characters of the second half of Unicode's Latin. */
      fputc ('?', fp);
      p++;
    }
    else
      fputc (*p, fp);
}

static void
complain (const char *kind, const char *fs, va_list args)
{
  char text[2048];

  vsnprintf (text, sizeof text, fs, args);
  fflush (stdout);
  fprintf (stderr, "remapctl: %s", kind);
  print_text (stderr, text);
  fputc ('\n', stderr);
}

void
error (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  complain ("", fs, args);
  va_end (args);
}

void
warning (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  complain ("warning: ", fs, args);
  va_end (args);
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

bool
parse_number (const char *s, uint64_t *n)
{
  const bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
  char *end;

  /* No sign, no space, as strtoull would allow. */
  if (!isxdigit ((unsigned char) s[hex ? 2 : 0]))
    return false;
  errno = 0;
  *n = strtoull (s, &end, hex ? 16 : 10);
  return errno == 0 && *end == '\0' && end != s;
}

bool
parse_bytes (const char *s, uint64_t *n)
{
  static const char suffixes[] = "bskmgtpe";
  static const unsigned shifts[] = { 0, 9, 10, 20, 30, 40, 50, 60 };
  const size_t len = strlen (s);
  const char *p;
  char digits[32];

  if (parse_number (s, n))
    return *n <= INT64_MAX;
  if (len < 2 || len >= sizeof digits ||
      (p = strchr (suffixes, tolower ((unsigned char) s[len - 1]))) == NULL)
    return false;
  memcpy (digits, s, len - 1);
  digits[len - 1] = '\0';
  if (!parse_number (digits, n) ||
      *n > (uint64_t) INT64_MAX >> shifts[p - suffixes])
    return false;
  *n <<= shifts[p - suffixes];
  return true;
}

bool
parse_range (const struct ctl *ctl, int argc, char **argv, uint64_t *start,
             uint64_t *count)
{
  *start = *count = 0;
  if (optind < argc && !parse_number (argv[optind], start)) {
    error ("%s: '%s' is not a sector number (decimal or 0x)", ctl->command,
           argv[optind]);
    return false;
  }
  if (optind + 1 < argc &&
      (!parse_number (argv[optind + 1], count) || *count == 0)) {
    error ("%s: '%s' is not a number of sectors (decimal or 0x, not 0)",
           ctl->command, argv[optind + 1]);
    return false;
  }
  return true;
}

struct unit_text
show_bytes (uint64_t bytes)
{
  static const char units[] = "KMGTPE";
  struct unit_text t;
  double d = bytes;
  int i = -1;

  while (d >= 1024 && i < 5) {
    d /= 1024;
    i++;
  }
  if (i == -1)
    snprintf (t.s, sizeof t.s, "%" PRIu64 " B", bytes);
  else
    snprintf (t.s, sizeof t.s, "%.*f %ciB", d < 9.995 ? 2 : d < 99.95 ? 1 : 0,
              d, units[i]);
  return t;
}

struct unit_text
show_seconds (uint64_t s)
{
  struct unit_text t;

  if (s < 60)
    snprintf (t.s, sizeof t.s, "%" PRIu64 " s", s);
  else if (s % 60 == 0 && s < 7200)
    snprintf (t.s, sizeof t.s, "%" PRIu64 " min", s / 60);
  else if (s < 3600)
    snprintf (t.s, sizeof t.s, "%" PRIu64 " min %" PRIu64 " s", s / 60,
              s % 60);
  else if (s < 86400)
    snprintf (t.s, sizeof t.s, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
              s / 60 % 60);
  else
    snprintf (t.s, sizeof t.s, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
              s / 3600 % 24);
  return t;
}

struct unit_text
show_time (uint64_t unix_time)
{
  struct unit_text t;
  time_t when = unix_time <= (uint64_t) INT64_MAX ? (time_t) unix_time : -1;
  struct tm tm;

  if (localtime_r (&when, &tm) == NULL ||
      strftime (t.s, sizeof t.s, "%Y-%m-%d %H:%M:%S", &tm) == 0)
    snprintf (t.s, sizeof t.s, "@%" PRIu64, unix_time);
  return t;
}

struct unit_text
show_count (uint64_t n, const char *what)
{
  struct unit_text t;

  snprintf (t.s, sizeof t.s, "%" PRIu64 " %s%s", n, what, n == 1 ? "" : "s");
  return t;
}

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

/* https://no-color.org: set and not empty. */
bool
use_colour (FILE *fp)
{
  const char *no = getenv ("NO_COLOR"), *term = getenv ("TERM");

  return isatty (fileno (fp)) && (no == NULL || *no == '\0') &&
         term != NULL && strcmp (term, "dumb") != 0;
}

char *
read_file (const char *path, size_t *len)
{
  const bool is_stdin = strcmp (path, "-") == 0;
  FILE *fp = is_stdin ? stdin : fopen (path, "re");
  char *text = NULL, *p;
  size_t cap = 0;

  *len = 0;
  if (fp == NULL) {
    error ("%s: %s", path, strerror (errno));
    return NULL;
  }
  do {
    if (cap - *len < 2) {
      cap = cap ? cap * 2 : 65536;
      p = cap > MAX_FILE ? NULL : realloc (text, cap);
      if (p == NULL) {
        error ("%s: too large", path);
        free (text);
        text = NULL;
        goto out;
      }
      text = p;
    }
    *len += fread (text + *len, 1, cap - *len - 1, fp);
  } while (!feof (fp) && !ferror (fp));
  text[*len] = '\0';
  if (ferror (fp)) {
    error ("%s: can't be read: %s", path, strerror (errno));
    free (text);
    text = NULL;
  }
 out:
  if (!is_stdin)
    fclose (fp);
  return text;
}

int
finish_output (int status)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return status;
  error ("can't write the output: %s", strerror (errno));
  return status == STATUS_DONE ? STATUS_REFUSED : status;
}

struct unit_text
show_uuid (const uint8_t uuid[16])
{
  struct unit_text t;

  _Static_assert (sizeof t.s >= SPARE_UUID_TEXT, "a UUID has 36 characters");
  spare_uuid_text (uuid, t.s);
  return t;
}
