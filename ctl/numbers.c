/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "numbers.h"

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
